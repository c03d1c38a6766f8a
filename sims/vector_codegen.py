"""The parts of a generated module that walks its three-address lists as vectors of replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import sympy as sp

from .kernel_text import below_all, function_sources
from .program import Line, Program, three_address

__all__ = ["common_sources", "indexed_lists", "vector_module"]

# Each row's update without a gradient, and its coefficient for each total gradient.
NewTheta = Sequence[tuple[sp.Expr, Mapping[int, sp.Expr]]]


class Names(Protocol):
    """Symbols with names that nothing else has."""

    theta: list[sp.Symbol]
    rows: list[sp.Symbol]
    inputs: list[sp.Symbol]
    total: list[sp.Symbol]
    target: sp.Symbol
    rate: sp.Symbol

    def new(self, name: str) -> sp.Symbol: ...

    def temporaries(self) -> Iterator[str]: ...


def fused(program: Program) -> Program:
    """p + q - y as (p - y) + q where q is a product: then both sums are fused with products."""
    uses = Counter([a for line in program.lines for a in line.arguments] + list(program.outputs.values()))
    lines = list(program.lines)
    where = {line.target: k for k, line in enumerate(lines)}
    for k, line in enumerate(lines):
        sum_ = where.get(line.arguments[0]) if line.operation == "sub" else None
        if sum_ is None or lines[sum_].operation != "add" or uses[lines[sum_].target] > 1:
            continue
        first, last = lines[sum_].arguments
        product = where.get(last)
        if product is not None and lines[product].operation == "mul" and uses[last] == 1:
            # All of it is known where the difference was taken.
            lines[k] = Line(line.target, "add", (lines[sum_].target, last))
            lines.insert(k, Line(lines[sum_].target, "sub", (first, line.arguments[1])))
            del lines[sum_]
            return fused(replace(program, lines=tuple(lines)))
    return program


def products_at_hand(program: Program, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Where a list has products of inputs, by their numbers: other than in a single sum, of which they are a part then.

    So a step has the same bits whether or not moments are summed up.
    """
    uses = Counter(a for line in program.lines for a in line.arguments)
    sums = (line for line in program.lines if line.operation in ("add", "sub"))
    parts = {a for line in sums for a in line.arguments if uses[a] == 1}
    where = {line.arguments: line.target for line in program.lines if line.operation == "mul"}
    ways = (
        (pair, tuple(program.inputs[j] for j in way)) for pair in pairs for way in dict.fromkeys((pair, pair[::-1]))
    )
    return {pair: where[way] for pair, way in ways if way in where and where[way] not in parts}


def indexed_lists(f: sp.Expr, names: Names, new: NewTheta) -> dict[str, Program]:
    """One sample's part of the total, the update by the total, and the step by a single sample.

    What does not depend on the sample is a factor of the total, and not of each part.
    """
    gradient = [f.diff(t).as_independent(*names.inputs, as_Add=False) for t in names.theta]
    residual, scaled = names.new("residual"), names.new("scaled")
    parts = {str(names.new(f"part_{t}")): residual * g for t, (_, g) in zip(names.theta, gradient, strict=True)}
    data = [*names.rows, *names.inputs, names.target]
    sample = three_address({str(residual): f - names.target, **parts}, data, names.temporaries())
    updated, stepped = {}, {str(residual): f - names.target}
    for t, (base, slopes) in zip(names.rows, new, strict=True):
        total = sum(slope * gradient[k][0] * names.total[k] for k, slope in slopes.items())
        updated[str(names.new(f"new_{t}"))] = base + total
        change = base
        for k, slope in slopes.items():
            # Without the factor that all parameters share, which multiplies the residual.
            change += slope / names.rate * scaled * f.diff(names.theta[k])
        stepped[str(names.new(f"next_{t}"))] = change
    stepped[str(scaled)] = names.rate * residual
    # The passes know one number of rows: totals are filled up to it.
    unused = [names.new(f"unused_{j}") for j in range(len(names.rows) - len(names.total))]
    update = three_address(updated, [*names.rows, *names.total, *unused, names.rate], names.temporaries())
    step = three_address(stepped, [*data, names.rate], names.temporaries())
    return {
        "SAMPLE": fused(sample.only(parts)),
        "UPDATE": update,
        "STEP": fused(step.only(name for name in stepped if name not in (str(residual), str(scaled)))),
    }


def vector_module(lists: Mapping[str, Program], constants: str, others: Sequence[str] = ()) -> list[str]:
    """The parts between the functions that all modules have and its frame; `others` are what a layout adds."""
    texts = [f'{name} = """\\\n{program}"""\n' for name, program in lists.items()]
    emitters = map(below_all, ("vector_moments", "vector_lookup", "vector_steps", "vector_signs", "vector_batches"))
    return [*emitters, constants + "".join(texts), *others]


def common_sources() -> list[str]:
    """The texts that every module with replicas side by side begins with; what is called stands before what calls it.

    Numba looks names up when it compiles the first exported function.
    """
    functions = function_sources("kernel_math")
    draws = {**function_sources("kernel_random")}
    del draws["next_words"]  # it is an intrinsic here
    passes = ("kernel_vector", "vector_math", "vector_words", "vector_list", "vector_pass", "vector_draws")
    sources = [functions["log"], functions["cos_turns"], *draws.values()]  # of normal numbers
    return [*map(below_all, ("kernel_hints", "kernel_memory")), *sources, *map(below_all, passes)]
