"""From a `Model` to the source text of a Numba module that simulates label noise SGD on it.

The only place that prints code. Everything but the model's formulas is an argument of the generated functions:
learning rate, label noise, data, batch size and sampling change without a new compilation.
"""

from __future__ import annotations

import builtins
import inspect
import io
import keyword
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import sympy as sp
from flatmin.theory import Model
from flatmin.theory.algorithm import sgd_update
from sympy.printing.pycode import PythonCodePrinter

from . import kernel_math, kernel_random, templates

__all__ = ["generate"]


def generate(model: Model) -> str:
    """Return the text of a self-contained module with the kernels `advance` and `descend` for this model.

    The text depends on the model's formulas alone, not on its data, and for a list of predictions on their number.
    One expression with inputs is evaluated for the samples that are drawn ("indexed"); a list of expressions is
    evaluated as a whole, sharing common subexpressions among samples ("unrolled").
    """
    names = _Names(model)
    unrolled = not model.inputs and len(model.prediction) == model.n
    body = _unrolled(model, names) if unrolled else _indexed(model, names)
    header = _fill(
        templates.HEADER,
        PARAMETERS=", ".join(map(str, names.theta)),
        PREDICTION="\n            ".join(str(names.rename(f)) for f in model.prediction),
        LAYOUT="unrolled: all samples in one expression" if unrolled else "indexed: one sample's expression",
    )
    constants = [f"{c} = {getattr(kernel_random, c)}\n" for c in kernel_random.CONSTANTS] + [f"D = {model.d}\n"]
    parts = (*_sources(kernel_math), *_sources(kernel_random), templates.ROWS, _update(names), body, templates.DRIVERS)
    return header + "".join(constants) + "\n\n" + "\n\n".join(parts)


@cache
def _reserved() -> frozenset[str]:
    """All names that a function with the model's names in it may use for something else.

    The other functions are scopes of their own: what is local there is free here.
    """
    functions: tuple[Any, ...] = (*kernel_math.FUNCTIONS, *kernel_random.FUNCTIONS)
    fixed = {f.__name__ for f in functions} | set(kernel_random.CONSTANTS) | _words(templates.HEADER)
    for text in (templates.INDEXED, _unrolled_loops(1, 1), templates.ROWS, templates.DRIVERS):
        for function in text.split("\n\n\n"):
            # Only what fills <THETA> and <TOTAL> are names from the model.
            filled = "<THETA>" in function or "<TOTAL>" in function
            fixed |= _words(function if filled else function[: function.index("(")])
    return frozenset(fixed) | set(dir(builtins)) | set(keyword.kwlist) | PythonCodePrinter.reserved_words


