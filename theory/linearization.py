"""Second-order averaging in closed form for every rule that is linear in the gradient at theta.

x' = M x - G g with the state x = (theta, memory). On Gamma A = M - G H; the fluctuation has covariance S with

    S = A S A' + (1/B) [c ((1/n) sum (g_i' S g_i) G g_i g_i' G' - G H S H G') + (1/n) sum sigma_i^2 G g_i g_i' G']

on the stable subspace of A, c as in `Algorithm.minibatch_factor`; noise of covariance eta lambda Sigma(theta) adds
(lambda/eta) G Sigma G'. The drift is the slow part of -G (1/2) D3L[S] + lambda f(x).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .averaging import Averaged, motion_along
from .errors import NotApplicable
from .geometry import LocalGeometry
from .linear import LinearRule, discrete_lyapunov, slow_projector
from .model import Model

__all__ = ["linearized", "packed_places"]

Array = NDArray[np.float64]


def linearized(
    model: Model, algorithm: Algorithm, rule: LinearRule, local: LocalGeometry, sigma: Array | None = None
) -> Averaged:
    """Average one step at a zero-loss point.

    Parameters
    ----------
    model, algorithm
        With a square loss (`effective`).
    rule : LinearRule
    local : LocalGeometry
    sigma : ndarray, shape (d, d), optional
        Sigma(theta) of gradient noise.

    Raises
    ------
    NotApplicable
        When there is no stationary covariance.
    """
    d, batch, c = rule.d, algorithm.batch(model), algorithm.minibatch_factor(model)
    gain, strength = rule.gain, algorithm.strength(model)
    a = rule.carried.copy()
    a[:, :d] -= gain @ local.hessian
    slow = slow_projector(a)
    stable = np.eye(rule.size) - slow
    left, singular, _ = np.linalg.svd(stable)
    basis = left[:, singular > 0.5]
    dual = basis.T @ stable
    mean = dual @ a @ basis
    moved = local.jacobian @ gain.T  # rows G g_i
    fresh = (moved.T * algorithm.sigmas(model) ** 2) @ moved / local.n / batch
    if sigma is not None:
        fresh = fresh + strength / algorithm.lr * gain @ sigma @ gain.T
    inside = dual @ fresh @ dual.T
    contraction = float(np.max(np.abs(np.linalg.eigvals(mean)), initial=0.0))
    if contraction >= 1:
        raise NotApplicable("learning rate", f"spectral radius {contraction:.6g} of the update must be below 1")
    radius = contraction**2
    if c:
        solved, radius = _with_minibatch(mean, moved @ dual.T, local.jacobian @ basis[:d], inside, c / batch)
        if radius >= 1:
            raise NotApplicable("second-moment limit", f"spectral radius {radius:.6g} must be below 1")
    else:
        solved = discrete_lyapunov(mean, inside)
    covariance = basis @ solved @ basis.T
    push = -0.5 * gain @ local.third(covariance[:d, :d])
    push = push + strength * rule.forcing(np.concatenate([local.theta, np.zeros(rule.size - d)]))
    offset = basis @ np.linalg.solve(np.eye(len(mean)) - mean, dual @ push)
    along, ito = motion_along(slow, basis, dual, mean, fresh, lambda s: -gain @ local.third(s[:d, :d]))
    drift = (slow @ push + ito)[:d]
    return Averaged(covariance[:d, :d], drift, offset[:d], radius, contraction, along[:d, :d], ito[:d])


@cache
def packed_places(rank: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Rows and columns of the packed coordinates of symmetric matrices, and the scale that makes them orthonormal."""
    rows, columns = np.triu_indices(rank)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2))


def _with_minibatch(mean: Array, moved: Array, seen: Array, fresh: Array, weight: float) -> tuple[Array, float]:
    """S and the spectral radius of its operator, with the part of the noise that grows with the fluctuation.

    moved and seen hold rows W G g_i and V^T g_i, shape (n, s).
    """
    n, s = moved.shape
    rows, columns, scale = packed_places(s)
    coupling = moved.T @ seen / n
    # Columns of the operator: what it makes of each symmetric unit matrix, in orthonormal coordinates.
    units = np.zeros((len(rows), s, s))
    index = np.arange(len(rows))
    units[index, rows, columns] = units[index, columns, rows] = 1 / scale
    images = mean @ units @ mean.T
    sizes = np.einsum("ia,kab,ib->ki", seen, units, seen, optimize=True)
    images += weight * (np.einsum("ki,ia,ib->kab", sizes, moved, moved, optimize=True) / n)
    images -= weight * coupling @ units @ coupling.T
    operator = (images[:, rows, columns] * scale).T
    solved = np.linalg.solve(np.eye(len(rows)) - operator, fresh[rows, columns] * scale)
    out = np.zeros((s, s))
    out[rows, columns] = out[columns, rows] = solved / scale
    return out, float(np.max(np.abs(np.linalg.eigvals(operator)), initial=0.0))
