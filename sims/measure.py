"""From replicas to one statistic per replica: drift, covariance, trajectory, fixed point.

Each measurement is a schedule of recorded steps and a reduction. None sees a prediction: they know the model, the
algorithm, the start and how fast things move.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.flow import SETTLED
from flatmin.theory.prediction import SLOW_TIMES, Problem
from numpy.typing import NDArray

from .control import Control, LinearControl, Segment
from .ensemble import Ensemble

__all__ = ["Measurement", "measurement"]

Array = NDArray[np.float64]


class Measurement(ABC):
    """How one statistic is measured at a strength lambda.

    Parameters
    ----------
    problem : Problem
    lr : float
    """

    # Points are replaced by Phi, where the noise-free iteration from them ends.
    settle = False
    # Degree of the extrapolation in lambda.
    degree = 1
    # Exponent of lambda in the variance of one replica.
    variance_power = 0
    # Whether the strengths have their random numbers in common.
    paired = False

    def __init__(self, problem: Problem, lr: float) -> None:
        self.problem = problem
        self.lr = lr

    @property
    def residual_columns(self) -> int:
        """How many last columns of a row hold no value but how far the replica still moved: 0 when it has settled."""
        return 0

    @abstractmethod
    def schedule(self, strength: float) -> NDArray[np.int64]:
        """Steps at which the replicas are recorded, increasing."""

    @abstractmethod
    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """One row per replica from recorded points of shape (M, d, N): shape (N, D)."""

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """What runs beside the replicas and what it predicts; None without a control.

        `reference` is the mean of the recorded points in a run that decides nothing, shape (M, d).
        """
        return None

    def in_units(self, value: Array, strength: float) -> Array:
        """The extrapolated rows, or their errors, at the study's own strength."""
        return value

    def admissible(self, strength: float) -> float:
        """The strength nearest to `strength`, and not above, at which the schedule is exact."""
        return strength

    def transient(self, value: Array) -> float:
        """Bound on what is left of transients in an extrapolated row, as a norm."""
        return 2 * SETTLED * float(np.linalg.norm(value))

    def resolution(self, strength: float) -> float:
        """Rounding error of an entry of a row: Phi is found to this, and a small noise can be smaller."""
        return self._rest

    @property
    def _rest(self) -> float:
        # The noise-free iteration ends at steps of 1e-13 of the size of theta, with this many of them left to go.
        size = 1 + float(np.max(np.abs(self.problem.start)))
        return 1e-13 * size * (10 + 2 * max(self.problem.scales.relaxation_steps, 1.0))

    @abstractmethod
    def largest_strength(self) -> float:
        """Largest lambda of the ladder."""


class _Local(Measurement):
    """A statistic around the start, per lambda: its relative error per replica does not depend on lambda.

    lambda can therefore be small, and a first-degree extrapolation over a decade is enough. What the linear process
    on the same draws predicts, less its exact mean, is subtracted with coefficient 1.
    """

    # Every strength takes the same number of steps: it can have the same draws.
    paired = True

    @property
    def relaxation(self) -> float:
        """Steps in which the slowest fast mode decays by e, at least 1."""
        return max(self.problem.scales.relaxation_steps, 1.0)

    @property
    def burn_in(self) -> int:
        """Steps until the fluctuations are stationary."""
        return math.ceil(-math.log(SETTLED) * self.relaxation)

    def in_units(self, value: Array, strength: float) -> Array:
        return value * strength

    def largest_strength(self) -> float:
        # The mean square nonlinearity is at most 1e-4, the slow motion during the run and the mean square spread, over
        # the size of theta, 1e-3: these are of the size of the bias at the top of the ladder.
        scales = self.problem.scales
        steps = int(self.schedule(1.0)[-1])
        moved = steps * self.lr * max(scales.slow_rate, 1e-12)
        return min(1e-4 / max(scales.nonlinearity, 1e-12), 1e-3 / moved, 1e-3 / max(scales.spread, 1e-12))

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """The linear process around the start."""
        linear = LinearControl(model, algorithm, self.problem.start[None], [0], self.schedule(strength))
        if not linear.usable:
            return None
        return Control(
            linear,
            lambda ensemble: self.linear_rows(linear, ensemble, strength),
            lambda sigmas: self.linear_mean(linear, sigmas, strength),
        )

    @abstractmethod
    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """What the linear process of each replica predicts for its row, shape (N, D)."""

    @abstractmethod
    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """The exact mean of a row of `linear_rows`, shape (D,)."""


class _Drift(_Local):
    """Mean of P (Phi(theta_K) - Phi(theta_k)) / (K - k) / lambda.

    Without minibatch noise k = 0 has no bias; otherwise k is a burn-in, since the minibatch part of the noise grows
    with the fluctuation.
    """

    settle = True

    def schedule(self, strength: float) -> NDArray[np.int64]:
        first = self.burn_in if self.problem.scales.minibatch else 0
        # The noise-free iteration to Phi takes some 30 relaxation times: a window as long wastes neither.
        return np.array([first, first + max(64, math.ceil(40 * self.relaxation))])

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        moved = (points[1] - points[0]).T / float(schedule[1] - schedule[0]) / strength
        tangent = self.problem.tangent
        return (moved @ tangent) @ tangent.T

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """Second-order motion along Gamma, with that of the noise-free iteration that ends in Phi."""
        assert ensemble.linear is not None
        assert ensemble.second is not None
        segment = control.segments[0]
        z = np.einsum("dr,qdn->qnr", segment.local.normal, ensemble.linear)
        rest = _noise_free_motion(segment, self.lr)
        ends = np.einsum("qnr,drs,qns->qnd", z, rest, z, optimize=True)
        return (ensemble.second[1].T + ends[1] - ends[0]) / self._window / strength

    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """By the exact second moments."""
        covariance, increments = control.moments(sigmas)
        segment = control.segments[0]
        rest, normal = _noise_free_motion(segment, self.lr), segment.local.normal
        ends = np.einsum("drs,qrs->qd", rest, normal.T @ covariance @ normal)
        return np.asarray((increments[1] + ends[1] - ends[0]) / self._window / strength)

    @property
    def _window(self) -> float:
        first, last = self.schedule(1.0)
        return float(last - first)

    def resolution(self, strength: float) -> float:
        first, last = self.schedule(strength)
        return self._rest / float(last - first) / strength


