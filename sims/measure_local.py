"""Drift and covariance: statistics around the start, per lambda, less what a linear process on the same draws gives."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.flow import SETTLED
from numpy.typing import NDArray

from .control import Control, LinearControl
from .ensemble import Ensemble
from .measurement import Measurement, whole_steps

__all__ = ["CovarianceMeasurement", "DriftMeasurement", "NormalOffsetMeasurement"]

Array = NDArray[np.float64]


class _Local(Measurement):
    """A statistic around the start, per lambda: its relative error per replica does not depend on lambda.

    lambda can therefore be small, and a first-degree extrapolation over a decade is enough. What the linear process
    on the same draws predicts, less its exact mean, is subtracted with coefficient 1.
    """

    # Every strength takes the same number of steps: it can have the same draws.
    paired = True
    lowered_by_control = 1 / 30
    controlled_variance_power = 1

    @property
    def relaxation(self) -> float:
        """Steps in which the slowest fast mode decays by e, at least 1."""
        steps = max(self.problem.scales.relaxation_steps, 1.0)
        whole_steps(np.array(steps))  # raises where burn-in and windows would be too long to be counted
        return steps

    @property
    def burn_in(self) -> int:
        """Steps until the fluctuations are stationary."""
        return math.ceil(-math.log(SETTLED) * self.relaxation)

    def in_units(self, value: Array, strength: float) -> Array:
        """See `Measurement`."""
        return value * strength

    def largest_strength(self) -> float:
        """See `Measurement`."""
        # The mean square nonlinearity is at most 1e-4, the slow motion during the run and the mean square spread, over
        # the size of theta, 1e-3: these are of the size of the bias at the top of the ladder.
        scales = self.problem.scales
        steps = int(self.schedule(1.0)[-1])
        moved = steps * self.rate * max(scales.slow_rate, scales.walk, 1e-12)
        return min(1e-4 / max(scales.nonlinearity, 1e-12), 1e-3 / moved, 1e-3 / max(scales.spread, 1e-12))

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """The linear process around the start."""
        linear = self.process(model, algorithm, strength)
        if not linear.usable:
            return None
        return Control(
            linear,
            lambda ensemble: self.linear_rows(linear, ensemble, strength),
            lambda sigmas: self.linear_mean(linear, sigmas, strength),
        )

    def process(self, model: Model, algorithm: Algorithm, strength: float) -> LinearControl:
        """The linear process beside each replica."""
        return LinearControl(model, algorithm, self.problem.start[None], [0], self.schedule(strength))

    @abstractmethod
    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """What the linear process of each replica predicts for its row, shape (N, D)."""

    @abstractmethod
    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """The exact mean of a row of `linear_rows`, shape (D,)."""


class DriftMeasurement(_Local):
    """Mean of P (Phi(theta_K) - Phi(theta_k)) / (K - k) / lambda.

    Without minibatch noise k = 0 has no bias; otherwise k is a burn-in, since the minibatch part of the noise grows
    with the fluctuation.
    """

    settle = True

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        first = self.burn_in if self.problem.scales.minibatch else 0
        # The noise-free iteration to Phi takes some 30 relaxation times: a window as long wastes neither.
        return np.array([first, first + max(64, math.ceil(40 * self.relaxation))])

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        return self.along((points[1] - points[0]).T / float(schedule[1] - schedule[0]) / strength)

    def along(self, moved: Array) -> Array:
        """The part along the zero-loss set of rows, shape (N, d)."""
        tangent = self.problem.tangent
        return np.asarray((moved @ tangent) @ tangent.T)

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """Second-order motion along Gamma, with that of the noise-free iteration that ends in Phi."""
        assert ensemble.linear is not None
        assert ensemble.second is not None
        assert ensemble.ends is not None
        moved = ensemble.second[1] + ensemble.ends[1] - ensemble.ends[0]
        return np.asarray(moved.T / self._window / strength)

    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """By the exact second moments."""
        _, increments, ends = control.moments(sigmas)
        return np.asarray((increments[1] + ends[1] - ends[0]) / self._window / strength)

    @property
    def _window(self) -> float:
        first, last = self.schedule(1.0)
        return float(last - first)

    def resolution(self, strength: float) -> float:
        """See `Measurement`."""
        first, last = self.schedule(strength)
        return self._rest / float(last - first) / strength


class CovarianceMeasurement(_Local):
    """Mean of (theta - theta*)(theta - theta*)^T / lambda after the burn-in, averaged over a window."""

    antithetic = True
    controlled_variance_power = 2

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        spacing = max(1, math.ceil(self.relaxation))
        return self.burn_in + spacing * np.arange(12)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
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
        covariance, _, _ = control.moments(sigmas)
        return np.asarray(covariance.mean(axis=0).ravel() / strength)

    def resolution(self, strength: float) -> float:
        """See `Measurement`."""
        # Squares of deviations of size sqrt(lambda) from a start that is known to 1e-15.
        return 1e-14 / float(np.sqrt(strength))


class NormalOffsetMeasurement(_Local):
    """Mean of the normal part of theta - theta* over lambda after the burn-in: m/lambda, with H m = -(1/2) D3L[S].

    The linear process has mean zero, and cancels between a replica and its mirror image. No kind of claim asks for it;
    it is there for whoever measures in Python.
    """

    antithetic = True
    controlled_variance_power = 0

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        return self.burn_in + max(1, math.ceil(self.relaxation)) * np.arange(12)

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        moved = (points - self.problem.start[:, None]).mean(axis=0).T / strength
        tangent = self.problem.tangent
        return np.asarray(moved - (moved @ tangent) @ tangent.T)

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """Nothing is left of it in a pair; without a mirror image, the normal part of the linear process."""
        if ensemble.mirror is not None or ensemble.linear is None:
            return np.zeros((ensemble.replicas, len(self.problem.start)))
        moved = ensemble.linear.mean(axis=0).T / strength
        return np.asarray(moved - (moved @ self.problem.tangent) @ self.problem.tangent.T)

    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """Zero."""
        return np.zeros(len(self.problem.start))
