"""Second-order jets: values with their first and second derivatives, composed by the chain rule.

SymPy differentiates small pieces, each once; the composition of them is numeric and exact to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .numeric import numeric

__all__ = ["Jet", "Pieces"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Jet:
    """Functions of q variables at m points, to second order.

    Attributes
    ----------
    value : ndarray, shape (m, a)
    first : ndarray, shape (m, a, q)
    second : ndarray, shape (m, a, q, q)
    """

    value: Array
    first: Array
    second: Array

    @classmethod
    def variables(cls, value: Array, begin: int, count: int) -> Jet:
        """The variables from number `begin` of `count` themselves, at values of shape (m, a)."""
        m, a = value.shape
        first = np.zeros((m, a, count))
        first[:, range(a), range(begin, begin + a)] = 1.0
        return cls(value, first, np.zeros((m, a, count, count)))

    @classmethod
    def joined(cls, jets: Sequence[Jet]) -> Jet:
        """All functions of several jets."""
        return cls(*(np.concatenate([getattr(j, name) for j in jets], axis=1) for name in ("value", "first", "second")))

    def after(self, inner: Jet) -> Jet:
        """This jet in the functions of `inner`, as a jet in the variables of `inner`."""
        first = self.first @ inner.first
        bent = np.einsum("mzab,mbq->mzaq", self.second, inner.first, optimize=True)
        second = np.einsum("map,mzaq->mzpq", inner.first, bent, optimize=True)
        return Jet(self.value, first, second + np.einsum("mza,mapq->mzpq", self.first, inner.second, optimize=True))


class Pieces:
    """Expressions with their first and second derivatives, compiled together.

    Parameters
    ----------
    expressions : sequence of sympy.Expr
    variables : sequence of Symbol
        In which they are differentiated.
    parameters : sequence of Symbol
        The other symbols in them.
    """

    def __init__(
        self, expressions: Sequence[sp.Expr], variables: Sequence[sp.Symbol], parameters: Sequence[sp.Symbol]
    ) -> None:
        self.count, self.size = len(expressions), len(variables)
        place = {v: k for k, v in enumerate(variables)}
        found: list[sp.Expr] = list(expressions)
        self._first: list[tuple[int, int]] = []
        self._second: list[tuple[int, int, int]] = []
        bends: list[sp.Expr] = []
        for z, expression in enumerate(expressions):
            for i in sorted(place[s] for s in expression.free_symbols if s in place):
                slope = expression.diff(variables[i])
                if slope != 0:
                    self._first.append((z, i))
                    found.append(slope)
                # Symmetric: each is taken once.
                for j in sorted(place[s] for s in slope.free_symbols if s in place and place[s] >= i):
                    self._second.append((z, i, j))
                    bends.append(slope.diff(variables[j]))
        self._function = numeric([*variables, *parameters], [*found, *bends], cse=True, dummify=True)

    def __call__(self, values: Array, parameters: Sequence[float | Array]) -> Jet:
        """The jet in the variables at values of shape (m, q); a parameter is a number or an array of shape (m,)."""
        m = len(values)
        found = [np.broadcast_to(np.asarray(e, dtype=np.float64), m) for e in self._function(*values.T, *parameters)]
        value = np.stack(found[: self.count], axis=-1)
        first, second = np.zeros((m, self.count, self.size)), np.zeros((m, self.count, self.size, self.size))
        for (z, i), slope in zip(self._first, found[self.count :], strict=False):
            first[:, z, i] = slope
        for (z, i, j), bend in zip(self._second, found[self.count + len(self._first) :], strict=True):
            second[:, z, i, j] = second[:, z, j, i] = bend
        return Jet(value, first, second)
