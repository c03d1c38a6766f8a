"""From an `IndexedModel` to the source text of a Numba module that simulates label noise SGD on it.

The same functions with the same arguments as `codegen` gives to other models. There replicas fill the vectors of the
processor, and every parameter is a name in the text; here the index does, replicas take turns, and the text has the
formula of one term. Sizes of arrays are in the text; learning rate, label noise, data and batch size are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp
from flatmin.theory.algorithm import sgd_update
from flatmin.theory.indexed import IndexedModel

from . import indexed_templates as texts
from . import kernel_hints, kernel_math, kernel_random, kernel_tiles, templates
from .codegen import _block, _fill, _function, _list, function_sources
from .program import three_address

__all__ = ["features", "generate_indexed", "generate_indexed_moments"]

# Draws of one replica that are made at once, and how many replicas take turns step by step.
DRAWS = 256
TILE, WIDEST = 4, 4
# More products of parameters with inputs than this are not stored for each sample.
MOST_FEATURES = 4


def generate_indexed(model: IndexedModel) -> str:
    """Return the text of a self-contained module with the kernels `advance` and `descend` for this model."""
    return _module(model, moments=False)


def generate_indexed_moments(model: IndexedModel) -> str:
    """Return the text of a module with the kernel `accumulate`: moments over all steps, without products."""
    return _module(model, moments=True)


def features(phi: sp.Expr, argument: sp.Symbol) -> dict[sp.Expr, sp.Expr] | None:
    """phi as a sum of value * feature, {feature: value}: features depend on the argument alone, values not on it.

    None when it is no such sum of a few terms.
    """
    for form in (phi, phi.expand(power_base=False, power_exp=False, log=False)):
        found: dict[sp.Expr, sp.Expr] = {}
        for term in sp.Add.make_args(form):
            value, feature = term.as_independent(argument, as_Add=False)
            if feature.free_symbols - {argument}:
                break
            found[feature] = found.get(feature, sp.S.Zero) + value
        else:
            if len(found) <= MOST_FEATURES:
                return found
    return None


class _Symbols:
    """phi with the names that it has in the text: p0, p1, ... for parameters and x for its argument."""

    def __init__(self, model: IndexedModel) -> None:
        self.parameters = [sp.Symbol(f"p{m}", real=True) for m in range(len(model.vectors))]
        self.argument = sp.Symbol("x", real=True)
        names = dict(zip((*model.vectors, model.argument), (*self.parameters, self.argument), strict=True))
        self.phi = model.phi.xreplace(names)


def _module(model: IndexedModel, moments: bool) -> str:
    symbols = _Symbols(model)
    found = features(symbols.phi, symbols.argument) if model.form == "vector" else None
    constants = _constants(model, moments, len(found) if found else 0)
    header = _fill(
        templates.HEADER,
        PARAMETERS=", ".join(f"{name}{list(shape)}" for name, shape in model.shapes.items()),
        PREDICTION=str(model.prediction),
        LAYOUT="replicas one at a time, vectors over the index; rows of theta have theta.size // D replicas",
    )
    step = _linear(symbols, found, moments, constants) if found else _pointwise(model, symbols, moments, constants)
    sums = _sums(["before"], ["i"], ["offset + np.uint64(e)"]) if moments else []
    common, run = (
        _fill(t, SHIFT=", shift" if moments else "", ADD_SUMS=_block(2, sums)) for t in (texts.COMMON, texts.RUN)
    )
    tail = [texts.ACCUMULATE] if moments else [texts.NOISELESS, texts.DRIVERS]
    fixed = {c: getattr(kernel_random, c) for c in kernel_random.CONSTANTS} | constants
    numbers = "".join(f"{name} = {value}\n" for name, value in fixed.items())
    parts = (*function_sources(kernel_math), *function_sources(kernel_random), templates.ROWS, _update(), common, *step, run)
    imports = templates.IMPORTS.replace("from numba import", "from llvmlite import ir\nfrom numba import").replace("\nfrom numba.ext", "\nfrom numba.core import cgutils\nfrom numba.ext")
    return header + imports + "\n\n" + "\n\n".join((kernel_hints.SOURCE, kernel_tiles.SOURCE, numbers, *parts, *tail))


def _constants(model: IndexedModel, moments: bool, features: int) -> dict[str, object]:
    """Sizes and offsets, in numbers of eight bytes. A row is filled up to whole vectors, a matrix to whole tiles."""
    count, row = len(model.vectors), -(-model.size // 8) * 8
    first, step, width = [model.offsets[s.name] for s in model.vectors], [1] * count, row * max(1, features)
    if model.matrix is not None:
        width = -(-model.p // TILE) * TILE
        first += [model.offsets[model.matrix] + j if j < model.p else model.d for j in range(width)]
        step += [model.p] * width
    space, vectors = row * len(first), row * count
    values = space * (3 if moments else 1)
    return {
        "D": model.d,
        "SIZE": model.size,
        "ROW": row,
        "ROWS": len(first),
        "FIRST": tuple(first),
        "STEP": tuple(step),
        "REPEATED": bool(features),
        "SPACE": space,
        "VECTOR_SPACE": vectors,
        "VALUES": values,
        "STATE": values + row * features,
        "WIDTH": width,
        "VECTORS": width // 8,
        "SLOPES": vectors,
        "CHANGE": 2 * vectors,
        "Z": 2 * vectors + TILE * row,
        "SCRATCH": width if features else 2 * vectors + TILE * row,
        "SCRATCH_EACH": row if model.matrix is not None else 0,
        "DRAWS": DRAWS,
        "TILE": TILE,
        "TURNS": 2 if space <= 512 else 1,
    }


def _update() -> str:
    # rate = lr/B: the gradient of the batch is its total over B.
    theta, total, rate, batch = sp.symbols("theta total rate batch", real=True)
    (new,) = sgd_update([theta], [total / batch], rate * batch)
    return _function("update", "One step of one entry.", three_address({"new": new}, [theta, total, rate]))


def _formula(name: str, docstring: str, outputs: Mapping[str, sp.Expr], inputs: Sequence[sp.Symbol]) -> str:
    return _function(name, docstring, three_address(outputs, inputs))


def _linear(
    symbols: _Symbols, found: Mapping[sp.Expr, sp.Expr], moments: bool, constants: Mapping[str, object]
) -> list[str]:
    """Values and features in two products; the slopes of values come after the second."""
    parameters = symbols.parameters
    combined = [sp.Symbol(f"c{s}", real=True) for s in range(len(found))]
    totals = {
        f"total{m}": sum((c * v.diff(p) for c, v in zip(combined, found.values())), sp.S.Zero)
        for m, p in enumerate(parameters)
    }
    functions = [
        _formula("features", "What is known of an input.", _numbered("feature", found), [symbols.argument]),
        _formula("values", "What is known of the parameters.", _numbered("value", found.values()), parameters),
        _formula("slopes", "The total gradient, from the products with residuals.", totals, [*parameters, *combined]),
    ]
    move = []
    for m, name in enumerate(totals):
        at = f"i + np.uint64({m} * ROW)"
        sums = _sums([f"before{m}"], [at], [f"np.uint64({m} * ROW + k)"]) if moments else []
        move += [f"before{m} = state[{at}]", *sums, f"after{m} = update(before{m}, {name}, rate)"]
        move += [f"state[{at}] = after{m}", f"outside |= not abs(after{m}) < bound"]
    body = _fill(
        texts.LINEAR,
        FEATURES=_list(f"data[at + np.uint64({s} * ROW)]" for s in range(len(found))),
        VALUES=_list(f"state[i + np.uint64(VALUES + {s} * ROW)]" for s in range(len(found))),
        THETA=_theta(len(parameters)),
        COMBINED=_list(f"scratch[np.uint64({s} * ROW + k)]" for s in range(len(found))),
        TOTAL=_list(totals),
        MOVE=_block(2, move),
        SHIFT=", shift" if moments else "",
    )
    return [*functions, body]


def _pointwise(model: IndexedModel, symbols: _Symbols, moments: bool, constants: Mapping[str, object]) -> list[str]:
    """phi and its slopes for every sample; of a matrix between two products."""
    wanted = [*symbols.parameters, *([symbols.argument] if model.matrix else [])]
    slopes = {f"slope{m}": symbols.phi.diff(s) for m, s in enumerate(wanted)}
    point = _formula(
        "point", "One term and its slopes.", {"phi": symbols.phi} | slopes, [*symbols.parameters, symbols.argument]
    )
    places = [f"scratch[s + np.uint64({m} * ROW)]" for m in range(len(symbols.parameters))]
    places += ["argument[row + np.uint64(k)]"] if model.matrix else []
    shift = ", shift" if moments else ""
    step = _fill(
        texts.MATRIX_STEP if model.matrix else texts.VECTOR_STEP,
        SHIFT=shift,
        FORWARD=_block(2, _tiles(int(str(constants["ROW"])), forward=True)),
        BACKWARD=_block(2, _tiles(int(str(constants["ROW"])), forward=False)),
    )
    body = _fill(
        texts.POINTWISE,
        SLOPES=_list(slopes),
        SLOPES_K=_list(places),
        THETA=_theta(len(symbols.parameters)),
        STEP=step,
    )
    return [point, body]


def _tiles(row: int, forward: bool) -> Iterable[str]:
    """Calls for all columns, up to 32 at a time."""
    for c in range(0, row, 8 * WIDEST):
        width = min(WIDEST, (row - c) // 8)
        if forward:
            arguments = f"scratch, z + np.uint64({c}), ROW, data, places, draw + b, 0, state, matrix + np.uint64({c}), ROW, WIDTH"
        else:
            arguments = f"scratch, np.uint64(CHANGE + {c}), ROW, data, places, draw, j, scratch, np.uint64(Z + {c}), ROW, batch"
        yield f"product({arguments}, TILE, {width}, {int(not forward)})"


def _sums(values: Sequence[str], places: Sequence[str], shifts: Sequence[str]) -> list[str]:
    lines = []
    for value, place, shift in zip(values, places, shifts):
        lines += [f"away = {value} - shift[{shift}]", f"state[{place} + np.uint64(SPACE)] += away"]
        lines += [f"state[{place} + np.uint64(2 * SPACE)] += away * away"]
    return lines


def _numbered(name: str, expressions: Iterable[sp.Expr]) -> dict[str, sp.Expr]:
    return {f"{name}{s}": e for s, e in enumerate(expressions)}


def _theta(count: int) -> str:
    return _list(f"state[i + np.uint64({m} * ROW)]" for m in range(count))
