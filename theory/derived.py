"""The derived theory: second-order averaging for exactly the algorithm that is run."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .averaging import Averaged, UpdateMap, average
from .errors import NotApplicable
from .geometry import LocalGeometry
from .linear import LinearRule, linear_rule
from .linearization import linearized, packed_places
from .model import Model
from .rules import SGD, HeavyBall
from .slow import Paper, SlowTheory, gradient_covariance, require_stable

__all__ = ["Derived"]

Array = NDArray[np.float64]


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
    # Whether noise along Gamma ends the derivation: a drift and a covariance do not describe it.
    needs_normal_noise = True

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        super().__init__(model, algorithm)
        rule = algorithm.update_rule
        # Of plain SGD with label noise everything is symmetric, and cheaper.
        self.plain = isinstance(rule, SGD) and algorithm.noise.kind == "label"
        self._last: tuple[LocalGeometry, Averaged] | None = None

    @cached_property
    def _linear(self) -> LinearRule | None:
        return linear_rule(self.algorithm.update_rule, self.model.d, self.lr)

    def averaged(self, local: LocalGeometry) -> Averaged:
        """Second-order averaging at a point: in closed form, or of the update map itself where the rule has none."""
        last = self._last  # another thread may change it meanwhile
        if last is None or last[0] is not local:
            if self._linear is not None:
                gradient = self.algorithm.noise.kind == "gradient"
                sigma = gradient_covariance(self.model, self.algorithm, local) if gradient else None
                found = linearized(self.model, self.algorithm, self._linear, local, sigma)
            else:
                found = average(UpdateMap(self.model, self.algorithm), local.theta)
                if found.radius >= 1:
                    raise NotApplicable("second-moment limit", f"spectral radius {found.radius:.6g} must be below 1")
            self._last = last = local, found
        found = last[1]
        size = max(float(np.trace(found.covariance)) * (1 - found.contraction), 1e-300)
        if self.needs_normal_noise and float(np.trace(found.diffusion)) > 1e-9 * size:
            rule = "the noise has a part along Gamma: the limit is a diffusion, which no R describes"
            raise NotApplicable("noise normal to Gamma", rule)
        return found

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        require_stable(self, local)
        if not self.plain:
            return self.averaged(local).covariance
        operator, fresh = self._second_moment(local)
        radius = _spectral_radius(operator)
        if radius >= 1:
            raise NotApplicable("second-moment limit", f"spectral radius {radius:.6g} must be below 1")
        packed = np.asarray(np.linalg.solve(np.eye(len(operator)) - operator, fresh), dtype=np.float64)
        s: Array = local.normal @ _unpack(packed, local.rank) @ local.normal.T
        return s

    def drift(self, local: LocalGeometry) -> Array:
        """Change of Phi(theta) per step, shape (d,)."""
        return super().drift(local) if self.plain else self.averaged(local).drift

    def diffusion(self, local: LocalGeometry) -> Array:
        """Covariance per step of the noise along Gamma, shape (d, d)."""
        return np.zeros((self.model.d, self.model.d)) if self.plain else self.averaged(local).diffusion

    def normal_offset(self, local: LocalGeometry) -> Array:
        """E[theta - Phi(theta)], shape (d,)."""
        if self.plain:
            return super().normal_offset(local)
        # With memory the drift's own velocity leaves theta behind Phi along Gamma too.
        offset = self.averaged(local).offset
        return offset - local.project(offset)

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        if not self.has_regularizer:
            return None
        return Paper(self.model, self.algorithm).regularizer(local)

    @property
    def has_regularizer(self) -> bool:
        """Whether the drift is known to be -eta lambda P grad R with the paper's R."""
        return (
            isinstance(self.algorithm.update_rule, (SGD, HeavyBall))
            and self.algorithm.noise.kind != "gradient"
            and self.algorithm.minibatch_factor(self.model) == 0
            and self.algorithm.homoscedastic(self.model)
        )

    def contraction(self, local: LocalGeometry) -> float:
        """Spectral radius of the noise-free update on range(H): its slowest decay per step."""
        if self.plain:
            return float(np.max(np.abs(1 - self.lr * local.curvatures), initial=0.0))
        return self.averaged(local).contraction

    def second_moment_radius(self, local: LocalGeometry) -> float:
        """Spectral radius of the second-moment operator on range(H); S exists below 1."""
        if self.plain:
            return _spectral_radius(self._second_moment(local)[0])
        try:
            return self.averaged(local).radius
        except NotApplicable as error:
            if error.assumption == "noise normal to Gamma":
                raise
            return 1.0

    def stability_margins(self, local: LocalGeometry) -> Array:
        """How much each curvature may change before its variance grows without bound, shape (rank,).

        (1 - a)/(2 eta), a the factor per step of the mode's own variance: h for small eta h, less near the limits.
        """
        if not self.plain:
            # Of each mode's own two-by-two (or larger) matrix only the slowest decay counts.
            slack = 1 - self.averaged(local).radius
            return np.minimum(local.curvatures, slack / (2 * self.rate))
        operator, _ = self._second_moment(local)
        rows, columns, _ = packed_places(local.rank)
        factors = np.diag(operator)[rows == columns]
        return np.asarray((1 - factors) / (2 * self.lr), dtype=np.float64)

    def _second_moment(self, local: LocalGeometry) -> tuple[Array, Array]:
        """The operator and the inhomogeneity of the equation for S, in packed symmetric coordinates of range(H)."""
        h, eta = local.curvatures, self.lr
        batch, c = self.algorithm.batch(self.model), self.algorithm.minibatch_factor(self.model)
        rows, columns, _ = packed_places(local.rank)
        a = 1 - eta * h
        packed = _pack(local.jacobian @ local.normal)
        operator = np.diag(a[rows] * a[columns])
        if c:
            minibatch = packed.T @ packed / local.n - np.diag(h[rows] * h[columns])
            operator = operator + (eta**2 * c / batch) * minibatch
        fresh = (eta**2 / batch) * (self.algorithm.sigmas(self.model) ** 2 @ packed) / local.n
        return operator, fresh


def _spectral_radius(symmetric: Array) -> float:
    return float(np.max(np.abs(np.linalg.eigvalsh(symmetric)), initial=0.0))


def _pack(vectors: Array) -> Array:
    """Rows v v^T in packed coordinates, shape (n, r (r+1)/2)."""
    rows, columns, scale = packed_places(vectors.shape[1])
    return np.asarray(vectors[:, rows] * vectors[:, columns] * scale)


def _unpack(packed: Array, rank: int) -> Array:
    rows, columns, scale = packed_places(rank)
    out = np.zeros((rank, rank))
    out[rows, columns] = out[columns, rows] = packed / scale
    return out
