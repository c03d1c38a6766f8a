"""From an `IndexedModel` to the source text of a Numba module that simulates label noise SGD on it.

The same functions with the same arguments as `codegen` gives to other models. There replicas fill the vectors of the
processor, and every parameter is a name in the text; here the index does, replicas take turns, and the text has the
formula of one term. Sizes of arrays are in the text; learning rate, label noise, data and batch size are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp
from flatmin.theory.indexed import IndexedModel
from flatmin.theory.rules import SGD

from . import indexed_steps as texts_of_steps
from . import indexed_templates as texts
from . import templates
from .form import RuleStep
from .kernel_text import below_all, fill, function_sources, function_text, in_docstring, indented, listed
from .program import three_address

__all__ = ["features", "generate_indexed", "generate_indexed_moments"]

DRAWS = 256  # of one replica, made before the first of them is needed
GROUP = 2  # steps whose moments are summed up together
CHECKED = 16  # steps between looks for replicas out of bounds, which cost as much as a tenth of a step
TOGETHER = 8  # samples whose terms are computed before the first sum of them is needed
TILE, WIDEST = 4, 4  # rows and vectors of a tile: as many sums as leave registers for what is added
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
    header = fill(
        templates.HEADER,
        PARAMETERS=in_docstring(", ".join(f"{name}{list(shape)}" for name, shape in model.shapes.items())),
        PREDICTION=in_docstring(str(model.prediction)),
        LAYOUT="replicas one at a time, vectors over the index; rows of theta have theta.size // D replicas",
    )
    sizes = _constants(model, moments, len(found) if found else 0)
    functions, step, end = _linear(symbols, found, moments) if found else _pointwise(model, symbols, moments)
    kinds, shift = (", f8[::1]", ", shift") if moments else ("", "")
    run = fill(texts.RUN, SHIFT=shift, SHIFT_TYPE=kinds, STEP=indented(5, step), END_GROUP=indented(5, end))
    drivers = (texts.COMMON, texts.ACCUMULATE if moments else texts.DRIVERS)
    vectors = ("kernel_hints", "kernel_vector", "vector_math", "vector_words", "kernel_tiles", "kernel_codes")
    formulas = (*function_sources("kernel_math").values(), *function_sources("kernel_random").values())
    return templates.module(header, sizes, drivers, (*map(below_all, vectors), *formulas, texts.CHECK, *functions, run))


def _constants(model: IndexedModel, moments: bool, features: int) -> dict[str, object]:
    """Sizes and offsets, in numbers of eight bytes. A row is filled up to whole vectors, a matrix to whole tiles."""
    count, row, width = len(model.vectors), -(-model.size // 8) * 8, -(-model.size // 8) * 8 * max(1, features)
    rows = count
    if model.matrix is not None:
        width = -(-model.p // TILE) * TILE
        rows += width
    space, vectors, group = row * rows, row * count, GROUP if moments and features else CHECKED
    values = space * (GROUP if moments and features else 1)
    change = vectors * (1 + TOGETHER)
    return {
        "D": model.d,
        "SIZE": model.size,
        "ROW": row,
        "INPUTS": model.p,
        "VECTORS_AT": tuple(model.offsets[s.name] for s in model.vectors),
        "MATRIX_AT": -1 if model.matrix is None else model.offsets[model.matrix],
        "REPEATED": bool(features),
        "SPACE": space,
        "VALUES": values,
        "SUMS": values + row * features,
        "STATE": values + row * features + (2 * space if moments else 0),
        "WIDTH": width,
        "FEATURES": features,
        "VECTOR_SPACE": vectors,
        "SLOPES": vectors,
        "SLOPE_VECTORS": vectors // 8,
        "ROW_VECTORS": row // 8,
        "CHANGE": change,
        "Z": change + TILE * row,
        "SCRATCH": width if features else change + TILE * row,
        "SCRATCH_EACH": row if model.matrix is not None else 0,
        "DRAWS": DRAWS,
        "CHECKED": CHECKED,
        "GROUP": group,
        "TILE": TILE,
        "TOGETHER": TOGETHER,
        "TURNS": 2 if features and space <= 512 else 1,
    }


def _update() -> str:
    theta, total, rate = sp.symbols("theta total rate", real=True)
    (new,) = RuleStep(SGD(), [theta], [total], rate, sp.Symbol).new
    return _formula("update", "One step of one entry.", {"new": new}, [theta, total, rate])


def _formula(name: str, docstring: str, outputs: Mapping[str, sp.Expr], inputs: Sequence[sp.Symbol]) -> str:
    return function_text(name, docstring, three_address(outputs, inputs))


# What a module adds between its formulas and `run`, the text of a step, and of what follows two of them.
Parts = tuple[list[str], str, list[str]]


def _linear(symbols: _Symbols, found: Mapping[sp.Expr, sp.Expr], moments: bool) -> Parts:
    """Values and features in two products; the slopes of values come after the second."""
    parameters, values, rows = symbols.parameters, found.values(), range(len(symbols.parameters))
    combined = [sp.Symbol(f"c{s}", real=True) for s in range(len(found))]
    # A number in front goes into the rate, once and for all.
    totals = [sum((c * v.diff(p) for c, v in zip(combined, values)), sp.S.Zero).as_coeff_Mul() for p in parameters]
    rates = [sp.Symbol(f"rate{m}", real=True) for m in rows]
    after = {
        f"after{m}": RuleStep(SGD(), [p], [totals[m][1]], rates[m], sp.Symbol).new[0] for m, p in enumerate(parameters)
    }
    lists = {
        "END": three_address(after, [*parameters, *combined, *rates]),
        "VALUE": three_address(_numbered("value", values), parameters),
    }
    texts_of_lists = [f'{name} = """\\\n{program}"""\n' for name, program in lists.items()]
    constants = f"RATES = {tuple(float(factor) for factor, _ in totals)}\n" + "".join(texts_of_lists)
    functions = [
        *map(below_all, ("vector_list", "kernel_features")),
        constants,
        _formula("features", "What is known of an input.", _numbered("feature", found), [symbols.argument]),
        fill(texts_of_steps.LINEAR, FEATURES=listed(f"data[at + np.uint64({s} * ROW)]" for s in range(len(found)))),
    ]
    here = "state, at, data, places, number, number + batch, target, residual, to, rate"
    step = fill(
        texts_of_steps.LINEAR_STEP,
        TURN=indented(2, _either(f"turn({here}, {{}})", moments)),
        END=indented(2, _either("end(state, at, scratch, begin, rate, {})", moments)),
    )
    if not moments:
        return functions, step, []
    return [*functions, texts_of_steps.MOMENTS], step, ["if count == 1:", "    end_pair(state, at, shift)"]


def _either(call: str, moments: bool) -> list[str]:
    """A call alone, or as the first and as the second of two steps."""
    if not moments:
        return [call.format("SINGLE, None")]
    return ["if u == 0:", "    " + call.format("FIRST, None"), "else:", "    " + call.format("SECOND, shift")]


def _pointwise(model: IndexedModel, symbols: _Symbols, moments: bool) -> Parts:
    """phi and its slopes for every sample; of a net between two products."""
    count, wanted = len(symbols.parameters), [*symbols.parameters, *([symbols.argument] if model.matrix else [])]
    slopes = {f"slope{m}": symbols.phi.diff(s) for m, s in enumerate(wanted)}
    inputs = [*symbols.parameters, symbols.argument]
    places = [_rows("scratch", "s", count)] + (["argument[row + np.uint64(k)]"] if model.matrix else [])
    row = -(-model.size // 8) * 8
    body = fill(
        texts_of_steps.POINTWISE,
        STEP=texts_of_steps.MATRIX_STEP if model.matrix else texts_of_steps.VECTOR_STEP,
        SLOPES=listed(slopes),
        SLOPES_K=listed(places),
        PARAMETERS=_rows("state", "i", count),
        FORWARD=indented(2, _tiles(row, forward=True)),
        BACKWARD=indented(2, _tiles(row, forward=False)),
        SHIFT=", shift" if moments else "",
        ADD_SUMS=indented(2, _SUMS if moments else []),
    )
    point = _formula("point", "One term and its slopes.", {"phi": symbols.phi} | slopes, inputs)
    return [_update(), point, body], fill(texts_of_steps.POINTWISE_STEP, SHIFT=", shift" if moments else ""), []


_SUMS = (
    "away = state[i] - shift[offset + np.uint64(e)]",
    "state[i + np.uint64(SUMS)] += away",
    "state[i + np.uint64(SUMS + SPACE)] += away * away",
)


def _tiles(row: int, forward: bool) -> Iterable[str]:
    """Calls for all columns, up to 32 at a time."""
    for c in range(0, row, 8 * WIDEST):
        width = min(WIDEST, (row - c) // 8)
        if forward:
            left, right = "places, number + b, 0", f"state, matrix + np.uint64({c}), ROW, WIDTH"
            yield f"product(scratch, z + np.uint64({c}), ROW, data, {left}, {right}, TILE, {width}, 0)"
        else:
            left, right = "places, number, j", f"scratch, np.uint64(Z + {c}), ROW, batch"
            yield f"product(scratch, np.uint64(CHANGE + {c}), ROW, data, {left}, {right}, TILE, {width}, 1)"


def _numbered(name: str, expressions: Iterable[sp.Expr]) -> dict[str, sp.Expr]:
    return {f"{name}{s}": e for s, e in enumerate(expressions)}


def _rows(array: str, first: str, count: int) -> str:
    return listed(f"{array}[{first} + np.uint64({m} * ROW)]" for m in range(count))
