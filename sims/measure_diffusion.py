"""Noise along the zero-loss set: mean and covariance of the change of Phi(theta) per step, per lambda."""

from __future__ import annotations

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.problem import Problem
from numpy.typing import NDArray

from .control import LinearControl
from .ensemble import Ensemble
from .measure_local import DriftMeasurement
from .measurement import Measurement

__all__ = ["diffusion_measurement"]

Array = NDArray[np.float64]


def diffusion_measurement(problem: Problem, rate: float) -> Measurement:
    """The measurement of the moment that the claim names."""
    return {"mean": DiffusionMean, "covariance": DiffusionCovariance}[problem.settings["moment"]](problem, rate)


class DiffusionMean(DriftMeasurement):
    """Mean of (Phi(theta_K) - Phi(theta_k)) / (K - k) / lambda.

    The linear process on the same draws takes away the random walk, and its second order what that does on a curved
    zero-loss set.
    """

    # Without a control the random walk is seen, which is larger than its mean by one over the square root of lambda.
    variance_power = -1

    def process(self, model: Model, algorithm: Algorithm, strength: float) -> LinearControl:
        """See `DriftMeasurement`."""
        return LinearControl(model, algorithm, self.problem.start[None], [0], self.schedule(strength), walks=True)

    def along(self, moved: Array) -> Array:
        """All of the change: on a curved set a diffusion leaves the tangent space too."""
        return moved

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """The random walk, with its second order."""
        assert ensemble.linear is not None
        walk = (ensemble.linear[1] - ensemble.linear[0]).T / self._window / strength
        return np.asarray(walk + super().linear_rows(control, ensemble, strength))


class DiffusionCovariance(DiffusionMean):
    """Mean of the products of the components of Phi(theta_K) - Phi(theta_k), over (K - k) lambda."""

    antithetic = True
    variance_power = 0
    controlled_variance_power = 2

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        return self._products(points[1] - points[0], strength)

    def linear_rows(self, control: LinearControl, ensemble: Ensemble, strength: float) -> Array:
        """The same of the linear process."""
        assert ensemble.linear is not None
        return self._products(ensemble.linear[1] - ensemble.linear[0], strength)

    def linear_mean(self, control: LinearControl, sigmas: Array, strength: float) -> Array:
        """By the exact second moments: a random walk has independent increments."""
        covariance, _, _ = control.moments(sigmas)
        return np.asarray((covariance[1] - covariance[0]).ravel() / self._window / strength)

    def resolution(self, strength: float) -> float:
        """See `Measurement`."""
        # Products of changes of size sqrt(lambda) with the rounding of Phi.
        return self._rest / float(np.sqrt(self._window * strength))

    def _products(self, moved: Array, strength: float) -> Array:
        products = np.einsum("ar,br->rab", moved, moved)
        return products.reshape(len(products), -1) / self._window / strength
