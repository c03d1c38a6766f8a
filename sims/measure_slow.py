"""Trajectory and fixed point: statistics of the motion over slow times of order one."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.effective import effective
from flatmin.theory.errors import NotApplicable
from flatmin.theory.flow import SETTLED
from flatmin.theory.geometry import retract
from flatmin.theory.problem import SLOW_TIMES
from numpy.typing import NDArray

from .control import Control, LinearControl
from .ensemble import Ensemble
from .measurement import Measurement, whole_steps

__all__ = ["FixedPointMeasurement", "SlowMeasurement", "TrajectoryMeasurement"]

Array = NDArray[np.float64]

# Columns of a control: their coefficients come from some hundred replicas.
_MOST_COLUMNS = 128
# Reference points on a trajectory.
_SEGMENTS = 16


class SlowMeasurement(Measurement):
    """A statistic of the slow motion: a run takes 1/(rate lambda) steps and spreads as sqrt(lambda)."""

    degree = 2
    variance_power = 1

    def steps(self, slow_times: Array, strength: float) -> NDArray[np.int64]:
        """Steps k at which slow times rate lambda k are reached."""
        return whole_steps(np.maximum(1, slow_times / (self.rate * strength)))

    def largest_strength(self) -> float:
        """See `Measurement`."""
        # Nonlinearity and spread are small, and the shortest run is long beside the fast relaxation, whose transient is
        # a bias of the size of the ratio.
        scales = self.problem.scales
        times = self.problem.horizon / (self.rate * 50 * max(scales.relaxation_steps, 1.0))
        return min(1.5e-2 / max(scales.nonlinearity, 1e-12), 1e-2 / max(scales.spread, 1e-12), times)


class _Followed(SlowMeasurement):
    """One whose control runs along where a pilot run passed."""

    # Not 2, since fitted coefficients miss a part: exponents of 1.1 to 1.6 were measured. A slow fall is safe,
    # because it is corrected where a run becomes long.
    controlled_variance_power = 1

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """The linear process around where a pilot run passed, its columns with coefficients."""
        if reference is None:
            return None
        try:
            points, firsts, marks = self.along(effective(model, algorithm)[0], reference, strength)
        except NotApplicable:  # the mean of the pilot run is near no zero-loss point
            return None
        linear = LinearControl(model, algorithm, points, firsts, marks)
        if not linear.usable or self.columns(len(marks), linear) > _MOST_COLUMNS:
            return None

        def mean(sigmas: Array) -> Array:
            _, increments, _ = linear.moments(sigmas)
            return self.stacked(np.zeros_like(increments)[..., None], increments[..., None])[0]

        return Control(linear, lambda ensemble: self.stacked(*_processes(ensemble)), mean, regressed=True)

    @abstractmethod
    def along(
        self, model: Model, reference: Array, strength: float
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """Zero-loss points near a mean path, the step from which each serves, and the marks."""

    @abstractmethod
    def columns(self, marks: int, linear: LinearControl) -> int:
        """How many independent columns a control has."""

    @abstractmethod
    def stacked(self, linear: Array, second: Array) -> Array:
        """The columns of each replica, shape (N, C), from processes of shape (Q, d, N)."""


def _processes(ensemble: Ensemble) -> tuple[Array, Array]:
    assert ensemble.linear is not None
    assert ensemble.second is not None
    return ensemble.linear, ensemble.second


class TrajectoryMeasurement(_Followed):
    """Mean of theta at eight slow times up to one."""

    def admissible(self, strength: float) -> float:
        """See `Measurement`."""
        # Every recorded slow time is a whole number of steps.
        first = float(SLOW_TIMES[0])
        return first / (self.rate * math.ceil(first / (self.rate * strength)))

    def transient(self, row: Array) -> float:
        """See `Measurement`."""
        # The start-up of the fast motion takes a fixed number of steps: a term in lambda like any other.
        return 0.0

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        return self.steps(SLOW_TIMES, strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        return np.moveaxis(points, -1, 0).reshape(points.shape[-1], -1)

    def along(
        self, model: Model, reference: Array, strength: float
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """Sixteen points on the way."""
        known = np.concatenate([[0.0], SLOW_TIMES])
        path = np.vstack([self.problem.start, reference])
        middle = (np.arange(_SEGMENTS) + 0.5) / _SEGMENTS
        between = np.stack([np.interp(middle, known, coordinate) for coordinate in path.T], axis=1)
        firsts = np.rint(np.arange(_SEGMENTS) / _SEGMENTS / (self.rate * strength)).astype(np.int64)
        return np.array([retract(model, p) for p in between]), firsts, self.schedule(strength)

    def columns(self, marks: int, linear: LinearControl) -> int:
        """The fast fluctuation at every time, and the motion along Gamma since the one before."""
        return marks * (linear.rank + linear.free)

    def stacked(self, linear: Array, second: Array) -> Array:
        """Both processes."""
        return np.moveaxis(np.concatenate([linear, second]), -1, 0).reshape(linear.shape[-1], -1)


class FixedPointMeasurement(_Followed):
    """Mean of Phi(theta) over a window of slow time that opens when the flow has settled."""

    settle = True
    # Snapshots half a relaxation time apart, over six.
    snapshots = 13

    @property
    def residual_columns(self) -> int:
        """One for each parameter: how far the replica still moved."""
        return len(self.problem.start)

    def transient(self, row: Array) -> float:
        """See `Measurement`."""
        return 2 * SETTLED * float(np.linalg.norm(row[: len(self.problem.start)] - self.problem.start))

    def unsettled(self, value: Array, covariance: Array) -> float:
        """See `Measurement`."""
        d = len(self.problem.start)
        # Three times the root mean square error: a settled ensemble stays below it.
        noise = 3 * float(np.sqrt(np.trace(covariance[d:, d:])))
        return max(0.0, float(np.linalg.norm(value[d:])) - noise)

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        problem = self.problem
        times = problem.horizon + 0.5 * problem.relaxation * np.arange(self.snapshots, dtype=np.float64)
        return self.steps(times, strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        half = len(points) // 2
        late, early = points[-half:].mean(axis=0), points[:half].mean(axis=0)
        return np.concatenate([points.mean(axis=0), late - early]).T

    def along(
        self, model: Model, reference: Array, strength: float
    ) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """The mean of the window, from three relaxation times before it."""
        problem = self.problem
        earlier = problem.horizon + 0.5 * problem.relaxation * np.arange(-6.0, 0.0)
        begin, *marks = self.steps(np.asarray(earlier[earlier > 0], dtype=np.float64), strength)
        point = retract(model, reference.mean(axis=0))
        return point[None], np.array([begin]), np.append(marks, self.schedule(strength))

    def columns(self, marks: int, linear: LinearControl) -> int:
        """The motion along Gamma from each mark to the next."""
        return marks * linear.free

    def stacked(self, linear: Array, second: Array) -> Array:
        """The motion along Gamma; Phi has no part of the fast fluctuation."""
        return np.moveaxis(second, -1, 0).reshape(second.shape[-1], -1)
