"""When a replica's zero-loss point first comes within gamma of a point, and whether it ends there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ensemble import Ensemble
from .measure_slow import SlowMeasurement
from .measurement import whole_steps
from .power_law import PowerLawMeasurement

__all__ = ["EndMeasurement", "HittingExponentMeasurement", "HittingMeasurement", "first_passage"]

Array = NDArray[np.float64]

# Recorded steps up to the horizon; the passage is half way by the problem's own clock.
_MARKS = 64


def first_passage(distance: Array, times: Array) -> tuple[Array, Array]:
    """The first time at which each column of `distance`, shape (M, N), is at most 0; NaN where it never is.

    Between recorded times by the cubic through the four nearest; the second array is from straight lines, whose error
    is larger: their difference bounds that of the first.

    Parameters
    ----------
    distance : ndarray, shape (M, N)
        Positive at the first time.
    times : ndarray, shape (M,)
        Increasing.
    """
    inside = distance <= 0
    met = inside.any(axis=0)
    after = np.where(met, np.argmax(inside, axis=0), 1).clip(1)
    columns = np.arange(distance.shape[1])
    low, high = distance[after - 1, columns], distance[after, columns]
    share = np.clip(low / np.where(low > high, low - high, 1.0), 0.0, 1.0)
    straight = times[after - 1] + share * (times[after] - times[after - 1])
    # Time as a cubic of the distance would need it to fall everywhere; the cubic of time is solved by halving.
    first = np.clip(after - 2, 0, max(len(times) - 4, 0))
    nodes = first + np.arange(min(4, len(times)))[:, None]
    t, f = times[nodes], distance[nodes, columns]
    a, b = times[after - 1].copy(), times[after].copy()
    for _ in range(50):
        middle = 0.5 * (a + b)
        below = _lagrange(t, f, middle) <= 0
        a, b = np.where(below, a, middle), np.where(below, middle, b)
    return np.where(met, 0.5 * (a + b), np.nan), np.where(met, straight, np.nan)


def _lagrange(t: Array, f: Array, at: Array) -> Array:
    """The polynomial through nodes t with values f, both of shape (K, N), at one point per column."""
    value = np.zeros_like(at)
    for i in range(len(t)):
        others = [j for j in range(len(t)) if j != i]
        value += f[i] * np.prod([(at - t[j]) / (t[i] - t[j]) for j in others], axis=0)
    return value


class HittingMeasurement(SlowMeasurement):
    """Slow time rate lambda k at which Phi(theta_k) first lies within gamma of the target; the horizon if it does not.

    Replicas that do not come make the mean a lower bound: all of them, or none, must come for a verdict.
    """

    settle = True

    @property
    def residual_columns(self) -> int:
        """What straight lines between the recorded steps change, and whether the replica did not come."""
        return 2

    def largest_strength(self) -> float:
        """See `Measurement`."""
        # The distance in which a replica spreads, root(lambda tr S), is a small part of gamma.
        near = (0.3 * self.problem.settings["gamma"]) ** 2 / max(self.problem.scales.fluctuation, 1e-12)
        return min(super().largest_strength(), near)

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        last = max(self.problem.horizon / (self.rate * strength), 4.0)
        return np.unique(whole_steps(np.linspace(0, last, _MARKS + 1)))

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        away = np.linalg.norm(points - self.problem.given["target"][:, None], axis=1)
        times = np.asarray(schedule * (self.rate * strength), dtype=np.float64)
        fine, straight = first_passage(away - self.problem.settings["gamma"], times)
        missed = np.isnan(fine)
        fine, straight = (np.where(missed, times[-1], t) for t in (fine, straight))
        return np.stack([fine, straight - fine, missed], axis=1)

    def transient(self, row: Array) -> float:
        """What lies between the recorded steps."""
        return abs(float(row[1]))

    def unsettled(self, value: Array, covariance: Array) -> float:
        """The time by which replicas that did not come are cut, where others came."""
        share = float(np.clip(value[2], 0.0, 1.0))
        return min(share, 1 - share) * self.problem.horizon


class HittingExponentMeasurement(PowerLawMeasurement, HittingMeasurement):
    """The number of steps of the same passage."""

    def rows(self, ensemble: Ensemble, strength: float) -> Array:
        """See `PowerLawMeasurement`."""
        fine, change, missed = self.reduce(ensemble.points, ensemble.schedule, strength).T
        steps = np.stack([fine, fine + change], axis=1) / (self.rate * strength)
        return np.where(missed[:, None] > 0, np.nan, steps)

    def incomplete(self, rows: Array) -> str:
        """See `PowerLawMeasurement`."""
        missed = int(np.isnan(rows[:, 0]).sum())
        return f"{missed} of {len(rows)} replicas did not come within gamma by the horizon" if missed else ""


class EndMeasurement(SlowMeasurement):
    """Whether Phi(theta_k) lies within gamma of the target when the flow has settled: 1 or 0."""

    settle = True

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        return self.steps(np.array([self.problem.horizon]), strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        away = np.linalg.norm(points[-1] - self.problem.given["target"][:, None], axis=0)
        return (away <= self.problem.settings["gamma"]).astype(np.float64)[:, None]
