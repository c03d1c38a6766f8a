"""The fraction of replicas for which something holds, in the limit lambda -> 0: an exact interval, and 0 or 1 ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .extrapolate import Estimate, Rung
from .gauge import LARGEST_TRUNCATION, Goal, SampledGauge
from .measured import Measured

__all__ = ["FractionGauge"]

_PILOT_REPLICAS = 64
_FEWEST = 256
# As lambda -> 0 the spread of an ensemble vanishes, and the fraction of replicas that end in one basin goes to 0 or 1
# unless the start is on its border. So the limit is as far from the fraction as 0 or 1 is, and this many times more is
# left for a border that moves with lambda: a fraction between 1/4 and 1 less a third of the margin decides nothing.
_CAUTION = 3.0
_ATTEMPTS = 3


class FractionGauge(SampledGauge):
    """Measures the fraction of replicas whose row is 1.

    Parameters
    ----------
    sampler : Sampler
        Its measurement gives one column of 0 and 1.
    """

    def run(self, goal: Goal) -> Measured:
        """See `Gauge`."""
        self.sampler.stage = goal.stage
        strength = self.sampler.measurement.largest_strength() if goal.largest is None else goal.largest
        # If all replicas do the same, the interval of Clopper and Pearson ends at tail^(1/N).
        size = max(_FEWEST, int(np.ceil(-np.log(goal.level / 4) / goal.half_width)))
        measured = Measured(None, 0.0, "", 0.0, 0.0)
        rungs: tuple[Rung, ...] = ()
        for attempt in range(_ATTEMPTS):
            one = self._attempt(attempt, self.sampler.reachable(strength), size, goal)
            if one.estimate is None:
                return measured if measured.estimate is not None else one
            rungs = (*one.estimate.rungs, *rungs)
            measured = replace(one, estimate=replace(one.estimate, rungs=rungs))
            if one.estimate.truncation < LARGEST_TRUNCATION * goal.half_width:
                break
            strength /= 4
        return measured

    def _attempt(self, attempt: int, strength: float, size: int, goal: Goal) -> Measured:
        ahead = self._seconds_per_replica(strength, attempt) * (_PILOT_REPLICAS + size)
        if goal.spent + ahead > goal.budget:
            text = f"the budget of {goal.budget:g} s is too small"
            return Measured(None, 0.0, text, goal.spent + ahead, goal.spent)
        pilot = self.sampler.run(strength, _PILOT_REPLICAS, ("pilot", attempt))
        spent = goal.spent
        seconds = pilot.seconds / _PILOT_REPLICAS * size
        if spent + seconds > goal.budget:
            return Measured(None, 0.0, f"the budget of {goal.budget:g} s is too small", spent + seconds, spent)
        ensemble = self.sampler.run(strength, size, ("main", attempt))
        if ensemble.failed.any():
            failed = int(ensemble.failed.sum())
            text = f"{failed} replicas diverged or did not settle at lambda={strength:.3g}"
            return Measured(None, 0.0, text, 0.0, spent)
        rows = self.sampler.measurement.reduce(ensemble.points, ensemble.schedule, strength)
        fraction = float(rows.mean())
        covariance = np.array([[fraction * (1 - fraction) / size]])
        rung = Rung(strength, np.array([fraction]), covariance, size, int(ensemble.schedule[-1]))
        estimate = Estimate(
            value=rung.mean,
            covariance=covariance,
            truncation=_CAUTION * min(fraction, 1 - fraction),
            degree=0,
            fit_probability=1.0,
            misfit=0.0,
            strengths=(strength,),
            replicas=size,
            fraction=True,
            rungs=(rung,),
        )
        return Measured(estimate, 0.0, "", spent + seconds, ensemble.seconds)
