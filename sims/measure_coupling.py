"""What is left of theta when the slow flow and the linear process on the same draws are taken away."""

from __future__ import annotations

import math

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.effective import effective
from flatmin.theory.geometry import retract
from flatmin.theory.integration import along
from numpy.typing import NDArray

from .control import Control, LinearControl
from .ensemble import Ensemble
from .measurement import whole_steps
from .power_law import PowerLawMeasurement

__all__ = ["CouplingMeasurement"]

Array = NDArray[np.float64]

# Recorded steps: all of a short run, and equally many of long ones, whatever lambda: what is missed between is then
# the same part of the statistic at every strength, and the exponent does not see it.
_MARKS = 256
# Phi is integrated to some 1e-9 of theta; what is left of theta must be a hundred times as much.
_LEAST = 1e-7
# Reference points of the linear process on a long window.
_SEGMENTS = 32


class CouplingMeasurement(PowerLawMeasurement):
    """sup |theta_k - Phi_k - xi_k| over the recorded steps of a window.

    Phi is the path that the problem gives, xi the linear process around its points. Between recorded steps the largest
    value of a motion like Brownian's is missed by a part that falls as one over the root of their number.
    """

    coupled = True
    discretization = 1 / (math.sqrt(2) - 1)

    @property
    def correction(self) -> float:
        """The power of lambda in the first correction.

        Beside the motion along Gamma, of order lambda^(1/2), lambda^(3/4) or lambda, there is a part of Delta of one
        order of the noise more: lambda or, for short windows, lambda^(3/2). With it the sign of the noise does not
        matter, without it does, or the other way round: it counts by its square.
        """
        return 0.5 if self._window == "middle" else 1.0

    @property
    def crosses_over(self) -> bool:  # type: ignore[override]
        """Orders lambda^(3/4) and lambda are a factor of lambda^(1/4) apart: three in two decades."""
        return self._window == "middle"

    def largest_strength(self) -> float:
        """See `Measurement`."""
        scales = self.problem.scales
        # Windows are long beside the fast relaxation; the shorter ones are half as long as the long one at most.
        fast = 1 / (self.rate * 50 * max(scales.relaxation_steps, 1.0))
        longest = {"long": fast, "middle": min(fast**2, 0.5**2), "short": 0.5 / 50}[self._window]
        return float(min(1e-2 / max(scales.nonlinearity, 1e-12), 1e-2 / max(scales.spread, 1e-12), longest))

    def schedule(self, strength: float) -> NDArray[np.int64]:
        """See `Measurement`."""
        last = {"long": 1 / strength, "middle": strength**-0.5, "short": 50.0}[self._window] / self.rate
        last = max(2, int(whole_steps(np.array(last))))
        return np.unique(whole_steps(np.linspace(1, last, min(last, _MARKS))))

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """The linear process; nothing is subtracted by coefficients."""
        schedule, model = self.schedule(strength), effective(model, algorithm)[0]
        count = _SEGMENTS if self._window == "long" else 1
        firsts = np.rint(np.arange(count) / count * schedule[-1]).astype(np.int64)
        middle = (np.arange(count) + 0.5) / count * schedule[-1] if count > 1 else np.zeros(1)
        points = np.array([retract(model, p) for p in self._path(middle, strength)])
        linear = LinearControl(model, algorithm, points, firsts, schedule)
        if not linear.usable:
            return None
        return Control(linear, lambda ensemble: np.zeros((ensemble.replicas, 0)), lambda sigmas: np.zeros(0))

    def rows(self, ensemble: Ensemble, strength: float) -> Array:
        """See `PowerLawMeasurement`."""
        assert ensemble.linear is not None
        return self.reduce(ensemble.points - ensemble.linear, ensemble.schedule, strength)

    def incomplete(self, rows: Array) -> str:
        """Where Delta is zero its rounding has no power of lambda."""
        least = _LEAST * (1 + float(np.max(np.abs(self.problem.start))))
        return "" if rows[:, 0].mean() > least else f"sup |Delta| is below {least:.1g}, which is the error of Phi"

    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """See `Measurement`."""
        left = np.linalg.norm(points - self._path(schedule, strength)[:, :, None], axis=1)
        return np.stack([left.max(axis=0), left[::2].max(axis=0)], axis=1)

    @property
    def _window(self) -> str:
        return str(self.problem.settings["window"])

    def _path(self, steps: Array | NDArray[np.int64], strength: float) -> Array:
        given = self.problem.given
        return along(given["times"], given["points"], self.rate * strength * np.asarray(steps, dtype=np.float64))