class _Covariance(_Local):
    """Mean of (theta - theta*)(theta - theta*)^T / lambda after the burn-in, averaged over a window."""

    def schedule(self, strength: float) -> NDArray[np.int64]:
        spacing = max(1, math.ceil(self.relaxation))
        return self.burn_in + spacing * np.arange(12)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        deviation = points - self.problem.start[:, None]
        products = np.einsum("mar,mbr->rab", deviation, deviation, optimize=True)
        return products.reshape(len(products), -1) / len(schedule) / strength

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """The same statistic of the linear process."""
        assert ensemble.linear is not None
        products = np.einsum("mar,mbr->rab", ensemble.linear, ensemble.linear, optimize=True)
        return products.reshape(len(products), -1) / len(ensemble.linear) / strength

    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """By the exact second moments."""
        covariance, _ = control.moments(sigmas)
        return np.asarray(covariance.mean(axis=0).ravel() / strength)

    def resolution(self, strength: float) -> float:
        # Squares of deviations of size sqrt(lambda) from a start that is known to 1e-15.
        return 1e-14 / float(np.sqrt(strength))


def _noise_free_motion(segment: Segment, lr: float) -> Array:
    """Quadratic forms, shape (d, r, r): the motion of P theta while z decays by z <- (1 - lr H) z.

    Each step moves P theta by -(lr/n) sum_i (g_i . z) P F_i z; the sum over the steps is geometric in coordinates in
    which H is diagonal.
    """
    slope = np.einsum("ir,imq->mrq", segment.gradients, segment.second) / len(segment.gradients)
    factors = 1 - lr * segment.local.curvatures
    decay = 1 - np.multiply.outer(factors, factors)
    return np.einsum("dm,mrq->drq", segment.local.tangent, -lr * 0.5 * (slope + slope.transpose(0, 2, 1)) / decay)


class _Slow(Measurement):
    """A statistic of the slow motion: a run takes 1/(eta lambda) steps and spreads as sqrt(lambda)."""

    degree = 2
    variance_power = 1

    def steps(self, slow_times: Array, strength: float) -> NDArray[np.int64]:
        """Steps at which slow times eta lambda k are reached."""
        return np.maximum(1, np.rint(slow_times / (self.lr * strength))).astype(np.int64)

    def largest_strength(self) -> float:
        # Nonlinearity and spread are small, and the shortest run is long beside the fast relaxation, whose transient is
        # a bias of the size of the ratio.
        scales = self.problem.scales
        times = self.problem.horizon / (self.lr * 50 * max(scales.relaxation_steps, 1.0))
        return min(1.5e-2 / max(scales.nonlinearity, 1e-12), 1e-2 / max(scales.spread, 1e-12), times)


class _Trajectory(_Slow):
    """Mean of theta at eight slow times up to one."""

    def admissible(self, strength: float) -> float:
        # Every recorded slow time is a whole number of steps.
        first = float(SLOW_TIMES[0])
        return first / (self.lr * math.ceil(first / (self.lr * strength)))

    def transient(self, value: Array) -> float:
        # The start-up of the fast motion takes a fixed number of steps: a term in lambda like any other.
        return 0.0

    def schedule(self, strength: float) -> NDArray[np.int64]:
        return self.steps(SLOW_TIMES, strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        return np.moveaxis(points, -1, 0).reshape(points.shape[-1], -1)


class _FixedPoint(_Slow):
    """Mean of Phi(theta) over a window of slow time that opens when the flow has settled."""

    settle = True
    # Snapshots half a relaxation time apart, over six.
    snapshots = 13

    @property
    def residual_columns(self) -> int:
        """One for each parameter."""
        return len(self.problem.start)

    def transient(self, value: Array) -> float:
        return 2 * SETTLED * float(np.linalg.norm(value - self.problem.start))

    def schedule(self, strength: float) -> NDArray[np.int64]:
        problem = self.problem
        times = problem.horizon + 0.5 * problem.relaxation * np.arange(self.snapshots, dtype=np.float64)
        return self.steps(times, strength)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        half = len(points) // 2
        late, early = points[-half:].mean(axis=0), points[:half].mean(axis=0)
        return np.concatenate([points.mean(axis=0), late - early]).T


def measurement(problem: Problem, lr: float) -> Measurement:
    """The measurement of the statistic `problem.kind`."""
    kinds: dict[str, type[Measurement]] = {
        "drift": _Drift,
        "covariance": _Covariance,
        "trajectory": _Trajectory,
        "fixed-point": _FixedPoint,
    }
    return kinds[problem.kind](problem, lr)
