"""How fast an ensemble winds around a center in the plane of two parameters."""

from __future__ import annotations

import math

import numpy as np
from flatmin.theory.problem import WINDING_TIMES
from numpy.typing import NDArray

from .ensemble import Ensemble
from .measure_slow import SlowMeasurement

__all__ = ["CirculationMeasurement"]

Array = NDArray[np.float64]

# A replica whose angle changes by more between two recorded times may have turned the other way round.
_LARGEST_TURN = 0.5 * np.pi


class CirculationMeasurement(SlowMeasurement):
    """Mean of the angle that theta has turned, over the slow time in which it did."""

    def admissible(self, strength: float) -> float:
        """See `Measurement`."""
        # Every recorded slow time is a whole number of steps.
        first = self.problem.horizon * float(WINDING_TIMES[0])
        return first / (self.rate * math.ceil(first / (self.rate * strength)))

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        return self.steps(self.problem.horizon * WINDING_TIMES, strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        return np.sum(self._turns(points), axis=0)[:, None] / self.problem.horizon

    def lost(self, ensemble: Ensemble) -> NDArray[np.bool_]:
        """Also those whose turns cannot be counted."""
        return super().lost(ensemble) | np.any(np.abs(self._turns(ensemble.points)) > _LARGEST_TURN, axis=0)

    def transient(self, value: Array) -> float:
        """See `Measurement`."""
        # The start-up of the fast motion takes a fixed number of steps: a term in lambda like any other.
        return 0.0

    def _turns(self, points: Array) -> Array:
        """Angles between recorded points, the first one from the start, shape (M, N)."""
        coordinates = list(zip(self.problem.settings["plane"], self.problem.settings["center"]))
        (u, v), (x, y) = ([p[..., k, :] - c for k, c in coordinates] for p in (self.problem.start[:, None], points))
        angle = np.concatenate([np.broadcast_to(np.arctan2(v, u), (1, points.shape[2])), np.arctan2(y, x)])
        return (np.diff(angle, axis=0) + np.pi) % (2 * np.pi) - np.pi
