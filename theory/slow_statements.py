"""Claims about slow times of order one: the path of the ensemble, and where it settles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption
from .basins import stationary_points_on_curve
from .claim import Claim
from .errors import NotApplicable
from .flow import SlowFlow, StationaryPoint, ending
from .kurdyka import kurdyka_assumption
from .model import Model
from .problem import SLOW_TIMES
from .slow import SlowTheory
from .statement import ZERO, Statement

__all__ = ["FixedPointStatement", "TrajectoryStatement"]

Array = NDArray[np.float64]


class TrajectoryStatement(Statement):
    """The mean path at `SLOW_TIMES`, shape (8, d)."""

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        return SlowFlow(theory).path(self.theta, speed * SLOW_TIMES)

    def visited(self) -> tuple[Array, float, float]:
        """See `Statement`."""
        return np.vstack([self.theta[None], SlowFlow(self.motion).path(self.theta, SLOW_TIMES)]), 1.0, 1.0

    def times(self) -> Array:
        """See `Statement`."""
        return SLOW_TIMES / (self.theory.rate * self.theory.strength)

    def stays(self, value: Array) -> Array:
        """The start, at every time."""
        return np.broadcast_to(self.theta, value.shape)


class FixedPointStatement(Statement):
    """Where the ensemble settles, shape (d,)."""

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """Of the main theorem: with that of Kurdyka and Lojasiewicz, and its delta."""
        checked = super().assumptions(model, algorithm, claim, theta)
        return (*checked, kurdyka_assumption(model, theta)) if all(a.holds for a in checked) else checked

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        point = self._end(theory)
        if own or point.stability == "unstable":
            self._stability(point.rates, point.stability, own)
        return point.theta

    def visited(self) -> tuple[Array, float, float]:
        """See `Statement`."""
        point = self._end(self.motion)
        if point.stability == "unstable":
            self._stability(point.rates, point.stability, own=False)
        rate = point.relaxation_rate
        relaxation = 1.0 / rate if np.isfinite(rate) else 1.0
        # Ten relaxation times when the start is the end already: the ensemble must still spread.
        horizon = max(point.settling_time, 10 * relaxation)
        return np.vstack([point.passed, point.theta]), horizon, relaxation

    def origin(self, value: Array) -> Array:
        """The start."""
        return self.theta

    def labels(self) -> tuple[str, ...]:
        """The parameters."""
        return self.parameter_names()

    def scale(self, value: Array) -> tuple[float, str]:
        """The way from the start to it."""
        distance, size = float(np.linalg.norm(value - self.theta)), float(np.linalg.norm(value))
        if distance > ZERO * (1 + size):
            return distance, ""
        return size if size > 0 else 1.0, "the start is the prediction; the error is relative to its norm"

    def stays(self, value: Array) -> Array:
        """The start."""
        return self.theta

    def scale_of_staying(self, other: Array, scale: float) -> float:
        """The way of the claim."""
        return scale

    def remarks(self) -> tuple[str, ...]:
        """How many ends there are on a curve."""
        if self.local.tangent.shape[1] != 1:
            return ()
        try:
            basins = stationary_points_on_curve(SlowFlow(self.theory), self.theta).basins
        except NotApplicable:
            # Elsewhere on the curve the theory has no value: that says nothing about the end that was reached.
            return ()
        return (f"the zero-loss curve has {basins} stable points: the end depends on the start",) if basins > 1 else ()

    def _end(self, theory: SlowTheory) -> StationaryPoint:
        """Where the flow of `theory` ends; followed once, also where a claim, a rival and the horizon ask for it."""
        return ending(theory, self.theta)

    def _stability(self, rates: NDArray[np.complex128], stability: str, own: bool) -> None:
        largest = float(rates.real.max(initial=-np.inf))
        rule = "no rate of the slow flow at the stationary point may be positive"
        if not own:
            raise NotApplicable("stability of the stationary point", rule)
        value = largest if np.isfinite(largest) else None
        self.extra.append(Assumption("stability of the stationary point", stability != "unstable", value, rule))
        if stability == "neutral":
            self.notes.append("the stationary point is not isolated (a symmetry of the model); the flow selects it")
