"""Second-order averaging of any random update map: the second route to every formula, the first for rules without one.

Given x' = U(x, w) with the state x = (theta, memory) and a fixed point set without noise: A = E DU, the left and right
null vectors of A - 1, S from S = E[DU_w S DU_w^T] + Cov(U) on the stable subspace, drift = the slow part of
(1/2) D2(E U)[S] + (1/2) d2(E U)/de2 [Cov e]. Nothing here knows of a loss, its Hessian, R or lambda: the update map
itself is differentiated, in x and in the noise e, as jets of what the rule declares and of the gradient of a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from math import comb, factorial, prod

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .cross_entropy import ClassFlipLaw
from .errors import TooLarge
from .jets import Jet, Pieces
from .linear import StepSymbols, slow_projector
from .losses import FlipLaw, Loss
from .model import Model
from .rules import UpdateRule

__all__ = ["Averaged", "UpdateMap", "average", "motion_along"]

Array = NDArray[np.float64]

_MAX_OUTCOMES = 100_000
# Outcomes whose second derivatives are held at the same time.
_AT_ONCE = 500


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
    ito : ndarray, shape (d,)
        What that noise adds to `drift`; zero where it is.
    """

    covariance: Array
    drift: Array
    offset: Array
    radius: float
    contraction: float
    diffusion: Array
    ito: Array


class _RuleMap:
    """A rule as functions of the state, lambda and the gradients that it asked for before."""

    def __init__(self, rule: UpdateRule, d: int) -> None:
        theta = [sp.Symbol(f"theta_{j}", real=True) for j in range(d)]
        points: list[list[sp.Expr]] = []
        gradients: list[list[sp.Symbol]] = []

        def gradient(point: sp.Matrix) -> sp.Matrix:
            if list(point) not in points:
                points.append(list(point))
                gradients.append([sp.Symbol(f"gradient{len(points)}_{j}", real=True) for j in range(d)])
            return sp.Matrix(gradients[points.index(list(point))])

        step = StepSymbols(rule, theta, gradient)
        self.size = len(step.state)
        known, constants = [*step.state, step.lam], [step.lr, *step.constants]
        self.points = []
        for point, found in zip(points, gradients, strict=True):
            self.points.append(Pieces([sp.sympify(e) for e in point], known, constants))
            known = [*known, *found]
        self.new = Pieces([sp.sympify(e) for e in step.new], known, constants)


class _BatchGradient:
    """The gradient of a batch as a function of the point, the noise in the labels and a kick, for given counts."""

    def __init__(self, model: Model, flips: FlipLaw | ClassFlipLaw | None) -> None:
        k = model.outputs
        count, noise = list(sp.symbols(f"c:{model.n}")), list(sp.symbols(f"e:{model.n * k}"))
        size = sp.Symbol("B")
        f, y = model.sample_expressions, [sp.Float(float(v), 17) for v in model.y]
        totals: list[sp.Expr] = []
        for i in range(model.n):
            own, drawn = f[i * k : (i + 1) * k], noise[i * k : (i + 1) * k]
            if flips is None:
                assert isinstance(model.sample_loss, Loss)  # classes are for flips
                totals.append(count[i] * model.sample_loss.slope_at(own[0], y[i]) - drawn[0])
            else:
                labels = flips.labels(count[i], drawn, float(model.y[i]))
                totals += model.sample_loss.drawn_slopes(own, y[i], count[i], labels)
        slopes = [[e.diff(t) for t in model.parameters] for e in f]
        self.noises = len(noise)
        total = [sum(t * row[j] for t, row in zip(totals, slopes, strict=True)) / size for j in range(model.d)]
        self._pieces = Pieces(total, [*model.parameters, *noise], [size, *count])

    def __call__(self, batch: int, counts: Array, point: Jet, noise: Jet, kick: Jet) -> Jet:
        """Its jet in the variables of the given ones."""
        inside = Jet.joined([point, noise])
        jet = self._pieces(inside.value, [batch, *counts.T]).after(inside)
        return Jet(jet.value + kick.value, jet.first + kick.first, jet.second + kick.second)


# SymPy takes a tenth of a second or more for each, and they serve all learning rates, batches and strengths.
_rule_map = lru_cache(maxsize=64)(_RuleMap)
_batch_gradient = lru_cache(maxsize=16)(_BatchGradient)


