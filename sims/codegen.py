"""From a `Model` to the source text of a Numba module that simulates label noise SGD on it.

The only place that prints code. Everything but the model's formulas is an argument of the generated functions:
learning rate, label noise, data, batch size and sampling change without a new compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import sympy as sp
from flatmin.theory import Model

from . import layouts, templates, vector_layouts
from .counted_codegen import CountedText
from .form import Form
from .kernel_frame import Layout, framed
from .kernel_names import Names
from .kernel_text import (
    below_all,
    fill,
    function_text,
    indented,
    listed,
    row_at,
    rows_at,
)
from .program import Program, three_address
from .vector_codegen import OPERATIONS, common_sources, indexed_lists, products_at_hand, vector_module

__all__ = ["MOST_PAIRED", "generate", "generate_moments", "moment_pairs"]

# Second moments of more parameters are the squares alone: sums would outgrow the cache.
MOST_PAIRED = 16


def generate(model: Model, form: Form | None = None) -> str:
    """Return the text of a self-contained module with the kernels `advance` and `descend` for this model.

    The text depends on formulas alone, those of the model and of the algorithm (plain SGD with label noise by
    default), not on numbers or data, and for a list of predictions on their number. One expression with inputs is
    evaluated for the samples that are drawn ("indexed"); a list of expressions is evaluated as a whole, sharing common
    subexpressions among samples ("unrolled").
    """
    return _module(model, form or Form(), moments=False)


def generate_moments(model: Model, form: Form | None = None) -> str:
    """Return the text of a module with the kernel `accumulate`: first and second moments over all steps.

    Products of parameters that the step has are taken from it, where all samples are in one three-address list; of more
    than `MOST_PAIRED` parameters only the squares are summed.
    """
    return _module(model, form or Form(), moments=True)


def _module(model: Model, form: Form, moments: bool) -> str:
    names = Names(model, form)
    unrolled = not model.inputs and len(model.prediction) == model.n
    header = fill(
        templates.HEADER,
        PARAMETERS=", ".join(map(str, names.theta)),
        PREDICTION="\n            ".join(str(names.rename(f)) for f in model.prediction),
        LAYOUT="unrolled: all samples in one expression" if unrolled else "indexed: one sample's expression",
    )
    pairs = moment_pairs(model.d)
    sizes: dict[str, object] = {"D": len(names.rows)}
    if moments or form.counted(model):
        sizes["PARAMETERS"] = model.d
    if moments:
        sizes |= {"STATISTICS": model.d + len(pairs), "ALL_PAIRS": model.d <= MOST_PAIRED}
    if form.counted(model):
        text = CountedText(model, form, names)
        sizes |= text.sizes
        vectors, body, layout = _counted(model, text, pairs if moments else None)
    else:
        sizes |= {"N": model.n} if unrolled else {"INPUTS": len(model.inputs)}
        lists = _unrolled_lists(model, form) if unrolled else _indexed_lists(model, names)
        vectors = _all_vectors(lists)
        if vectors:
            body, layout = _vectors(model, lists, pairs if moments else None)
        else:
            # Functions that only a library has: statements for one replica, which the compiler makes vectors of.
            body, layout = (_unrolled if unrolled else _indexed)(model, Names(model, form), pairs if moments else None)
    if moments:
        sizes["SUMMED"] = "LANES // GROUPS" if vectors else "LANES"
    drivers, frame = framed(layout, "N" if unrolled and not form.counted(model) else "y.size", moments)
    return templates.module(header, sizes, drivers, (*common_sources(), *body, below_all("vector_guard"), *frame))


def _all_vectors(lists: Mapping[str, Program]) -> bool:
    return all(line.operation in OPERATIONS for program in lists.values() for line in program.lines)


def _counted(
    model: Model, text: CountedText, pairs: Sequence[tuple[int, int]] | None
) -> tuple[bool, list[str], Layout]:
    """Whether a module with counts walks lists, its parts, and its layout."""
    if _all_vectors(text.lists):
        others = [*text.functions(), below_all("vector_counted")]
        return True, vector_module(text.lists, _monomials(model, pairs), others), text.layout
    theta = [f"theta[{row_at(j)}]" for j in range(model.d)]
    monomials = [*theta, *(f"{theta[j]} * {theta[i]}" for j, i in pairs or ())] if pairs is not None else []
    passes = text.scalar([f"raw[{row_at(m)}] += {e}" for m, e in enumerate(monomials)])
    return False, [*text.functions(), *passes], text.layout


def _vectors(
    model: Model, lists: Mapping[str, Program], pairs: Sequence[tuple[int, int]] | None
) -> tuple[list[str], Layout]:
    """The parts of a module that walks its lists, and its layout."""
    if "UPDATE" in lists:
        return vector_module(lists, _monomials(model, pairs)), vector_layouts.INDEXED
    signs = lists["SIGNS"]
    products = products_at_hand(signs, pairs or ())
    given = {f"moment_{j}_{i}": value for (j, i), value in products.items()}
    lists = {**lists, "SIGNS": replace(signs, outputs={**signs.outputs, **given})}
    parts = vector_module(lists, _monomials(model, pairs, products))
    return parts, vector_layouts.unrolled(model.n, alone=lists["STEP"].polynomial)


def _monomials(model: Model, pairs: Sequence[tuple[int, int]] | None, given: Iterable[tuple[int, int]] = ()) -> str:
    """What is summed up, and the products of it that the step gives."""
    if pairs is None:
        return ""
    return f"MONOMIALS = {(*((j,) for j in range(model.d)), *pairs)}\nPRODUCTS = {tuple(given)}\n"


def _indexed_lists(model: Model, names: Names) -> dict[str, Program]:
    return indexed_lists(names.rename(model.prediction[0]), names, _new_rows(names))


def _unrolled_lists(model: Model, form: Form) -> dict[str, Program]:
    """The step with counts, and that with signs, which has what it can of the products of parameters."""
    lists = {}
    for name in ("STEP", "SIGNS"):
        names = Names(model, form)
        symbols = _unrolled_inputs(names) if name == "STEP" else [*names.rows, *names.targets, names.rate]
        outputs = _unrolled_outputs(model, names, scaled=name == "SIGNS")
        results = list(outputs)[-len(names.rows) :]
        if name == "SIGNS":
            outputs |= {
                str(names.new(f"moment_{j}_{i}")): names.theta[j] * names.theta[i] for j, i in moment_pairs(model.d)
            }
        lists[name] = three_address(outputs, symbols, names.temporaries()).only(results)
    return lists


def moment_pairs(d: int) -> list[tuple[int, int]]:
    """Which products of parameters have a row of sums, in order."""
    return [(j, i) for j in range(d) for i in range(j, d if d <= MOST_PAIRED else j + 1)]


def _new_rows(names: Names) -> list[tuple[sp.Expr, dict[int, sp.Expr]]]:
    """For each row its update without a gradient, and its coefficient for each total gradient."""
    constants: list[tuple[sp.Expr, dict[int, sp.Expr]]] = [(c, {}) for c in names.rows[len(names.step.state) :]]
    return [*names.step.affine, *constants]


def _update(names: Names) -> str:
    outputs = {
        str(names.new(f"new_{t}")): base + sum(slope * names.total[k] for k, slope in slopes.items())
        for t, (base, slopes) in zip(names.rows, _new_rows(names), strict=True)
    }
    program = three_address(outputs, [*names.rows, *names.total, names.rate], names.temporaries())
    return function_text("update", "One step of one replica.", program)


def _indexed(model: Model, names: Names, pairs: Sequence[tuple[int, int]] | None) -> tuple[list[str], Layout]:
    f = names.rename(model.prediction[0])
    d = model.d
    gradient = [str(names.new(f"g{j}")) for j in range(d)]
    outputs = {str(names.new("residual")): f - names.target, **{g: f.diff(t) for g, t in zip(gradient, names.theta)}}
    program = three_address(outputs, [*names.rows, *names.inputs, names.target], names.temporaries())
    sample = function_text("sample", "f(theta; x) - y and its gradient.", program)
    data = [f"data{c}" for c in range(len(model.inputs) + 1)]
    theta = [f"theta[{row_at(j)}]" for j in range(d)]
    monomials = [*theta, *(f"{theta[j]} * {theta[i]}" for j, i in pairs or ())]
    loops = fill(
        layouts.INDEXED.functions,
        GRADIENT=listed(gradient),
        THETA_K=rows_at("theta", len(names.rows)),
        TIMES_RESIDUAL=listed(f"residual * {g}" for g in gradient),
        TOTAL_K=rows_at("total", d),
        DATA=listed(data),
        DATA_I=listed([*(f"x[i, {c}]" for c in range(len(model.inputs))), "y[i]"]),
        DRAWN_K=rows_at("drawn", len(data)),
        ADD_TOTALS=indented(2, (f"total[{row_at(j)}] += residual * {g}" for j, g in enumerate(gradient))),
        CLEAR_TOTALS=indented(2, (f"total[{row_at(j)}] = 0.0" for j in range(d))),
        ADD_RAW=indented(2, (f"raw[{row_at(m)}] += {e}" for m, e in enumerate(monomials))) if pairs else "",
    )
    return [_update(names), sample], replace(layouts.INDEXED, functions=loops)


def _unrolled_outputs(model: Model, names: Names, scaled: bool = False) -> dict[str, sp.Expr]:
    """The new parameters, last, and what they need.

    With `scaled` every sample is taken once, and targets are with their noise and times the rate: no step multiplies
    them by it again.
    """
    f = [names.rename(e) for e in model.prediction]
    entries = (names.counts, names.noises, names.targets)
    # The update is linear in the total gradient: residuals times its coefficient are shared by all parameters.
    outputs: dict[str, sp.Expr] = {}
    new: dict[str, sp.Expr] = {}
    residuals: dict[tuple[sp.Expr, int], sp.Symbol] = {}
    for row, (base, slopes) in zip(names.rows, _new_rows(names), strict=True):
        for k, slope in slopes.items():
            sign = -1 if slope.could_extract_minus_sign() else 1
            for i, (e, c, eps, y) in enumerate(zip(f, *entries, strict=True)):
                if (slope, i) not in residuals:
                    residuals[slope, i] = names.new(f"residual_{i}")
                    error = slope * e - slope / names.rate * y if scaled else slope * (c * (e - y) - eps)
                    outputs[str(residuals[slope, i])] = sign * error
                base += sign * residuals[slope, i] * e.diff(names.theta[k])
        new[str(names.new(f"new_{row}"))] = base
    return outputs | new


def _unrolled_inputs(names: Names) -> list[sp.Symbol]:
    entries = chain(*zip(names.counts, names.noises, names.targets))
    return [*names.rows, *entries, names.rate]


def _unrolled(model: Model, names: Names, pairs: Sequence[tuple[int, int]] | None) -> tuple[list[str], Layout]:
    n = model.n
    entries = (names.counts, names.noises, names.targets)
    outputs = _unrolled_outputs(model, names)
    results = list(outputs)[-len(names.rows) :]
    statistics: list[str] = []
    if pairs is not None:
        monomials = [*names.theta, *(names.theta[j] * names.theta[i] for j, i in pairs)]
        statistics = [str(names.new(f"moment_{m}")) for m in range(len(monomials))]
        outputs |= dict(zip(statistics, monomials, strict=True))
    program = three_address(outputs, _unrolled_inputs(names), names.temporaries())
    places = {str(s): f"{a}[{i}]" for a, row in zip(names.arrays, entries) for i, s in enumerate(row)}
    function = function_text(
        "step",
        "One step of one replica; sample i enters as count_i (f_i - target_i) - noise_i.",
        program,
        [*map(str, (*names.rows, *names.arrays, names.rate))],
        places,
        [program.outputs[name] for name in (*results, *statistics)],
    )
    # So many steps are unrolled that a pass over the replicas has some four samples to evaluate.
    stride = max(1, 4 // n)
    common = {
        "THETA": listed(names.rows),
        "THETA_K": rows_at("theta", len(names.rows)),
        "STATISTICS": "".join(f", {s}" for s in statistics),
    }
    sums = [f"raw[{row_at(m)}] += {s}" for m, s in enumerate(statistics)]
    rows = fill(
        layouts.STEP_ROWS,
        COUNT_K=rows_at("count", n) + ",",
        NOISE_K=rows_at("noise", n) + ",",
        Y=listed(f"y[{i}]" for i in range(n)) + ",",
        ADD_RAW=indented(2, sums),
        **common,
    )
    bit = "word & (np.uint64(1) << np.uint64({s} * N + {i}))"
    signs = [
        fill(
            layouts.SIGNS,
            STRIDE=str(steps),
            ABOVE=listed(f"noisy[{i}]" for i in range(n)) + ",",
            BELOW=listed(f"noisy[N + {i}]" for i in range(n)) + ",",
            ONES=listed(["1.0"] * n) + ",",
            ZEROS=listed(["0.0"] * n) + ",",
            TARGETS=listed(f"below[{i}] if {bit.format(s='s', i=i)} else above[{i}]" for i in range(n)) + ",",
            LOAD_RAW=indented(3, (f"sum_{m} = raw[{row_at(m)}]" for m in range(len(statistics)))),
            ADD_RAW_DEEPER=indented(4, (f"sum_{m} += {s}" for m, s in enumerate(statistics))),
            STORE_RAW=indented(3, (f"raw[{row_at(m)}] = sum_{m}" for m in range(len(statistics)))),
            **common,
        )
        for steps in sorted({1, stride})
    ]
    layout = replace(layouts.UNROLLED, steps=fill(layouts.UNROLLED.steps, STRIDE=str(stride)))
    return [f"STRIDE = {stride}\n", function, *signs, rows], layout
