"""Numeric evaluators of a prediction and its derivatives, vectorised over samples and over points.

One sample's symbols are differentiated once; the data stay numbers, so that n = 10,000 samples cost
no symbolic work. For the list form (one expression per sample) every expression is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import combinations_with_replacement, permutations

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .errors import TooLarge
from .numeric import numeric

__all__ = ["SampleFunctions"]

Array = NDArray[np.float64]

# Operations of the distinct derivatives that are differentiated and compiled in about ten seconds.
_MAX_OPERATIONS = 400_000


class SampleFunctions:
    """Predictions f_i(theta), i = 1..n, with derivatives up to the third.

    Every expression is evaluated on every row of the data; n = rows times expressions, those of one row side by side.
    A list with one expression per sample has one row without entries.

    Parameters
    ----------
    parameters : sequence of Symbol
        theta_1..theta_d.
    inputs : sequence of Symbol
        Columns of `x`; empty for the list form.
    expressions : sequence of Expr
    x : ndarray, shape (rows, p)
        Data; p may be 0.
    """

    def __init__(
        self,
        parameters: Sequence[sp.Symbol],
        inputs: Sequence[sp.Symbol],
        expressions: Sequence[sp.Expr],
        x: Array,
    ) -> None:
        self.parameters = tuple(parameters)
        self.inputs = tuple(inputs)
        self.expressions = tuple(expressions)
        self.x = x
        self.n = len(x) * len(self.expressions)
        self.d = len(self.parameters)

    def value(self, theta: Array) -> Array:
        """f_i(theta), shape (..., n) for theta of shape (..., d)."""
        return self._stacked(self._value, theta, 1)[..., 0]

    def jacobian(self, theta: Array) -> Array:
        """df_i/dtheta_j, shape (..., n, d)."""
        return self._stacked(self._gradient, theta, self.d)

    def hessians(self, theta: Array) -> Array:
        """d2f_i/dtheta_j dtheta_k, shape (..., n, d, d)."""
        return self._symmetric(self._hessian, theta, 2)

    def thirds(self, theta: Array) -> Array:
        """d3f_i/dtheta_j dtheta_k dtheta_l, shape (..., n, d, d, d)."""
        return self._symmetric(self._third, theta, 3)

    @cached_property
    def _first(self) -> list[list[sp.Expr]]:
        return [[f.diff(p) for p in self.parameters] for f in self.expressions]

    @cached_property
    def _value(self) -> Callable[..., list[object]]:
        return self._compile([[f] for f in self.expressions])

    @cached_property
    def _gradient(self) -> Callable[..., list[object]]:
        return self._compile(self._first)

    @cached_property
    def _hessian(self) -> Callable[..., list[object]]:
        return self._compile(self._derivatives(2))

    @cached_property
    def _third(self) -> Callable[..., list[object]]:
        return self._compile(self._derivatives(3))

    def _derivatives(self, order: int) -> list[list[sp.Expr]]:
        rows = []
        for gradient in self._first:
            row = [
                _without_deltas(gradient[index[0]].diff(*(self.parameters[k] for k in index[1:])))
                for index in combinations_with_replacement(range(self.d), order)
            ]
            rows.append(row)
        return rows

    def _compile(self, rows: list[list[sp.Expr]]) -> Callable[..., list[object]]:
        # Common subexpressions first: the count of operations is what compiling costs.
        flat = [entry for row in rows for entry in row]
        shared, reduced = sp.cse(flat, order="none")
        operations = sum(sp.count_ops(e) for _, e in shared) + sum(sp.count_ops(e) for e in reduced)
        if operations > _MAX_OPERATIONS:
            raise TooLarge(
                "model.prediction",
                f" needs {operations} operations for its derivatives, more than {_MAX_OPERATIONS}; use fewer"
                " parameters, or the form with `inputs`, in which one sample is differentiated once",
            )
        return numeric((*self.parameters, *self.inputs), flat, cse=True, dummify=True)

    def _stacked(self, compiled: Callable[..., list[object]], theta: Array, width: int) -> Array:
        theta = np.asarray(theta, dtype=np.float64)
        points = theta.shape[:-1]
        arguments = [theta[..., j, None] for j in range(self.d)] + [self.x[:, c] for c in range(self.x.shape[1])]
        with np.errstate(all="ignore"):  # a value that is not finite is reported by whoever asked for it
            entries = compiled(*arguments)
        out = np.empty((*points, len(self.x), len(self.expressions), width))
        for k, entry in enumerate(entries):
            out[..., k // width, k % width] = entry
        return out.reshape(*points, self.n, width)

    def _symmetric(self, compiled: Callable[..., list[object]], theta: Array, order: int) -> Array:
        places = _places(self.d, order)
        return np.take(self._stacked(compiled, theta, int(places.max()) + 1), places, axis=-1)


@cache
def _places(d: int, order: int) -> NDArray[np.int64]:
    """Where each derivative stands among those with increasing indices, shape (d,) * order."""
    out = np.empty((d,) * order, dtype=np.int64)
    for k, index in enumerate(combinations_with_replacement(range(d), order)):
        for permuted in permutations(index):
            out[permuted] = k
    return out


def _without_deltas(derivative: sp.Expr) -> sp.Expr:
    # The second derivative of abs is zero away from the kink; the delta there has no number.
    return derivative.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) if derivative.has(sp.DiracDelta) else derivative
