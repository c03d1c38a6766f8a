"""Which sums over an index are a model: the form of a prediction, recognised from its SymPy expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from .errors import InvalidInput

__all__ = ["IndexedForm"]

_FORMS = "a sum over k of phi(u[k], ..., x[k]), or of phi(a[k], ..., Sum(W[k, j]*x[j], (j, 0, p - 1)))"


class IndexedForm:
    """The parts of a prediction that is a sum over an index.

    Parameters
    ----------
    prediction : sympy.Expr
    shapes : mapping of str to tuple of int
        The arrays of parameters.
    inputs : str
        Name of the input, x.
    p : int
        Its length.

    Attributes
    ----------
    form : {"vector", "matrix"}
    phi : sympy.Expr
        The formula of one term, in the symbols `vectors` and `argument`.
    vectors, argument, size, matrix
        As in `IndexedModel`.

    Raises
    ------
    InvalidInput
        When it has neither form; the message names the rule.
    """

    def __init__(self, prediction: Any, shapes: Mapping[str, tuple[int, ...]], inputs: str, p: int) -> None:
        self.shapes, self.inputs, self.p = shapes, inputs, p
        factor, outer = prediction.as_coeff_Mul() if isinstance(prediction, sp.Expr) else (1, prediction)
        if not isinstance(outer, sp.Sum):
            raise self._refusal(prediction, "is no sum")
        self.index, self.size = self._limits(outer)
        body = factor * outer.function
        inner = body.atoms(sp.Sum)
        if len(inner) > 1:
            raise self._refusal(prediction, f"has {len(inner)} different sums inside; one is supported")
        self.form = "matrix" if inner else "vector"
        self.matrix: str | None = self._product(*inner) if inner else None
        used = {str(a.base) for a in body.atoms(sp.Indexed)} - {inputs}
        self.argument = sp.Symbol(_fresh("z" if inner else inputs, used), real=True)
        known: dict[sp.Expr, sp.Expr] = dict.fromkeys(inner, self.argument)
        # A symbol of the name of an array would be taken for its entry.
        held: dict[sp.Expr, sp.Expr] = {a: sp.Dummy() for a in (*inner, *body.atoms(sp.Indexed))}
        if bare := sorted(map(str, body.xreplace(held).free_symbols - set(held.values()))):
            raise self._refusal(prediction, f"uses {bare} outside of brackets")
        body = body.xreplace(known)
        for entry in body.atoms(sp.Indexed):
            known[entry] = self._entry(entry)
        self.phi = body.xreplace(known)
        if self.form == "vector" and self.p != self.size:
            raise self._refusal(prediction, f"is a sum of {self.size} over inputs with {self.p} entries")
        present = {s.name for s in self.phi.free_symbols}
        self.vectors = tuple(sp.Symbol(m, real=True) for m in shapes if m != self.matrix)
        if unused := [s.name for s in self.vectors if s.name not in present]:
            raise InvalidInput("model.parameters", f"={unused} are not used in the prediction; remove them")
        if self.phi.has(sp.I, sp.zoo, sp.nan, sp.oo, -sp.oo):
            raise self._refusal(prediction, "must be finite and real")

    def _refusal(self, expression: Any, problem: str) -> InvalidInput:
        return InvalidInput("model.prediction", f"={expression} {problem}; it must be {_FORMS}")

    def _limits(self, total: sp.Sum) -> tuple[sp.Symbol, int]:
        if len(total.limits) != 1 or len(total.limits[0]) != 3:
            raise self._refusal(total, "must be over one index with limits")
        index, first, last = total.limits[0]
        if first != 0 or not last.is_Integer or last < 0:
            raise self._refusal(total, f"runs from {first} to {last}; an index must run from 0 to a number")
        return index, int(last) + 1

    def _product(self, inner: sp.Sum) -> str:
        """The name of W in Sum(W[k, j]*x[j], (j, 0, p - 1))."""
        index, count = self._limits(inner)
        factors = sp.Mul.make_args(inner.function)
        entries = {str(f.base): tuple(f.indices) for f in factors if isinstance(f, sp.Indexed)}
        matrices = [m for m in entries if m in self.shapes]
        right = len(factors) == len(entries) == 2 and entries.get(self.inputs) == (index,) and len(matrices) == 1
        if not right or entries[matrices[0]] != (self.index, index):
            raise self._refusal(inner, f"must be Sum(W[{self.index}, {index}]*{self.inputs}[{index}], ...)")
        if count != self.p or self.shapes[matrices[0]] != (self.size, count):
            rule = f"has {count} terms for {self.p} inputs and a matrix of shape {self.shapes[matrices[0]]}"
            raise self._refusal(inner, f"{rule}; W must have shape ({self.size}, {self.p})")
        return matrices[0]

    def _entry(self, entry: sp.Indexed) -> sp.Symbol:
        name, base = str(entry.base), self.shapes.get(str(entry.base))
        if tuple(entry.indices) != (self.index,):
            raise self._refusal(entry, f"must have the one index {self.index}")
        if name == self.inputs:
            if self.form == "matrix":
                raise self._refusal(entry, "stands outside of the inner sum")
            return self.argument
        if base is None:
            raise self._refusal(entry, f"is not declared; parameters are {list(self.shapes)}")
        if base != (self.size,):
            raise self._refusal(entry, f"has shape {base} in a sum of {self.size}")
        return sp.Symbol(name, real=True)


def _fresh(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name
