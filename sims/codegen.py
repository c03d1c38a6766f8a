"""From a `Model` to the source text of a Numba module that simulates label noise SGD on it.

The only place that prints code. Everything but the model's formulas is an argument of the generated functions:
learning rate, label noise, data, batch size and sampling change without a new compilation.
"""

from __future__ import annotations

import builtins
import inspect
import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, count
from types import ModuleType
from typing import Any

import sympy as sp
from flatmin.theory import Model
from flatmin.theory.algorithm import sgd_update
from sympy.printing.pycode import PythonCodePrinter

from . import kernel_hints, kernel_math, kernel_random, layouts, templates, vector_layouts
from .lowering import statements
from .program import Program, three_address
from .vector_codegen import IMPORTS, OPERATIONS, indexed_lists, vector_module

__all__ = ["MOST_PAIRED", "function_sources", "generate", "generate_moments", "kernel_constants", "moment_pairs"]

# Second moments of more parameters are the squares alone: sums would outgrow the cache.
MOST_PAIRED = 16


def generate(model: Model) -> str:
    """Return the text of a self-contained module with the kernels `advance` and `descend` for this model.

    The text depends on the model's formulas alone, not on its data, and for a list of predictions on their number.
    One expression with inputs is evaluated for the samples that are drawn ("indexed"); a list of expressions is
    evaluated as a whole, sharing common subexpressions among samples ("unrolled").
    """
    return _module(model, moments=False)


def generate_moments(model: Model) -> str:
    """Return the text of a module with the kernel `accumulate`: first and second moments over all steps.

    Products of parameters come from the same three-address list as residual and gradient, where all samples are in
    one; of more than `MOST_PAIRED` parameters only the squares are summed.
    """
    return _module(model, moments=True)


def _module(model: Model, moments: bool) -> str:
    names = _Names(model)
    unrolled = not model.inputs and len(model.prediction) == model.n
    header = _fill(
        templates.HEADER,
        PARAMETERS=", ".join(map(str, names.theta)),
        PREDICTION="\n            ".join(str(names.rename(f)) for f in model.prediction),
        LAYOUT="unrolled: all samples in one expression" if unrolled else "indexed: one sample's expression",
    )
    pairs = moment_pairs(model.d)
    constants = [kernel_constants(), f"D = {model.d}\n"]
    if moments:
        constants += [f"STATISTICS = {model.d + len(pairs)}\n", f"ALL_PAIRS = {model.d <= MOST_PAIRED}\n"]
    lists = (_unrolled_list if unrolled else _indexed_lists)(model, names)
    vectors = all(line.operation in OPERATIONS for program in lists.values() for line in program.lines)
    if vectors:
        body = _vectors(model, lists, pairs if moments else None)
    else:
        # Functions that only a library has: statements for one replica, which the compiler makes vectors of if it can.
        body = (_unrolled if unrolled else _indexed)(model, _Names(model), pairs if moments else None)
    chosen: ModuleType = vector_layouts if vectors else layouts
    noiseless = chosen.UNROLLED_NOISELESS if unrolled else chosen.INDEXED_NOISELESS
    tail = [templates.ACCUMULATE] if moments else [noiseless, templates.DRIVERS]
    # What the functions call stands before them: Numba looks names up when it compiles the first exported function.
    parts = (*function_sources(kernel_math), *function_sources(kernel_random), templates.ROWS, templates.CHECK, *body)
    hints = (kernel_hints.SOURCE, "".join(constants))
    imports = IMPORTS if vectors else templates.IMPORTS
    return header + "\n" + imports + "\n\n" + "\n\n".join((*hints, *parts, *tail))


def _vectors(model: Model, lists: Mapping[str, Program], pairs: Sequence[tuple[int, int]] | None) -> list[str]:
    """The parts of a module that walks its lists."""
    unrolled = "UPDATE" not in lists
    hold = (
        "if step - flushed + period > 64 or step >= stop:",
        "    flush(raw, step - flushed, sums, shift)",
        "    flushed = step",
    )
    raw = {"RAW": "None", "HOLD": ""} if pairs is None else {"RAW": "raw", "HOLD": _block(2, hold)}
    text = vector_layouts.UNROLLED if unrolled else vector_layouts.INDEXED
    constants = f"N = {model.n}\n" if unrolled else f"INPUTS = {len(model.inputs)}\n"
    if pairs is not None:
        constants += f"MONOMIALS = {(*((j,) for j in range(model.d)), *pairs)}\n"
    return vector_module(lists, _fill(text, **{**_moment_parts(pairs), **raw}), constants)


