"""The KKT system of R on the zero-loss set, and the Krawczyk test of its zeros in interval arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import Any

import numpy as np
import sympy as sp
from mpmath import iv
from numpy.typing import NDArray

from .intervals import NoEnclosure, enclose
from .model import Model

__all__ = ["KktSystem", "kkt_system", "krawczyk"]

Array = NDArray[np.float64]
Intervals = NDArray[np.object_]


@dataclass(frozen=True)
class KktSystem:
    """F(theta, mu) = (grad [R + mu.(f - y)], f - y) and its Jacobian, of floats or of intervals."""

    value: NDArray[Any]
    jacobian: NDArray[Any]


def kkt_system(residual: Any, first: Any, second: Any, third: Any, inverse: Any, mu: Any, eta: Any) -> KktSystem:
    """Evaluate the KKT system of R_GN = -(1/(2 eta)) log det(1 - (eta/2) J J^T / n), which is R on Gamma.

    `inverse` is A = (1 - (eta/2) J J^T / n)^-1. With G = J J^T / n: d_k R = (1/4) tr(A d_k G) and
    d_kl R = (1/4) tr(A d_kl G) + (eta/8) tr(A d_l G A d_k G).
    """
    n = len(residual)
    weighted = np.dot(inverse, first)
    gradient = np.tensordot(second, weighted, axes=([0, 2], [0, 1])) / (2 * n)
    cross = np.tensordot(second, first, axes=(2, 1)).transpose(1, 0, 2)
    change = (cross + cross.transpose(0, 2, 1)) / n
    turned = np.tensordot(change, inverse, axes=(1, 1))
    curvature = (
        np.tensordot(third, weighted, axes=([0, 3], [0, 1]))
        + np.tensordot(second, np.tensordot(inverse, second, axes=(1, 0)), axes=([0, 2], [0, 2]))
    ) / (2 * n) + np.tensordot(turned, turned, axes=([1, 2], [2, 1])) * eta / 8
    lagrangian = curvature + np.tensordot(mu, second, axes=(0, 0))
    zero = np.zeros((n, n)).astype(first.dtype)
    return KktSystem(
        np.concatenate([gradient + np.dot(first.T, mu), residual]), np.block([[lagrangian, first.T], [first, zero]])
    )


def krawczyk(model: Model, lr: float, theta: Array, mu: Array, system: KktSystem, radius: float) -> bool:
    """Whether the box of half-width `radius` around theta is proved to hold exactly one zero.

    References
    ----------
    R. Krawczyk, Computing 4 (1969) 187-201.
    """
    d, n = model.d, model.n
    # mu follows theta: its box must hold what mu can do while theta stays in its own.
    follow = np.linalg.pinv(model.samples.jacobian(theta).T) @ system.jacobian[:d, :d]
    radii = np.concatenate([np.full(d, radius), radius * (1 + 2 * np.sum(np.abs(follow), axis=1))])
    point = np.concatenate([theta, mu])
    centre = np.array([iv.mpf(float(v)) for v in point], dtype=object)
    spread = np.array([iv.mpf([-float(r), float(r)]) for r in radii], dtype=object)
    box = centre + spread
    near_inverse = np.linalg.inv(system.jacobian).astype(object)
    derivatives = _derivatives(model)
    value = _interval_kkt(model, lr, centre[:d], centre[d:], derivatives).value
    slope = _interval_kkt(model, lr, box[:d], box[d:], derivatives).jacobian
    defect = np.eye(d + n).astype(object) - np.dot(near_inverse, slope)
    moved = np.dot(defect, spread) - np.dot(near_inverse, value)
    return all(m.a > -float(r) and m.b < float(r) for m, r in zip(moved, radii))


def _derivatives(model: Model) -> list[list[dict[tuple[int, ...], sp.Expr]]]:
    """For each expression its derivatives of order 0 to 3, by sorted index."""
    tables = []
    for f in model.prediction:
        orders: list[dict[tuple[int, ...], sp.Expr]] = [{(): f}]
        for order in (1, 2, 3):
            indices = combinations_with_replacement(range(model.d), order)
            orders.append({i: orders[-1][i[:-1]].diff(model.parameters[i[-1]]) for i in indices})
        tables.append(orders)
    return tables


def _interval_kkt(model: Model, lr: float, theta: Intervals, mu: Intervals, derivatives: Any) -> KktSystem:
    n, d = model.n, model.d
    filled = [np.empty((n, *(d,) * order), dtype=object) for order in range(4)]
    for i in range(n):
        values = dict(zip(model.parameters, theta))
        values.update({s: _decimal(v) for s, v in zip(model.inputs, model.x[i])})
        memo: dict[sp.Basic, Any] = {}
        for order, table in enumerate(derivatives[i % len(derivatives)]):
            for index, expression in table.items():
                entry = enclose(expression, values, memo)
                for permuted in set(permutations(index)):
                    filled[order][(i, *permuted)] = entry
    residual = filled[0] - np.array([_decimal(v) for v in model.y], dtype=object)
    eta = _decimal(lr)
    margin = np.eye(n).astype(object) - np.dot(filled[1], filled[1].T) * (eta / (2 * n))
    return kkt_system(residual, filled[1], filled[2], filled[3], _inverse(margin), mu, eta)


def _decimal(value: float) -> Any:
    exact = sp.Rational(repr(float(value)))
    return iv.mpf(int(exact.p)) / iv.mpf(int(exact.q))


def _inverse(matrix: Intervals) -> Intervals:
    """Enclose the inverse: with B near it and E = 1 - B M, |M^-1 - B| <= |E| / (1 - |E|) max |B|, columnwise."""
    middle = np.array([[float(v.mid.a) for v in row] for row in matrix])
    near = np.linalg.inv(middle)
    error = np.eye(len(near)).astype(object) - np.dot(near.astype(object), matrix)
    size = max(sum(abs(float(max(abs(v.a), abs(v.b)).b)) for v in row) for row in error) * (1 + 1e-12)
    if not size < 0.5:
        raise NoEnclosure("1 - (eta/2) J J^T / n could not be inverted over the box")
    columns = np.max(np.abs(near), axis=0) * (size / (1 - size)) * (1 + 1e-12)
    return near.astype(object) + np.array([[iv.mpf([-float(c), float(c)]) for c in columns]] * len(near), dtype=object)