def _words(text: str) -> set[str]:
    """The names in a piece of a template, without those in strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {t.string for t in tokens if t.type == tokenize.NAME}


class _Names:
    """Real symbols, with names that Python accepts and that nothing else has, in place of the model's own."""

    def __init__(self, model: Model) -> None:
        self.taken: set[str] = set()
        # What is printed here comes first, so that it has these names; the rest gives way.
        self.rate, self.batch, self.target = (self.new(s) for s in ("rate", "batch", "target"))
        self.arrays = [self.new(s) for s in ("count", "noise")] + [self.target]
        n = model.n if len(model.prediction) == model.n else 0
        # One symbol per sample: entries of the three arrays, and residuals with their noise.
        self.counts, self.noises, self.targets, self.residuals = (
            [self.new(f"{s}_{i}") for i in range(n)] for s in ("count", "noise", "target", "residual")
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

    def temporaries(self) -> Iterator[sp.Symbol]:
        k = 0
        while True:
            if f"t{k}" not in self.taken:
                yield sp.Symbol(f"t{k}", real=True)
            k += 1


class _Printer(PythonCodePrinter):
    """Numbers as floats; exp, log, tanh and sign without a module: they are defined in the generated one."""

    _kf = PythonCodePrinter._kf | {"exp": "exp", "log": "log", "tanh": "tanh"}

    def _print_Float(self, e: sp.Float) -> str:
        return repr(float(e))

    _print_Integer = _print_Rational = _print_NumberSymbol = _print_Float
    _print_Zero = _print_One = _print_NegativeOne = _print_Half = _print_Float
    _print_Exp1 = _print_Pi = _print_Float

    def _print_sign(self, e: sp.sign) -> str:
        return f"sign({self._print(e.args[0])})"

    def _print_Pow(self, e: sp.Pow, rational: bool = False, sqrt: str = "math.sqrt") -> str:
        base, exponent = e.args
        if exponent.is_Integer and exponent > 0:
            # Numba multiplies a constant power out.
            return f"{self.parenthesize(base, 1000, strict=True)}**{int(exponent)}"
        if exponent.is_number and exponent < 0:
            return f"(1.0 / {self.parenthesize(base**-exponent, 1000, strict=True)})"
        if exponent == sp.S.Half:
            return f"{sqrt}({self._print(base)})"
        return f"math.pow({self._print(base)}, {self._print(exponent)})"


def _print(e: sp.Expr) -> str:
    return _Printer({"fully_qualified_modules": True}).doprint(e)


def _update(names: _Names) -> str:
    # rate = lr/B: the gradient of the batch is its total over B.
    new = sgd_update(names.theta, [g / names.batch for g in names.total], names.rate * names.batch)
    return _function("update", [*names.theta, *names.total, names.rate], "One step of one replica.", [], new)


def _indexed(model: Model, names: _Names) -> str:
    f = names.rename(model.prediction[0])
    shared, result = sp.cse([f - names.target, *(f.diff(t) for t in names.theta)], symbols=names.temporaries())
    sample = _function(
        "sample", [*names.theta, *names.inputs, names.target], "f(theta; x) - y and its gradient.", shared, result
    )
    gradient = [f"g{j}" for j in range(model.d)]
    data = [*(f"x[i, {c}]" for c in range(len(model.inputs))), "y[i]"]
    loops = _fill(
        templates.INDEXED,
        GRADIENT=", ".join(gradient),
        THETA_K=_rows("theta", model.d),
        TOTAL_K=_rows("total", model.d),
        DATA_I=_list(data),
        DRAWN_K=_rows("drawn", len(data)),
        GATHER="\n".join(f"        drawn[{_at(c)}] = {value}" for c, value in enumerate(data)),
        ADD_TOTALS="\n".join(f"        total[{_at(j)}] += residual * {g}" for j, g in enumerate(gradient)),
    )
    return f"INPUTS = {len(model.inputs)}\n\n\n" + sample + "\n\n" + loops


def _unrolled(model: Model, names: _Names) -> str:
    n = model.n
    f = [names.rename(e) for e in model.prediction]
    residual, entries = names.residuals, (names.counts, names.noises, names.targets)
    # A residual with its noise is one symbol while gradients are summed, so that cse sees it as a whole.
    first = [c * (e - y) - eps for e, c, eps, y in zip(f, *entries, strict=True)]
    totals = [sum((r * e.diff(t) for r, e in zip(residual, f, strict=True)), sp.S.Zero) for t in names.theta]
    shared, reduced = sp.cse([*first, *totals], symbols=names.temporaries())
    body = _in_order([*shared, *zip(residual, reduced[:n], strict=True)])
    arrays = {s: sp.Symbol(f"{a}[{i}]") for a, row in zip(names.arrays, entries) for i, s in enumerate(row)}
    function = _function(
        "total_gradient",
        [*names.theta, *names.arrays],
        "Sum over samples of (count_i (f_i - y_i) - noise_i) grad f_i.",
        body,
        reduced[n:],
        arrays,
    )
    loops = _fill(_unrolled_loops(n, model.d), THETA=_list(names.theta), TOTAL=_list(names.total))
    # So many steps are unrolled that a pass over the replicas has some eight samples to evaluate.
    constants = f"N = {n}\nPERIOD = {max(1, 64 // n)}\nSTRIDE = {max(1, 8 // n)}\n"
    return constants + "\n\n" + function + "\n\n" + loops


def _unrolled_loops(n: int, d: int) -> str:
    """The loops of this layout, but for the model's names."""
    return _fill(
        templates.UNROLLED,
        THETA_K=_rows("theta", d),
        COUNT_K=_rows("count", n) + ",",
        NOISE_K=_rows("noise", n) + ",",
        ONES=_list(["1.0"] * n) + ",",
        FLIPS=_list(f"flip(size[{i}], word, s * N + {i})" for i in range(n)) + ",",
        SIGMA=_list(f"sigma[{i}]" for i in range(n)) + ",",
        Y=_list(f"y[{i}]" for i in range(n)) + ",",
    )


def _in_order(assignments: Sequence[tuple[sp.Symbol, sp.Expr]]) -> list[tuple[sp.Symbol, sp.Expr]]:
    """The assignments, each after those that it uses."""
    left, known, ordered = list(assignments), {s for s, _ in assignments}, []
    while left:
        ready = [(s, e) for s, e in left if not e.free_symbols & known]
        ordered += ready
        known -= {s for s, _ in ready}
        left = [(s, e) for s, e in left if s in known]
    return ordered


def _function(
    name: str,
    arguments: Sequence[sp.Symbol],
    docstring: str,
    body: Sequence[tuple[sp.Symbol, sp.Expr]],
    result: Sequence[sp.Expr],
    arrays: dict[sp.Symbol, sp.Symbol] | None = None,
) -> str:
    """The text of a function that returns a tuple, or a number if that is all: then one name takes it."""
    arrays = arrays or {}
    lines = [
        "@inlined",
        f"def {name}({_list(arguments)}):",
        f'    """{docstring}"""',
        *(f"    {s} = {_print(e.xreplace(arrays))}" for s, e in body),
        f"    return {_list(_print(e.xreplace(arrays)) for e in result)}",
    ]
    return "\n".join(lines) + "\n"


def _sources(module: ModuleType) -> list[str]:
    functions: tuple[Any, ...] = module.FUNCTIONS
    return [inspect.getsource(f.py_func) for f in functions]


def _fill(text: str, **values: str) -> str:
    for key, value in values.items():
        text = text.replace(f"<{key}>", value)
    return text


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _at(row: int) -> str:
    return "k" if row == 0 else f"{'' if row == 1 else f'{row} * '}LANES + k"


def _rows(array: str, count: int) -> str:
    return _list(f"{array}[{_at(j)}]" for j in range(count))