class UpdateMap:
    """One step of an algorithm as a function U(x; c, e), with every outcome c of the batch and the law of the noise e.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        With flips the batch is the whole data set: what differs falls faster than the noise as the batch grows.

    Attributes
    ----------
    d, size, noises : int
        Numbers in theta, in the state, and of uncorrelated noise in the labels.
    probabilities : ndarray, shape (m,)
    counts : ndarray, shape (m, n)
        How often each sample is drawn.
    """

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        self.model, self.algorithm, self.d = model, algorithm, model.d
        self._batch = algorithm.batch(model)
        rows = list(_batches(algorithm, model.n, self._batch))
        weights = np.array([w for w, _ in rows], dtype=np.float64)
        self.probabilities = weights / weights.sum()
        self.counts = np.array([row for _, row in rows], dtype=np.float64)
        self._rule = _rule_map(algorithm.update_rule, model.d)
        self._gradient = _batch_gradient(model, algorithm.flips(model))
        self.size, self.noises = self._rule.size, self._gradient.noises

    def jet(self, theta: Array, outcomes: slice = slice(None)) -> Jet:
        """U at rest at theta without noise, for some outcomes: a jet in the state, the noise, the kick and lambda."""
        counts, rule = self.counts[outcomes], self._rule
        rest = np.concatenate([theta, np.zeros(self.size - self.d + self.noises + self.d + 1)])
        count = len(rest)
        cuts = np.cumsum([self.size, self.noises, self.d])
        begins = [0, *cuts.tolist()]
        values = [np.tile(part, (len(counts), 1)) for part in np.split(rest, cuts)]
        state, noise, kick, lam = (Jet.variables(v, b, count) for v, b in zip(values, begins, strict=True))
        constants = [self.algorithm.lr, *self.algorithm.update_rule.constants.values()]
        known = Jet.joined([state, lam])
        for piece in rule.points:
            point = piece(known.value, constants).after(known)
            known = Jet.joined([known, self._gradient(self._batch, counts, point, noise, kick)])
        return rule.new(known.value, constants).after(known)

    def noise_covariance(self, theta: Array) -> tuple[Array, Array]:
        """Variances of the noise in the labels for every outcome, (m, noises); covariance of gradient noise, (d, d)."""
        flips = self.algorithm.flips(self.model)
        if flips is not None:
            drawn = np.repeat(self.counts, self.model.outputs, axis=1)
            return drawn * flips.label_variances(self.model.y), np.zeros((self.d, self.d))
        variances = self.counts * self.algorithm.sigmas(self.model) ** 2
        gradient = np.zeros((self.d, self.d))
        if self.algorithm.noise.kind == "gradient":
            sigma = self.algorithm.noise.at(self.model, theta)
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
    d, size, n = update.d, update.size, update.noises
    variances, gradient = update.noise_covariance(theta)
    first = np.empty((len(update.counts), size, size))
    fresh, forced, bent = np.zeros((size, size)), np.zeros(size), np.zeros((size, size, size))
    for begin in range(0, len(first), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        jet, weights = update.jet(theta, some), update.probabilities[some]
        first[some] = jet.first[:, :, :size]
        bent += np.tensordot(weights, jet.second[:, :, :size, :size], axes=1)
        noise, kick = slice(size, size + n), slice(size + n, size + n + d)
        labels, kicks = jet.first[:, :, noise], jet.first[:, :, kick]
        fresh += np.einsum("m,mai,mi,mbi->ab", weights, labels, variances[some], labels, optimize=True)
        fresh += np.einsum("m,mai,ij,mbj->ab", weights, kicks, gradient, kicks, optimize=True)
        own = np.einsum("maii->mai", jet.second[:, :, noise, noise])
        forced += 0.5 * np.einsum("m,mai,mi->a", weights, own, variances[some])
        forced += 0.5 * np.einsum("m,maij,ij->a", weights, jet.second[:, :, kick, kick], gradient, optimize=True)
        forced += update.algorithm.strength(update.model) * weights @ jet.first[:, :, -1]
    a = update.mean(first)
    slow = slow_projector(a, tolerance)
    stable = np.eye(size) - slow
    # On the stable subspace only: in an orthonormal basis of it, and the dual one.
    left, singular, _ = np.linalg.svd(stable)
    basis = left[:, singular > 0.5]
    dual = basis.T @ stable
    restricted = np.einsum("sa,mab,bt->mst", dual, first, basis, optimize=True)
    count = basis.shape[1]
    operator = np.einsum("m,mac,mbd->abcd", update.probabilities, restricted, restricted, optimize=True)
    operator = operator.reshape(count**2, count**2)
    inside = dual @ fresh @ dual.T
    solved = np.linalg.solve(np.eye(count**2) - operator, inside.reshape(-1)).reshape(count, count)
    covariance = basis @ solved @ basis.T
    push = 0.5 * np.einsum("abc,bc->a", bent, covariance) + forced
    mean = update.mean(restricted)
    offset = basis @ np.linalg.solve(np.eye(count) - mean, dual @ push)
    along, ito = motion_along(slow, basis, dual, mean, fresh, lambda s: np.einsum("abc,bc->a", bent, s))
    return Averaged(
        covariance[:d, :d],
        (slow @ push + ito)[:d],
        offset[:d],
        float(np.max(np.abs(np.linalg.eigvals(operator)), initial=0.0)),
        float(np.max(np.abs(np.linalg.eigvals(mean)), initial=0.0)),
        along[:d, :d],
        ito[:d],
    )


def motion_along(
    slow: Array, basis: Array, dual: Array, mean: Array, fresh: Array, bend: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Covariance, shape (D, D), and mean, shape (D,), per step of the motion that noise makes along fixed points.

    A fast deviation goes on as A^k, and its correlation with the motion along the set is bent back by D2U; and a step
    t along the set is one to theta + t + (1/2) c with (1 - A) c = D2U[t, t], for the set consists of fixed points.

    Parameters
    ----------
    slow : ndarray, shape (D, D)
        The projection onto the fixed directions of A.
    basis, dual : ndarray, shape (D, s), (s, D)
        Of the stable subspace.
    mean : ndarray, shape (s, s)
        A there.
    fresh : ndarray, shape (D, D)
        Covariance of the noise of a step.
    bend : callable
        From a symmetric matrix to D2U of it, shape (D,).
    """
    settled = basis @ np.linalg.solve(np.eye(len(mean)) - mean, dual)
    along, cross = slow @ fresh @ slow.T, slow @ fresh @ settled.T
    return along, 0.5 * (slow @ bend(cross + cross.T) + settled @ bend(along))


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