def _indexed_lists(model: Model, names: _Names) -> dict[str, Program]:
    return indexed_lists(names.rename(model.prediction[0]), names, _new_theta(names))


def _unrolled_list(model: Model, names: _Names) -> dict[str, Program]:
    outputs = _unrolled_outputs(model, names)
    results = list(outputs)[-model.d :]
    program = _unrolled_program(names, outputs)
    return {"STEP": replace(program, outputs={name: program.outputs[name] for name in results})}


def moment_pairs(d: int) -> list[tuple[int, int]]:
    """Which products of parameters have a row of sums, in order."""
    return [(j, i) for j in range(d) for i in range(j, d if d <= MOST_PAIRED else j + 1)]


@cache
def _reserved() -> frozenset[str]:
    """All names that a function with the model's names in it may use for something else.

    The other functions are scopes of their own: what is local there is free here.
    """
    functions: tuple[Any, ...] = (*kernel_math.FUNCTIONS, *kernel_random.FUNCTIONS)
    fixed = {f.__name__ for f in functions} | set(kernel_random.CONSTANTS) | _words(templates.IMPORTS)
    texts = (layouts.INDEXED, layouts.UNROLLED, layouts.SIGNS, layouts.INDEXED_NOISELESS, layouts.UNROLLED_NOISELESS)
    for text in (*texts, templates.ROWS, templates.CHECK, templates.DRIVERS, templates.ACCUMULATE):
        for function in text.split("\n\n\n"):
            # Only what fills <THETA> and <TOTAL> are names from the model.
            filled = "<THETA>" in function or "<TOTAL>" in function
            fixed |= _words(function if filled else function[: function.index("(")])
    return frozenset(fixed) | set(dir(builtins)) | set(keyword.kwlist) | PythonCodePrinter.reserved_words


def _words(text: str) -> set[str]:
    """The names in a piece of a template, without those in strings and comments."""
    # A place for whole lines stands at the beginning of a line, where Python sees another block.
    lines = re.sub(r"^<\w+>\n", "", text, flags=re.MULTILINE)
    tokens = tokenize.generate_tokens(io.StringIO(lines).readline)
    return {t.string for t in tokens if t.type == tokenize.NAME}


class _Names:
    """Real symbols, with names that Python accepts and that nothing else has, in place of the model's own."""

    def __init__(self, model: Model) -> None:
        self.taken: set[str] = set()
        # What is printed here comes first, so that it has these names; the rest gives way.
        self.rate, self.batch, self.target = (self.new(s) for s in ("rate", "batch", "target"))
        self.arrays = [self.new(s) for s in ("count", "noise")] + [self.target]
        n = model.n if len(model.prediction) == model.n else 0
        # One symbol per sample: entries of the three arrays.
        self.counts, self.noises, self.targets = (
            [self.new(f"{s}_{i}") for i in range(n)] for s in ("count", "noise", "target")
        )
        self.taken |= _reserved()
        self.theta = [self.new(p.name) for p in model.parameters]
        self.inputs = [self.new(p.name) for p in model.inputs]
        self.total = [self.new(f"total_{p.name}") for p in self.theta]
        self._map = dict(zip((*model.parameters, *model.inputs), (*self.theta, *self.inputs), strict=True))

    def new(self, name: str) -> sp.Symbol:
        clean = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
        clean = clean if clean[:1].isalpha() else f"v{clean}"
        while clean in self.taken:
            clean += "_"
        self.taken.add(clean)
        return sp.Symbol(clean, real=True)

    def rename(self, expression: sp.Expr) -> sp.Expr:
        return expression.xreplace(self._map)

    def temporaries(self) -> Iterator[str]:
        return (f"t{k}" for k in count() if f"t{k}" not in self.taken)


def _new_theta(names: _Names) -> list[tuple[sp.Expr, dict[int, sp.Expr]]]:
    """For each parameter its update without a gradient, and its coefficient for each total gradient."""
    # rate = lr/B: the gradient of the batch is its total over B.
    new = sgd_update(names.theta, [g / names.batch for g in names.total], names.rate * names.batch)
    zero = dict.fromkeys(names.total, sp.S.Zero)
    slopes = [{k: e.diff(g) for k, g in enumerate(names.total) if e.has(g)} for e in new]
    if any(s.has(*names.total) for row in slopes for s in row.values()):
        raise NotImplementedError(f"the update {new} is not linear in the gradient")
    return [(e.xreplace(zero), row) for e, row in zip(new, slopes, strict=True)]


