"""Exact enumeration of one step: the third route to the drift.

E[Phi(U(theta* + xi, w)) - Phi(theta* + xi)] over all outcomes of w and over a symmetric cubature of a fluctuation xi
of given covariance, extrapolated to vanishing noise. Phi is the noise-free limit, iterated; no derivative is taken.
"""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .geometry import noise_free_limit
from .model import Model

__all__ = ["enumerated_drift"]

Array = NDArray[np.float64]


def enumerated_drift(
    model: Model, algorithm: Algorithm, theta: Array, covariance: Array, kick: float = 0.03, levels: int = 5
) -> Array:
    """Drift per step at a zero-loss point, by enumeration at falling label noise and Richardson extrapolation.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        The drift is returned at its own noise strength.
    theta : ndarray, shape (d,)
        A zero-loss point.
    covariance : ndarray, shape (d, d)
        Of the fluctuation at the algorithm's own strength; it matters only through the minibatch noise.
    kick : float
        Largest step eta sigma |grad f_i| that is enumerated; halved at every level.
    levels : int
        Number of strengths.
    """
    sigmas = algorithm.sigmas(model)
    own = algorithm.lr * float(np.max(sigmas * np.linalg.norm(model.samples.jacobian(theta), axis=1)))
    counts, signs = _outcomes(model, algorithm)
    rows = []
    for level in range(levels):
        factor = kick / own / 2**level
        points = theta + factor * _cubature(covariance)
        after = points[:, None] - algorithm.lr * _gradients(model, points, counts, factor * signs * sigmas)
        moved = noise_free_limit(model, algorithm.lr, after) - noise_free_limit(model, algorithm.lr, points)[:, None]
        rows.append(np.mean(moved, axis=(0, 1)) / factor**2)
    # Only even powers of sigma appear: every halving removes one power of sigma^2.
    for order in range(1, levels):
        rows = [b + (b - a) / (4**order - 1) for a, b in pairwise(rows)]
    return rows[0]


def _cubature(covariance: Array) -> Array:
    """Points +-sqrt(r) L_j of equal weight with mean 0 and the given covariance, shape (2 r, d)."""
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1e-14 * max(values.max(initial=0.0), 1e-300)
    columns = vectors[:, keep] * np.sqrt(values[keep] * max(keep.sum(), 1))
    if not keep.any():
        return np.zeros((1, len(covariance)))
    return np.concatenate([columns.T, -columns.T])


def _outcomes(model: Model, algorithm: Algorithm) -> tuple[Array, Array]:
    """Counts of the samples and sums of the signs over their draws, one row per equally likely outcome, (m, n)."""
    n, batch = model.n, algorithm.batch(model)
    if algorithm.batch_size == "full":
        batches = [tuple(range(n))]
    elif algorithm.sampling == "without-replacement":
        batches = list(combinations(range(n), batch))
    else:
        batches = list(product(range(n), repeat=batch))
    signs = np.array(list(product((-1.0, 1.0), repeat=batch)))
    one_hot = np.eye(n)[np.array(batches)]
    counts = np.repeat(one_hot.sum(axis=1), len(signs), axis=0)
    return counts, np.einsum("sb,mbi->msi", signs, one_hot).reshape(-1, n)


def _gradients(model: Model, points: Array, counts: Array, noises: Array) -> Array:
    """(1/B) sum over the draws of (f_i - y_i - eps) grad f_i, shape (k, m, d)."""
    totals = counts * model.residuals(points)[:, None] - noises
    return totals @ model.samples.jacobian(points) / counts.sum(axis=1)[:, None]
