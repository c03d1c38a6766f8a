"""From a `Model` to the source text of a Numba module that simulates label noise SGD on it.

The only place that prints code. Everything but the model's formulas is an argument of the generated functions:
learning rate, label noise, data, batch size and sampling change without a new compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import sympy as sp
from flatmin.theory import Model

from . import layouts, templates
from .counted_codegen import CountedText
from .form import Form
from .kernel_frame import Layout, framed
from .kernel_names import Names
from .kernel_text import below_all, fill
from .program import Program, three_address
from .vector_codegen import common_sources, indexed_lists, products_at_hand, vector_module

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
    pairs, counted = moment_pairs(model.d) if moments else None, form.counted(model)
    sizes: dict[str, object] = {"D": len(names.rows)}
    if moments or counted:
        sizes["PARAMETERS"] = model.d
    if pairs is not None:
        sizes |= {
            "STATISTICS": model.d + len(pairs),
            "ALL_PAIRS": model.d <= MOST_PAIRED,
            "SUMMED": "LANES // GROUPS",
        }
    if counted:
        text = CountedText(model, form, names)
        sizes |= text.sizes
        others, layout = [*text.functions(), below_all("vector_counted")], text.layout
        body = vector_module(text.lists, _monomials(model, pairs), others)
    elif unrolled:
        sizes["N"] = model.n
        body, layout = _unrolled(model, form, pairs)
    else:
        sizes["INPUTS"] = len(model.inputs)
        lists = indexed_lists(names.rename(model.prediction[0]), names, _new_rows(names))
        body, layout = vector_module(lists, _monomials(model, pairs)), layouts.INDEXED
    drivers, frame = framed(layout, "N" if unrolled and not counted else "y.size", moments)
    return templates.module(header, sizes, drivers, (*common_sources(), *body, below_all("vector_guard"), *frame))


def _unrolled(model: Model, form: Form, pairs: Sequence[tuple[int, int]] | None) -> tuple[list[str], Layout]:
    """The parts of a module with all samples in one list, and its layout."""
    lists = _unrolled_lists(model, form)
    signs = lists["SIGNS"]
    products = products_at_hand(signs, pairs or ())
    given = {f"moment_{j}_{i}": value for (j, i), value in products.items()}
    lists = {**lists, "SIGNS": replace(signs, outputs={**signs.outputs, **given})}
    parts = vector_module(lists, _monomials(model, pairs, products))
    return parts, layouts.unrolled(model.n, alone=lists["STEP"].polynomial)


def _monomials(model: Model, pairs: Sequence[tuple[int, int]] | None, given: Iterable[tuple[int, int]] = ()) -> str:
    """What is summed up, and the products of it that the step gives."""
    if pairs is None:
        return ""
    return f"MONOMIALS = {(*((j,) for j in range(model.d)), *pairs)}\nPRODUCTS = {tuple(given)}\n"


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