def _update(names: _Names) -> str:
    outputs = {
        str(names.new(f"new_{t}")): base + sum(slope * names.total[k] for k, slope in slopes.items())
        for t, (base, slopes) in zip(names.theta, _new_theta(names), strict=True)
    }
    program = three_address(outputs, [*names.theta, *names.total, names.rate], names.temporaries())
    return _function("update", "One step of one replica.", program)


def _indexed(model: Model, names: _Names, pairs: Sequence[tuple[int, int]] | None) -> list[str]:
    f = names.rename(model.prediction[0])
    d = model.d
    gradient = [str(names.new(f"g{j}")) for j in range(d)]
    outputs = {str(names.new("residual")): f - names.target, **{g: f.diff(t) for g, t in zip(gradient, names.theta)}}
    program = three_address(outputs, [*names.theta, *names.inputs, names.target], names.temporaries())
    sample = _function("sample", "f(theta; x) - y and its gradient.", program)
    data = [f"data{c}" for c in range(len(model.inputs) + 1)]
    theta = [f"theta[{_at(j)}]" for j in range(d)]
    monomials = [*theta, *(f"{theta[j]} * {theta[i]}" for j, i in pairs or ())]
    loops = _fill(
        layouts.INDEXED,
        GRADIENT=_list(gradient),
        THETA_K=_rows("theta", d),
        TIMES_RESIDUAL=_list(f"residual * {g}" for g in gradient),
        TOTAL_K=_rows("total", d),
        DATA=_list(data),
        DATA_I=_list([*(f"x[i, {c}]" for c in range(len(model.inputs))), "y[i]"]),
        DRAWN_K=_rows("drawn", len(data)),
        ADD_TOTALS=_block(2, (f"total[{_at(j)}] += residual * {g}" for j, g in enumerate(gradient))),
        CLEAR_TOTALS=_block(2, (f"total[{_at(j)}] = 0.0" for j in range(d))),
        ADD_RAW=_block(2, (f"raw[{_at(m)}] += {e}" for m, e in enumerate(monomials))) if pairs else "",
        **_moment_parts(pairs),
    )
    return [f"INPUTS = {len(model.inputs)}\n", _update(names), sample, loops]


def _unrolled_outputs(model: Model, names: _Names) -> dict[str, sp.Expr]:
    """The new parameters, last, and what they need."""
    f = [names.rename(e) for e in model.prediction]
    entries = (names.counts, names.noises, names.targets)
    # The update is linear in the total gradient: residuals times its coefficient are shared by all parameters.
    outputs, new = {}, _new_theta(names)
    scaled: dict[tuple[sp.Expr, int], sp.Symbol] = {}
    for j, (base, slopes) in enumerate(new):
        for k, slope in slopes.items():
            sign = -1 if slope.could_extract_minus_sign() else 1
            for i, (e, c, eps, y) in enumerate(zip(f, *entries, strict=True)):
                if (slope, i) not in scaled:
                    scaled[slope, i] = names.new(f"residual_{i}")
                    outputs[str(scaled[slope, i])] = sign * slope * (c * (e - y) - eps)
                base += sign * scaled[slope, i] * e.diff(names.theta[k])
        outputs[str(names.new(f"new_{names.theta[j]}"))] = base
    return outputs


def _unrolled_program(names: _Names, outputs: Mapping[str, sp.Expr]) -> Program:
    entries = chain(*zip(names.counts, names.noises, names.targets))
    return three_address(outputs, [*names.theta, *entries, names.rate], names.temporaries())


