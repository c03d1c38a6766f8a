"""Second-order averaging of any random update map: the second route to every formula, the first for rules without one.

Given x' = U(x, w) with the state x = (theta, memory) and a fixed point set without noise: A = E DU, the left and right
null vectors of A - 1, S from S = E[DU_w S DU_w^T] + Cov(U) on the stable subspace, drift = the slow part of
(1/2) D2(E U)[S] + (1/2) d2(E U)/de2 [Cov e]. Nothing here knows of a loss, its Hessian, R or lambda: SymPy
differentiates the update map itself, in x and in the noise e.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import TooLarge
from .linear import StepSymbols, slow_projector
from .model import Model

__all__ = ["Averaged", "UpdateMap", "average"]

Array = NDArray[np.float64]

_MAX_OUTCOMES = 100_000


@dataclass(frozen=True)
class Averaged:
    """What averaging gives at a fixed point; everything at leading order in the noise.

    Attributes
    ----------
    covariance : ndarray, shape (d, d)
        Stationary covariance of theta on the stable subspace.
    drift : ndarray, shape (d,)
        Change of theta per step along the fixed point set.
    offset : ndarray, shape (d,)
        Mean of theta off the fixed point set.
    radius : float
        Spectral radius of the second-moment operator on the stable subspace.
    contraction : float
        Spectral radius of A there.
    diffusion : ndarray, shape (d, d)
        Covariance per step of the noise along the fixed point set; zero where the noise has no tangent part.
    """

    covariance: Array
    drift: Array
    offset: Array
    radius: float
    contraction: float
    diffusion: Array


class UpdateMap:
    """One step of an algorithm as a function U(x; c, e), with every outcome c of the batch and the law of the noise e.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        With flips the batch is the whole data set: what differs falls faster than the noise as the batch grows.

    Attributes
    ----------
    d, size : int
        Numbers in theta, and in the state.
    probabilities : ndarray, shape (m,)
    counts : ndarray, shape (m, n)
        How often each sample is drawn.
    """

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        self.model, self.algorithm, self.d = model, algorithm, model.d
        batch = algorithm.batch(model)
        rows = list(_batches(algorithm, model.n, batch))
        weights = np.array([w for w, _ in rows], dtype=np.float64)
        self.probabilities = weights / weights.sum()
        self.counts = np.array([row for _, row in rows], dtype=np.float64)
        self._batch = batch
        self._differentiate()

    def _oracle(self, count: list[sp.Symbol], noise: list[sp.Symbol], kick: list[sp.Symbol]):  # type: ignore[no-untyped-def]
        """The gradient of a batch at any point: counts, noise sums and a perturbation of the gradient."""
        model, flips = self.model, self.algorithm.flips(self.model)
        f, y = model.sample_expressions, [sp.Float(float(v), 17) for v in model.y]
        totals = []
        for i in range(model.n):
            right = model.sample_loss.slope_at(f[i], y[i])
            if flips is None:
                totals.append(count[i] * right - noise[i])
            else:
                # noise: how many flips more than the mean p count.
                wrong = model.sample_loss.slope_at(f[i], -y[i])
                flip = sp.Float(flips.flip, 17)
                totals.append(count[i] * right + (flip * count[i] + noise[i]) * (wrong - right))
        slopes = [[e.diff(t) for t in model.parameters] for e in f]
        own = [sum(totals[i] * slopes[i][j] for i in range(model.n)) / self._batch + kick[j] for j in range(self.d)]

        def gradient(point: sp.Matrix) -> sp.Matrix:
            values = dict(zip(model.parameters, point, strict=True))
            return sp.Matrix([e.subs(values, simultaneous=True) for e in own])

        return gradient

    def _differentiate(self) -> None:
        model, rule = self.model, self.algorithm.update_rule
        count, noise = list(sp.symbols(f"c:{model.n}")), list(sp.symbols(f"e:{model.n}"))
        kick = list(sp.symbols(f"k:{self.d}"))
        theta = list(model.parameters)
        gradient = self._oracle(count, noise, kick)
        fresh = {s.name for s in theta}

        def symbol(name: str) -> sp.Symbol:
            while name in fresh:
                name += "_"
            fresh.add(name)
            return sp.Symbol(name, real=True)

        step = StepSymbols(rule, theta, gradient, symbol, lr=sp.Float(self.algorithm.lr, 17))
        self.size = len(step.state)
        values = {s: sp.Float(v, 17) for s, v in zip(step.constants, rule.constants.values(), strict=True)}
        new = [e.xreplace(values) for e in step.new]
        quiet = dict.fromkeys([*noise, *kick, step.lam], sp.Integer(0))
        still = [e.xreplace(quiet) for e in new]
        random = [*noise, *kick]
        state = step.state
        first = [[u.diff(a) for a in state] for u in still]
        slopes = [[u.diff(e) for e in random] for u in new]
        # Symmetric: each derivative is taken once, from the first one.
        pairs = [(min(i, j), max(i, j)) for i in range(self.size) for j in range(self.size)]
        second = [{(i, j): row[i].diff(state[j]) for i, j in pairs} for row in first]
        arrays: dict[str, list[sp.Expr]] = {
            "value": still,
            "first": [e for row in first for e in row],
            "second": [row[pair] for row in second for pair in pairs],
            "noise": [slope.xreplace(quiet) for row in slopes for slope in row],
            "noise2": [slope.diff(e).xreplace(quiet) for row in slopes for e, slope in zip(random, row, strict=True)],
            "forcing": [u.diff(step.lam).xreplace(quiet) for u in new],
        }
        arguments = (*step.state, *count)
        self._functions: dict[str, Callable[..., list[object]]] = {
            name: sp.lambdify(arguments, e, modules="numpy", cse=True, dummify=True) for name, e in arrays.items()
        }
        sigma = self.algorithm.noise.on(model)
        self._sigma_on_gamma = None if sigma is None else sp.lambdify(theta, sigma, modules="numpy")

    def state(self, theta: Array) -> Array:
        """The state with memory at rest."""
        return np.concatenate([theta, np.zeros(self.size - self.d)])

    def _evaluate(self, name: str, x: Array, shape: tuple[int, ...]) -> Array:
        entries = self._functions[name](*x, *self.counts.T)
        flat = np.stack([np.broadcast_to(np.asarray(e, dtype=np.float64), len(self.counts)) for e in entries], axis=-1)
        return flat.reshape(-1, *shape)

    def derivative(self, order: int, theta: Array) -> Array:
        """D^order U without noise for every outcome, shape (m, D, D, ...)."""
        name = ("value", "first", "second")[order]
        return self._evaluate(name, self.state(theta), (self.size,) * (order + 1))

    def noise_slopes(self, theta: Array) -> tuple[Array, Array]:
        """dU/de and d2U/de2 for every outcome, shape (m, D, n + d): label noise of each sample, gradient noise."""
        shape = (self.size, self.model.n + self.d)
        return self._evaluate("noise", self.state(theta), shape), self._evaluate("noise2", self.state(theta), shape)

    def forcing(self, theta: Array) -> Array:
        """dU/dlambda for every outcome, shape (m, D)."""
        return self._evaluate("forcing", self.state(theta), (self.size,))

    def noise_covariance(self, theta: Array) -> tuple[Array, Array]:
        """Variances of the label noise for every outcome, shape (m, n), and covariance of the gradient noise (d, d)."""
        flips = self.algorithm.flips(self.model)
        if flips is not None:
            return self.counts * flips.flip * (1 - flips.flip), np.zeros((self.d, self.d))
        variances = self.counts * self.algorithm.sigmas(self.model) ** 2
        gradient = np.zeros((self.d, self.d))
        if self._sigma_on_gamma is not None:
            sigma = np.asarray(self._sigma_on_gamma(*theta), dtype=np.float64)
            # Noise of covariance lr lambda Sigma in theta is a perturbation of the gradient by 1/lr of it.
            gradient = self.algorithm.strength(self.model) / self.algorithm.lr * sigma
        return variances, gradient

    def mean(self, values: Array) -> Array:
        """E over the outcomes along the first axis."""
        return np.tensordot(self.probabilities, values, axes=(0, 0))


def average(update: UpdateMap, theta: Array, tolerance: float = 1e-8) -> Averaged:
    """Average `update` to second order at its fixed point `theta`, shape (d,).

    Parameters
    ----------
    update : UpdateMap
    theta : ndarray, shape (d,)
        A point that the noise-free map leaves where it is.
    tolerance : float
        Eigenvalues of A within this of 1 belong to the fixed point set.
    """
    d, size = update.d, update.size
    first = update.derivative(1, theta)
    a = update.mean(first)
    slow = slow_projector(a, tolerance)
    stable = np.eye(size) - slow
    slopes, bends = update.noise_slopes(theta)
    variances, gradient = update.noise_covariance(theta)
    n = update.model.n
    fresh = update.mean(np.einsum("mai,mi,mbi->mab", slopes[:, :, :n], variances, slopes[:, :, :n]))
    kicks = update.mean(slopes[:, :, n:])
    fresh = fresh + kicks @ gradient @ kicks.T
    forced = 0.5 * update.mean(np.einsum("mai,mi->ma", bends[:, :, :n], variances))
    forced = forced + update.algorithm.strength(update.model) * update.mean(update.forcing(theta))
    # On the stable subspace only: in an orthonormal basis of it, and the dual one.
    left, singular, _ = np.linalg.svd(stable)
    basis = left[:, singular > 0.5]
    dual = basis.T @ stable
    restricted = np.einsum("sa,mab,bt->mst", dual, first, basis)
    count = basis.shape[1]
    operator = update.mean(np.einsum("mac,mbd->mabcd", restricted, restricted)).reshape(count**2, count**2)
    inside = dual @ fresh @ dual.T
    solved = np.linalg.solve(np.eye(count**2) - operator, inside.reshape(-1)).reshape(count, count)
    covariance = basis @ solved @ basis.T
    push = 0.5 * np.einsum("abc,bc->a", update.mean(update.derivative(2, theta)), covariance) + forced
    mean = update.mean(restricted)
    offset = basis @ np.linalg.solve(np.eye(count) - mean, dual @ push)
    return Averaged(
        covariance[:d, :d],
        (slow @ push)[:d],
        offset[:d],
        float(np.max(np.abs(np.linalg.eigvals(operator)), initial=0.0)),
        float(np.max(np.abs(np.linalg.eigvals(mean)), initial=0.0)),
        (slow @ fresh @ slow.T)[:d, :d],
    )


def _batches(algorithm: Algorithm, n: int, batch: int) -> Iterator[tuple[int, list[int]]]:
    """Weight and counts of every batch."""
    if algorithm.batch_size == "full" or algorithm.noise.falls_with_batch:
        return iter([(1, [batch / n] * n)])  # type: ignore[list-item]
    if algorithm.sampling == "without-replacement":
        _refuse(comb(n, batch), batch)
        return ((1, _counted(drawn, n)) for drawn in combinations(range(n), batch))
    _refuse(comb(n + batch - 1, batch), batch)
    return ((_orders(drawn), _counted(drawn, n)) for drawn in combinations_with_replacement(range(n), batch))


def _counted(drawn: tuple[int, ...], n: int) -> list[int]:
    counts = Counter(drawn)
    return [counts[i] for i in range(n)]


def _orders(drawn: tuple[int, ...]) -> int:
    """In how many orders these indices can be drawn."""
    return factorial(len(drawn)) // prod(factorial(c) for c in Counter(drawn).values())


def _refuse(outcomes: int, batch: int) -> None:
    if outcomes > _MAX_OUTCOMES:
        raise TooLarge("algorithm.batch_size", f"={batch} has {outcomes} batches, too many to enumerate")
