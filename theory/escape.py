"""Blanc et al.: a maximum of R on Gamma is left, a minimum is not: how the mean square distance from it grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assumptions import Assumption
from .errors import NotApplicable
from .flow import SlowFlow, StationaryPoint
from .geometry import LocalGeometry
from .problem import Problem
from .slow import SlowTheory
from .statement import Statement
from .timescales import timescales

__all__ = ["EscapeStatement"]

Array = NDArray[np.float64]

# Where the start may be a stationary point that was written with few digits.
_NEAR = 0.05
# First time of two, over 1/rate: an unstable direction grows by e in it; a stable one has forgotten half.
_UNSTABLE, _STABLE = 1.0, 0.5


class EscapeStatement(Statement):
    """Growth rate per step of the distance along the leading direction, shape (1,): positive where it is left.

    At a stationary point of the slow flow the projection x of Phi(theta) - theta* on the leading left eigenvector obeys
    dx = mu x dt + sqrt(lambda D) dW in slow time, to leading order in lambda, with the noise D along Gamma that is
    O(eta lambda^2) per step. So E x^2 = lambda D (exp(2 mu t) - 1)/(2 mu) from x = 0, for either sign of mu; of the
    mean squares at t and 2t the ratio is exp(2 mu t) + 1, which knows nothing of D.

    References
    ----------
    Blanc, Gupta, Valiant, Valiant (2020), Theorem 1: label noise SGD leaves a zero-loss point that is no local minimum
    of R on the zero-loss set; its rates follow from the slow flow of Damian, Ma, Lee (2021), Theorem 1.
    """

    def __init__(self, *case: Any) -> None:
        super().__init__(*case)
        point = _stationary(self.derived, self.theta)
        self.theta = point.theta
        self.local = LocalGeometry.at(self.model, self.theta)
        self.growth, self.covector = _leading(self.derived, self.theta)

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`; at the stationary point of `theory` itself."""
        point = _stationary(theory, self.theta)
        if own:
            self._seeded()
        return np.array([speed * theory.rate * theory.strength * _leading(theory, point.theta)[0]])

    def labels(self) -> tuple[str, ...]:
        """A rate."""
        return ("growth rate",)

    def problem(self, visited: Array, horizon: float, relaxation: float) -> Problem:
        """See `Statement`; `given` holds the covector of the leading direction."""
        scales = timescales(self.model, self.algorithm, self.theta[None])
        horizon = (_UNSTABLE if self.growth > 0 else _STABLE) / abs(self.growth)
        tangent, given = self.local.tangent, {"direction": self.covector}
        return Problem(self.claim.kind, self.theta, tangent, scales, horizon, 0.0, self.claim.settings, given)

    def natural_scale(self) -> tuple[float, float]:
        """The rate of the derived theory."""
        return abs(self.growth) * self.derived.rate * self.derived.strength, 0.0

    def _seeded(self) -> None:
        """Without noise along the leading direction nothing leaves the point to begin with."""
        local = self.local
        bends = np.einsum("a,iab,bq->iq", self.covector, local.second, local.normal)
        size = float(np.linalg.norm(bends)) / max(float(np.linalg.norm(local.second)), 1e-300)
        rule = "label noise must move Phi along the leading direction; by a symmetry of the model it does not"
        self.extra.append(Assumption("noise along the leading direction", size > 1e-9, size, rule))


def _stationary(theory: SlowTheory, theta: Array) -> StationaryPoint:
    point = SlowFlow(theory).stationary_point_near(theta)
    if point is None or np.linalg.norm(point.theta - theta) > _NEAR * (1 + np.linalg.norm(theta)):
        rule = f"by the theory {theory.name} the slow flow does not rest near the start"
        raise NotApplicable("stationary start", rule)
    return point


def _leading(theory: SlowTheory, theta: Array) -> tuple[float, Array]:
    """Largest rate of the linearised slow flow per unit of slow time, and its covector, shape (d,)."""
    tangent, derivative = SlowFlow(theory).linearized(theta)
    values, vectors = np.linalg.eig(derivative.T)
    order = np.argsort(-values.real)
    first, scale = values[order[0]], float(np.max(np.abs(values)))
    second = values[order[1]].real if len(values) > 1 else -np.inf
    if abs(first.imag) > 1e-9 * scale or abs(first.real) < 1e-6 * scale or first.real - second < 1e-3 * scale:
        rule = "the leading rate of the slow flow there must be real, simple and not zero"
        raise NotApplicable("leading rate", rule)
    covector = tangent @ vectors[:, order[0]].real
    covector = covector * np.sign(covector[np.argmax(np.abs(covector))])
    return float(first.real), np.asarray(covector / np.linalg.norm(covector))