def _unrolled(model: Model, names: _Names, pairs: Sequence[tuple[int, int]] | None) -> list[str]:
    n, d = model.n, model.d
    entries = (names.counts, names.noises, names.targets)
    outputs = _unrolled_outputs(model, names)
    results = list(outputs)[-d:]
    statistics: list[str] = []
    if pairs is not None:
        monomials = [*names.theta, *(names.theta[j] * names.theta[i] for j, i in pairs)]
        statistics = [str(names.new(f"moment_{m}")) for m in range(len(monomials))]
        outputs |= dict(zip(statistics, monomials, strict=True))
    program = _unrolled_program(names, outputs)
    places = {str(s): f"{a}[{i}]" for a, row in zip(names.arrays, entries) for i, s in enumerate(row)}
    function = _function(
        "step",
        "One step of one replica; sample i enters as count_i (f_i - target_i) - noise_i.",
        program,
        [*map(str, (*names.theta, *names.arrays, names.rate))],
        places,
        [program.outputs[name] for name in (*results, *statistics)],
    )
    # So many steps are unrolled that a pass over the replicas has some four samples to evaluate.
    stride = max(1, 4 // n)
    common = {
        "THETA": _list(names.theta),
        "THETA_K": _rows("theta", d),
        "STATISTICS": "".join(f", {s}" for s in statistics),
        **_moment_parts(pairs),
    }
    sums = [f"raw[{_at(m)}] += {s}" for m, s in enumerate(statistics)]
    loops = _fill(
        layouts.UNROLLED,
        COUNT_K=_rows("count", n) + ",",
        NOISE_K=_rows("noise", n) + ",",
        Y=_list(f"y[{i}]" for i in range(n)) + ",",
        STRIDE=str(stride),
        ADD_RAW=_block(2, sums),
        **common,
    )
    bit = "word & (np.uint64(1) << np.uint64({s} * N + {i}))"
    signs = [
        _fill(
            layouts.SIGNS,
            STRIDE=str(steps),
            ABOVE=_list(f"noisy[{i}]" for i in range(n)) + ",",
            BELOW=_list(f"noisy[N + {i}]" for i in range(n)) + ",",
            ONES=_list(["1.0"] * n) + ",",
            ZEROS=_list(["0.0"] * n) + ",",
            TARGETS=_list(f"below[{i}] if {bit.format(s='s', i=i)} else above[{i}]" for i in range(n)) + ",",
            LOAD_RAW=_block(3, (f"sum_{m} = raw[{_at(m)}]" for m in range(len(statistics)))),
            ADD_RAW_DEEPER=_block(4, (f"sum_{m} += {s}" for m, s in enumerate(statistics))),
            STORE_RAW=_block(3, (f"raw[{_at(m)}] = sum_{m}" for m in range(len(statistics)))),
            **common,
        )
        for steps in sorted({1, stride})
    ]
    constants = f"N = {n}\nPERIOD = {max(1, 64 // n)}\nSTRIDE = {stride}\n"
    return [constants, function, *signs, loops]


def _moment_parts(pairs: Sequence[tuple[int, int]] | None) -> dict[str, str]:
    """What a run with sums has more than one without."""
    if pairs is None:
        return {"RAW": "", "SUMS": "", "HELD": "", "HOLD": ""}
    hold = (
        "if step - flushed >= 64 or step >= stop:",
        "    flush(raw, step - flushed, sums, shift)",
        "    flushed = step",
    )
    return {"RAW": ", raw", "SUMS": ", raw, sums, shift", "HELD": "    flushed = step", "HOLD": _block(2, hold)}


def _function(
    name: str,
    docstring: str,
    program: Program,
    arguments: Sequence[str] | None = None,
    places: Mapping[str, str] | None = None,
    results: Iterable[str] | None = None,
) -> str:
    """The text of a function that returns a tuple, or a number if that is all: then one name takes it.

    By default it has the inputs of the program as arguments and returns its outputs.
    """
    returned = [(places or {}).get(r, r) for r in (results or program.outputs.values())]
    lines = [
        "@inlined",
        f"def {name}({_list(arguments or program.inputs)}):",
        f'    """{docstring}"""',
        *(f"    {statement}" for statement in statements(program, places)),
        f"    return {_list(returned)}",
    ]
    return "\n".join(lines) + "\n"


def kernel_constants() -> str:
    """Lanes, and the numbers of samplings and laws."""
    return "".join(f"{c} = {getattr(kernel_random, c)}\n" for c in kernel_random.CONSTANTS)


def function_sources(module: ModuleType) -> list[str]:
    """The texts of a module's functions."""
    functions: tuple[Any, ...] = module.FUNCTIONS
    return [inspect.getsource(f.py_func) for f in functions]


def _fill(text: str, **values: str) -> str:
    """Replace each <KEY>; a line with nothing else whose value is empty disappears."""
    for key, value in values.items():
        if not value:
            text = re.sub(rf"^ *<{key}>\n", "", text, flags=re.MULTILINE)
        text = text.replace(f"<{key}>", value)
    return text


def _block(depth: int, lines: Iterable[str]) -> str:
    """Lines indented so deep, for a place at the beginning of a line."""
    return "\n".join("    " * depth + line for line in lines)


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _at(row: int) -> str:
    return "k" if row == 0 else f"{'' if row == 1 else f'{row} * '}LANES + k"


def _rows(array: str, count: int) -> str:
    return _list(f"{array}[{_at(j)}]" for j in range(count))
