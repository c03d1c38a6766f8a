"""Second-order averaging of any random update map: the second route to every formula.

Given theta' = U(theta, w) with finitely supported w and a fixed point set: A = E DU, the left and right null vectors
of A - 1, S from S = E[DU_w S DU_w^T] + Cov(U) on the stable subspace, drift = the slow part of (1/2) D2(E U)[S].
Nothing here knows of a loss, its Hessian, R or lambda: SymPy differentiates the update map itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import TooLarge
from .model import Model

__all__ = ["Averaged", "UpdateMap", "average"]

Array = NDArray[np.float64]

_MAX_OUTCOMES = 100_000

# The label noise enters DU too, which changes S at relative order sigma^2. The leading order is the limit of
# small noise: at this factor the rest is 1e-10 of S, and Cov(U), a difference of numbers near 1, keeps 11 digits.
_NOISE = 1e-5


@dataclass(frozen=True)
class Averaged:
    """What averaging gives at a fixed point.

    Attributes
    ----------
    covariance : ndarray, shape (d, d)
        Stationary covariance on the stable subspace.
    drift : ndarray, shape (d,)
        Change per step along the fixed point set, at second order in the noise.
    radius : float
        Spectral radius of the second-moment operator on the stable subspace.
    """

    covariance: Array
    drift: Array
    radius: float


class UpdateMap:
    """One step of an algorithm as a function U(theta; w), with every outcome of w and its probability.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        A Gaussian label noise is replaced by +-sigma: only its first two moments matter at second order.

    Attributes
    ----------
    probabilities : ndarray, shape (m,)
    counts : ndarray, shape (m, n)
        How often each sample is drawn.
    noises : ndarray, shape (m, n)
        Sum of the label noise over the draws of each sample.
    """

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        self.d = model.d
        batch = algorithm.batch(model)
        drawn = list(_batches(algorithm, model.n, batch))
        if len(drawn) * 2**batch > _MAX_OUTCOMES:
            raise TooLarge("algorithm.batch_size", f"={batch} has too many outcomes to enumerate")
        signs = np.array(list(product((-1.0, 1.0), repeat=batch)))
        sigmas = algorithm.sigmas(model)
        counts, noises = [], []
        for indices in drawn:
            one_hot = np.eye(model.n)[list(indices)]
            counts.append(np.broadcast_to(one_hot.sum(axis=0), (len(signs), model.n)))
            noises.append(signs @ (one_hot * sigmas))
        self.counts, self.noises = np.concatenate(counts), np.concatenate(noises)
        self.probabilities = np.full(len(self.counts), 1.0 / len(self.counts))
        self._functions = self._differentiate(model, algorithm, batch)

    def _differentiate(self, model: Model, algorithm: Algorithm, batch: int) -> list[Callable[..., list[object]]]:
        count, noise = sp.symbols(f"c:{model.n}"), sp.symbols(f"e:{model.n}")
        theta = model.parameters
        f = model.sample_expressions
        y = [sp.Float(float(v), 17) for v in model.y]
        gradient = [
            sum((count[i] * (f[i] - y[i]) - noise[i]) * f[i].diff(t) for i in range(model.n)) / batch for t in theta
        ]
        update = [t - sp.Float(algorithm.lr, 17) * g for t, g in zip(theta, gradient, strict=True)]
        first = [u.diff(a) for u in update for a in theta]
        second = [u.diff(a, b) for u in update for a in theta for b in theta]
        arguments = (*theta, *count, *noise)
        return [sp.lambdify(arguments, e, modules="numpy", cse=True, dummify=True) for e in (update, first, second)]

    def derivative(self, order: int, theta: Array, noise: float = 1.0) -> Array:
        """D^order U for every outcome, shape (m, d, d, ...), with the label noise multiplied by `noise`."""
        arguments = [*theta, *self.counts.T, *(noise * self.noises.T)]
        entries = self._functions[order](*arguments)
        flat = np.stack([np.broadcast_to(np.asarray(e, dtype=np.float64), len(self.counts)) for e in entries], axis=-1)
        return flat.reshape(-1, *(self.d,) * (order + 1))

    def step(self, theta: Array) -> Array:
        """U(theta; w) for every outcome and for points of shape (k, d): shape (k, m, d)."""
        return np.stack([self.derivative(0, point) for point in theta])

    def mean(self, values: Array) -> Array:
        """E over the outcomes along the first axis."""
        return np.tensordot(self.probabilities, values, axes=(0, 0))


def average(update: UpdateMap, theta: Array, tolerance: float = 1e-8) -> Averaged:
    """Average `update` to second order at its fixed point `theta`, shape (d,).

    Parameters
    ----------
    update : UpdateMap
    theta : ndarray, shape (d,)
        A point that the mean map leaves where it is.
    tolerance : float
        Eigenvalues of A within this of 1 belong to the fixed point set.
    """
    d = update.d
    values, first = update.derivative(0, theta, _NOISE), update.derivative(1, theta, _NOISE)
    a = update.mean(first)
    left, singular, right = np.linalg.svd(a - np.eye(d))
    null = singular <= tolerance * max(1.0, singular[0])
    l_null, r_null = left[:, null], right[null].T
    slow = r_null @ np.linalg.solve(l_null.T @ r_null, l_null.T) if null.any() else np.zeros((d, d))
    stable = np.eye(d) - slow
    centred = values - update.mean(values)
    fresh = update.mean(np.einsum("ma,mb->mab", centred, centred))
    restricted = np.einsum("ab,mbc->mac", stable, first)
    operator = update.mean(np.einsum("mac,mbd->mabcd", restricted, restricted)).reshape(d * d, d * d)
    # On the stable subspace only: the projected operator acts there and vanishes on its complement.
    both = np.kron(stable, stable)
    operator = operator @ both
    solved = np.linalg.solve(np.eye(d * d) - operator, both @ fresh.reshape(-1))
    covariance: Array = np.asarray(solved.reshape(d, d) / _NOISE**2, dtype=np.float64)
    curvature = update.mean(update.derivative(2, theta, _NOISE))
    drift = slow @ (0.5 * np.einsum("abc,bc->a", curvature, covariance))
    radius = float(np.max(np.abs(np.linalg.eigvals(operator))))
    return Averaged(covariance, drift, radius)


def _batches(algorithm: Algorithm, n: int, batch: int) -> Iterator[tuple[int, ...]]:
    """All equally likely batches, as index tuples."""
    if algorithm.batch_size == "full":
        return iter([tuple(range(n))])
    if algorithm.sampling == "without-replacement":
        _refuse(comb(n, batch), batch)
        return combinations(range(n), batch)
    _refuse(n**batch, batch)
    return product(range(n), repeat=batch)


def _refuse(outcomes: int, batch: int) -> None:
    if outcomes > _MAX_OUTCOMES:
        raise TooLarge("algorithm.batch_size", f"={batch} has {outcomes} batches, too many to enumerate")
