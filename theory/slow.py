"""The theories of the slow motion along the zero-loss set: alternatives with one signature.

Problem: label noise SGD on L = 1/(2n) sum (f_i - y_i)^2, at a point theta of Gamma = {L = 0}.
Algorithm: theta <- theta - (eta/B) sum_b (f_i - y_i - eps_b) grad f_i, Var(eps) = sigma_i^2.
Statements, at leading order in lambda = eta sigma^2/B: the fast fluctuation has covariance S(theta); theta drifts
along Gamma by -(eta/2) P D3L[S] per step; its mean is off Gamma by m with H m = -(1/2) D3L[S].
References: Damian, Ma, Lee (2021), Theorem 1, Sections 2 and 3; the finite batch: `Derived`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import InvalidInput, NotApplicable
from .geometry import LocalGeometry
from .model import Model

__all__ = ["Derived", "Paper", "SlowTheory", "SmallLearningRate"]

Array = NDArray[np.float64]


class SlowTheory(ABC):
    """What a theory says at a point of Gamma. All quantities are at leading order in lambda.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        Its own noise strength is the one at which values are given.
    """

    name: str = ""
    needs_equal_sigma = False

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        self.model = model
        self.algorithm = algorithm
        self.lr = algorithm.lr

    @cached_property
    def strength(self) -> float:
        """lambda = eta sigma^2/B."""
        return self.algorithm.strength(self.model)

    @abstractmethod
    def covariance(self, local: LocalGeometry) -> Array | None:
        """S: stationary covariance of theta - Phi(theta), shape (d, d); None when the theory names none."""

    @abstractmethod
    def regularizer(self, local: LocalGeometry) -> float | None:
        """R(theta), or None where the drift is no gradient."""

    def regularizer_gradient(self, local: LocalGeometry) -> Array | None:
        """Grad R along Gamma, (P grad R), shape (d,); None where there is no R."""
        if self.regularizer(local) is None or not self.strength:
            return None
        return -self.drift(local) / (self.lr * self.strength)

    def drift(self, local: LocalGeometry) -> Array:
        """Change of Phi(theta) per step: -(eta/2) P D3L[S], shape (d,)."""
        return -0.5 * self.lr * local.project(local.third(self._covariance(local)))

    def normal_offset(self, local: LocalGeometry) -> Array:
        """E[theta - Phi(theta)]: m in range(H) with H m = -(1/2) D3L[S], shape (d,)."""
        normal = local.normal
        return -0.5 * normal @ ((normal.T @ local.third(self._covariance(local))) / local.curvatures)

    def velocity(self, local: LocalGeometry) -> Array:
        """Drift per unit of slow time eta*lambda*k, shape (d,)."""
        return self.drift(local) / (self.lr * self.strength)

    def _covariance(self, local: LocalGeometry) -> Array:
        s = self.covariance(local)
        if s is None:
            raise InvalidInput("claim.theory", f"={self.name!r} names no covariance S, which this asks for")
        return s

    def _diagonal(self, local: LocalGeometry, weights: Array) -> Array:
        return (local.normal * weights) @ local.normal.T


class Paper(SlowTheory):
    """The closed form of the theorem: S = lambda (2 - eta H)^-1 on range(H), R = -(1/(2 eta)) tr log(1 - eta/2 H).

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1 and equation (4).
    """

    name = "paper"
    needs_equal_sigma = True

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        _inside(self, local)
        return self._diagonal(local, self.strength / (2 - self.lr * local.curvatures))

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        _inside(self, local)
        return float(-np.sum(np.log1p(-0.5 * self.lr * local.curvatures)) / (2 * self.lr))


class SmallLearningRate(SlowTheory):
    """The limit eta -> 0: S = lambda/2 on range(H), R = tr(H)/4.

    References
    ----------
    Damian, Ma, Lee (2021), Section 2; Blanc et al. (2020).
    """

    name = "small-lr"
    needs_equal_sigma = True

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        return self._diagonal(local, np.full(local.rank, self.strength / 2))

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        return float(np.sum(local.curvatures) / 4)


class Derived(SlowTheory):
    """Second-order averaging for exactly this algorithm: finite batch, sampling, one sigma per sample.

    S solves S = A S A + (eta^2/B) [c ((1/n) sum (g_i^T S g_i) g_i g_i^T - H S H) + (1/n) sum sigma_i^2 g_i g_i^T] on
    range(H), with A = 1 - eta H and c = 1 with replacement, (n-B)/(n-1) without, 0 for the full batch. It exists
    while the operator on the right has spectral radius below 1. For c = 0 and equal sigma it is the paper's.

    References
    ----------
    Second-order averaging of the update map; agrees with `flatmin.theory.averaging`, which shares no formula with it.
    """

    name = "derived"

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        _inside(self, local)
        operator, fresh = self._second_moment(local)
        radius = _spectral_radius(operator)
        if radius >= 1:
            raise NotApplicable("second-moment limit", f"spectral radius {radius:.6g} must be below 1")
        packed = np.asarray(np.linalg.solve(np.eye(len(operator)) - operator, fresh), dtype=np.float64)
        s: Array = local.normal @ _unpack(packed, local.rank) @ local.normal.T
        return s

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        if not self.has_regularizer:
            return None
        return Paper(self.model, self.algorithm).regularizer(local)

    @property
    def has_regularizer(self) -> bool:
        """Whether the drift is known to be -eta lambda P grad R with the paper's R."""
        return self.algorithm.minibatch_factor(self.model) == 0 and self.algorithm.homoscedastic(self.model)

    def second_moment_radius(self, local: LocalGeometry) -> float:
        """Spectral radius of the second-moment operator on range(H); S exists below 1."""
        return _spectral_radius(self._second_moment(local)[0])

    def stability_margins(self, local: LocalGeometry) -> Array:
        """How much each curvature may change before its variance grows without bound, shape (rank,).

        (1 - a)/(2 eta), a the factor per step of the mode's own variance: h for small eta h, less near the limits.
        """
        operator, _ = self._second_moment(local)
        rows, columns = np.triu_indices(local.rank)
        factors = np.diag(operator)[rows == columns]
        return np.asarray((1 - factors) / (2 * self.lr), dtype=np.float64)

    def _second_moment(self, local: LocalGeometry) -> tuple[Array, Array]:
        """The operator and the inhomogeneity of the equation for S, in packed symmetric coordinates of range(H)."""
        h, eta = local.curvatures, self.lr
        batch, c = self.algorithm.batch(self.model), self.algorithm.minibatch_factor(self.model)
        rows, columns = np.triu_indices(local.rank)
        a = 1 - eta * h
        packed = _pack(local.jacobian @ local.normal)
        operator = np.diag(a[rows] * a[columns])
        if c:
            minibatch = packed.T @ packed / local.n - np.diag(h[rows] * h[columns])
            operator = operator + (eta**2 * c / batch) * minibatch
        fresh = (eta**2 / batch) * (self.algorithm.sigmas(self.model) ** 2 @ packed) / local.n
        return operator, fresh


