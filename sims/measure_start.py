"""What becomes of a start: whether it is stayed at without label noise, and how fast a stationary point is left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .measure_slow import SlowMeasurement

__all__ = ["EscapeMeasurement", "StayMeasurement"]

Array = NDArray[np.float64]

# A distance that keeps less than this part of itself has forgotten the start: its rate is not seen.
_LEAST_GROWTH = 1e-2


class StayMeasurement(SlowMeasurement):
    """Mean of Phi(theta_K) - Phi(theta_0), from off Gamma by what label noise of strength lambda would do."""

    settle = True

    def begin(self, strength: float) -> Array:
        """Off Gamma along the given direction."""
        distance = float(self.problem.settings["distance"])
        return np.asarray(self.problem.start + distance * np.sqrt(strength) * self.problem.given["direction"])

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        return np.append(0, self.steps(np.array([self.problem.horizon]), strength))

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        return (points[1] - points[0]).T


class EscapeMeasurement(SlowMeasurement):
    """Rate per step at which the distance from the start along a direction of Gamma grows, over lambda.

    For dx = mu x dt + noise E[x(2t) x(t)] = exp(mu t) E[x(t)^2], whatever the noise, and whatever x(t): of all replicas
    the ones that are far tell most. Memory of the fast motion is O(lambda) beside it.
    """

    settle = True
    degree = 1
    variance_power = 0

    def largest_strength(self) -> float:
        """See `Measurement`."""
        # Until the second time a mean square grows by exp(4).
        return 0.2 * super().largest_strength()

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        first = int(self.steps(np.array([self.problem.horizon]), strength)[0])
        return np.array([first, 2 * first])

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """x(t)^2 and x(2t) x(t), over lambda."""
        first, second = np.einsum("a,mar->mr", self.problem.given["direction"], points - self.problem.start[:, None])
        return np.stack([first * first, second * first], axis=1) / strength

    def statistic(self, means: Array) -> tuple[Array, Array]:
        """Mu = log(c/a)/t, with its derivative in (a, c)."""
        a = max(float(means[0]), 1e-300)
        c = max(float(means[1]), _LEAST_GROWTH * a)
        return np.log([c / a]) / self.problem.horizon, np.array([[-1 / a, 1 / c]]) / self.problem.horizon

    def in_units(self, value: Array, strength: float) -> Array:
        """Per step."""
        return value * self.rate * strength