def _inside(theory: SlowTheory, local: LocalGeometry) -> None:
    largest = float(local.curvatures.max(initial=0.0))
    if theory.lr * largest >= 2:
        raise NotApplicable("learning rate", f"algorithm.lr={theory.lr:g} must be below 2/h_max={2 / largest:.4g}")
    # Slower than this a direction does not relax in any run: Gamma is about to lose its normal direction.
    slowest = theory.lr * float(local.curvatures.min(initial=np.inf))
    if slowest < 1e-9:
        raise NotApplicable("rank of the Jacobian", f"lr*h_min={slowest:.3g}: the Jacobian loses its rank")


def _spectral_radius(symmetric: Array) -> float:
    return float(np.max(np.abs(np.linalg.eigvalsh(symmetric)), initial=0.0))


def _pack(vectors: Array) -> Array:
    """Rows v v^T in orthonormal coordinates of the symmetric matrices, shape (n, r (r+1)/2)."""
    rows, columns = np.triu_indices(vectors.shape[1])
    return vectors[:, rows] * vectors[:, columns] * np.where(rows == columns, 1.0, np.sqrt(2))


def _unpack(packed: Array, rank: int) -> Array:
    rows, columns = np.triu_indices(rank)
    out = np.zeros((rank, rank))
    out[rows, columns] = out[columns, rows] = packed * np.where(rows == columns, 1.0, np.sqrt(0.5))
    return out
