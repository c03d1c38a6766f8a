"""One measurement over a ladder of noise strengths: pilot, then a fixed sample size, then the limit lambda -> 0.

Horizon and sample sizes are fixed by the pilot run, whose data are thrown away, before any datum that decides is drawn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from flatmin.theory import Algorithm, Model
from numpy.typing import NDArray

from .ensemble import Ensemble
from .extrapolate import Estimate, Rung, extrapolate, paired_covariance
from .gauge import LARGEST_TRUNCATION, ExtrapolatedGauge
from .kernel import Kernel
from .lanes import LANES
from .measured import Measured
from .measurement import Measurement
from .parting import parted
from .plan import TAIL_LIMIT, Pilot, kurtosis, relative_costs, sample_sizes, tail_inflation
from .progress import Progress
from .sampler import Sampler
from .strengths import smallest_reachable

__all__ = ["Ladder"]

Array = NDArray[np.float64]

# Four strengths over a decade: one more than the largest number of coefficients that is fitted.
_RELATIVE_STRENGTHS = np.geomspace(0.1, 1.0, 4)
_PILOT_REPLICAS = 256
# At the other strengths, and how many times what they cost a run must cost that is worth them.
_OTHER_REPLICAS = 128
_WORTH_PILOTS = 4
# For the coefficients of at most 128 columns.
_REGRESSION_REPLICAS = 384
# Replicas per call: bounds the memory of recorded points.
_CHUNK = 1 << 15
# Probability of residuals as large as these: below it the polynomial does not describe the data.
_LEAST_FIT = 1e-6
# Residuals of a fit that does not describe the data, by which the limit may be off.
_MISFITS = 10.0


class Ladder(ExtrapolatedGauge):
    """Measures one statistic of one model under one algorithm.

    Parameters
    ----------
    model, algorithm
    kernel : Kernel
    measurement : Measurement
    seed : int
    threads : int or None
    progress : Progress
    """

    relative_strengths = _RELATIVE_STRENGTHS
    attempts = 4

    def __init__(
        self,
        model: Model,
        algorithm: Algorithm,
        kernel: Kernel,
        measurement: Measurement,
        *,
        seed: int,
        threads: int | None,
        progress: Progress,
    ) -> None:
        super().__init__(Sampler(model, algorithm, kernel, measurement, seed, threads, progress))
        self.measurement, self.progress = measurement, progress
        self.own_strength = algorithm.strength(model)

    def _largest(self) -> float:
        """With a control that of the measurement, lowered."""
        largest = super()._largest()
        if self.sampler.control(largest) is not None:
            largest *= self._lowered(largest, self._goal.half_width)
        return largest

    def _lowered(self, largest: float, half_width: float) -> float:
        """How far a control may lower the strengths before rounding, which does not fall with them, is seen."""
        wanted, measurement = self.measurement.lowered_by_control, self.measurement
        allowed = 0.01 * half_width / float(measurement.in_units(np.array(1.0), self.own_strength))
        factors = np.geomspace(wanted, 1.0, 5)
        smallest = _RELATIVE_STRENGTHS[0] * largest
        # With flips smaller strengths ask for larger batches.
        least = smallest_reachable(self.sampler.model, self.sampler.algorithm)
        good = (f for f in factors if f * smallest >= least and measurement.resolution(f * smallest) < allowed)
        return float(next(good, 1.0))

    def _attempt(self, attempt: int, largest: float) -> Measured:
        pilot = self._pilot(attempt, largest)
        if isinstance(pilot, Measured):
            return pilot
        strengths = np.array([self.sampler.reachable(s) for s in pilot.largest * _RELATIVE_STRENGTHS])
        if strengths[-1] < 5 * strengths[0]:
            return self._nothing(f"no batch is large enough for strengths below lambda={pilot.largest:.3g}", 0.0)
        sizes, weight = self._sizes(attempt, pilot, strengths)
        left = 0.9 * self._goal.budget - self._goal.spent
        seconds = weight * pilot.seconds_per_replica
        if seconds > left:
            # A short pilot is mostly overhead: before anything is cut, time a longer run.
            seconds = weight * self._timed(attempt, pilot, left)
            left = 0.9 * self._goal.budget - self._goal.spent
        needed = (self._goal.spent + seconds) / 0.9
        if seconds > left:
            # A part of a block takes as long as all of it.
            sizes = LANES * np.floor(sizes * max(left, 0.0) / seconds / LANES).astype(np.int64)
            # With fewer the tails could not be judged, and the time would be lost.
            if sizes.min() < max(2 * pilot.kurtosis / TAIL_LIMIT, 16):
                return self._nothing(f"the budget of {self._goal.budget:g} s is too small", needed)
        return self._decide(attempt, strengths, sizes, needed)

    def _pilot(self, attempt: int, largest: float) -> Pilot | Measured:
        """Find a strength at which every replica stays and settles, and how widely the statistic spreads there."""
        estimate = _PILOT_REPLICAS * self._seconds_per_replica(largest, attempt)
        budget, paired = self._goal.budget, self.measurement.paired
        if estimate > budget - self._goal.spent:
            # The four strengths take some ten times as long.
            needed = self._goal.spent + 12 * estimate
            return self._nothing(f"the pilot run alone takes longer than the budget of {budget:g} s", needed)
        for retry in range(5):
            largest = self.sampler.reachable(largest)
            ensemble = self.sampler.run(largest, _PILOT_REPLICAS, ("pilot", attempt, retry), controlled=paired)
            if not self.measurement.lost(ensemble).any():
                if not paired:
                    ensemble = self._refer(attempt, ensemble, largest)
                columns = 0 if self.sampler.coefficients is None else self.sampler.fitted_columns
                return self._spread(ensemble, largest, columns)
            largest /= 4
        count = int(self.measurement.lost(ensemble).sum())
        return self._nothing(f"{count} of {_PILOT_REPLICAS} replicas diverge even at lambda={4 * largest:.3g}", 0.0)

    def _sizes(self, attempt: int, pilot: Pilot, strengths: Array) -> tuple[NDArray[np.int64], float]:
        """Replicas per strength, and what they cost in replicas of the pilot."""
        half_width = self._goal.half_width / float(self.measurement.in_units(np.array(1.0), self.own_strength))

        def planned(variances: Array) -> tuple[NDArray[np.int64], float]:
            return sample_sizes(pilot, self.measurement, strengths, half_width, self._goal.level, variances)

        believed = (strengths / pilot.largest) ** self._variance_power(pilot)
        sizes, weight = planned(believed)
        cost = _OTHER_REPLICAS * float(relative_costs(self.measurement, strengths)[:-1].sum())
        left = 0.9 * self._goal.budget - self._goal.spent
        affordable = cost * pilot.seconds_per_replica < 0.25 * left
        if self.measurement.paired or weight < _WORTH_PILOTS * cost or not affordable:
            return sizes, weight
        found = self._variances(attempt, pilot, strengths[:-1])
        return (sizes, weight) if found is None else planned(np.append(found, believed[-1]))

    def _variance_power(self, pilot: Pilot) -> int:
        """How the variance of a row is believed to fall with lambda."""
        measurement = self.measurement
        if self.sampler.control(pilot.largest) is None:
            return measurement.variance_power
        # Without mirror images odd orders of the noise are left.
        odd = measurement.antithetic and not self.sampler.mirrored
        return measurement.controlled_variance_power - int(odd)

    def _variances(self, attempt: int, pilot: Pilot, strengths: Array) -> Array | None:
        """Variances of a row at other strengths over that of the pilot; None where they cannot be had."""
        values, found = len(pilot.covariance) - self.measurement.residual_columns, []
        for j, strength in enumerate(strengths):
            ensemble = self.sampler.run(float(strength), _OTHER_REPLICAS, ("pilot", attempt, "strength", j))
            if self.measurement.lost(ensemble).any():
                return None
            # No coefficients were fitted to these rows.
            spread = self._spread(ensemble, float(strength), fitted=0)
            found.append(float(np.trace(spread.covariance[:values, :values])))
        relative = np.array(found) / float(np.trace(pilot.covariance[:values, :values]))
        return np.clip(relative, 1e-12, 1e12) if np.all(np.isfinite(relative)) else None

    def _refer(self, attempt: int, ensemble: Ensemble, largest: float) -> Ensemble:
        """Build controls around the mean of a pilot run, and take their coefficients from another."""
        self.sampler.refer_to(ensemble.points.mean(axis=2))
        if self.sampler.control(largest) is None:
            return ensemble
        again = self.sampler.run(largest, _REGRESSION_REPLICAS, ("regression", attempt))
        if not again.failed.any():
            self.sampler.regress(again, largest)
        if self.sampler.coefficients is None:
            self.sampler.drop_control()
            return ensemble
        return again

    def _spread(self, ensemble: Ensemble, strength: float, fitted: int) -> Pilot:
        """What a pilot run shows, to whose rows coefficients of so many columns were fitted."""
        _, centred = self._statistic(self.sampler.rows(ensemble, strength))
        # They have taken a part of the spread.
        count = len(centred)
        covariance = centred.T @ centred / (count - 1) * (count + fitted) / (count - fitted)
        return Pilot(strength, covariance, kurtosis(centred), count, ensemble.seconds / count)

    def _statistic(self, table: Array) -> tuple[Array, Array]:
        """The statistic of the means of rows, and what each row adds to it, to first order."""
        mean = table.mean(axis=0)
        value, slope = self.measurement.statistic(mean)
        return value, (table - mean) if slope is None else (table - mean) @ slope.T

    def _timed(self, attempt: int, pilot: Pilot, left: float) -> float:
        """Seconds per replica at the largest strength, from as many replicas as a tenth of the time allows."""
        count = min(int(0.1 * max(left, 0.0) / pilot.seconds_per_replica), _CHUNK)
        if count <= _PILOT_REPLICAS:
            return pilot.seconds_per_replica
        ensemble = self.sampler.run(pilot.largest, count, ("timing", attempt))
        return min(pilot.seconds_per_replica, ensemble.seconds / count)

    def _decide(self, attempt: int, strengths: Array, sizes: NDArray[np.int64], needed: float) -> Measured:
        """Draw the data that decide."""
        rungs, tables, tails, seconds = [], [], 0.0, 0.0
        paired = self.measurement.paired
        for j, (strength, size) in enumerate(zip(strengths, sizes)):
            steps = int(self.measurement.schedule(strength)[-1])
            self.progress.phase(f"lambda={strength:.2e} ({j + 1}/{len(strengths)})", float(steps) * int(size))
            rows = []
            for chunk, first in enumerate(range(0, int(size), _CHUNK)):
                count = min(_CHUNK, int(size) - first)
                key = ("main", attempt, 0 if paired else j, chunk)
                ensemble = self.sampler.run(strength, count, key, announce=False)
                seconds += ensemble.seconds
                if (failed := int(self.measurement.lost(ensemble).sum())) > 0:
                    return self._nothing(f"{failed} replicas diverged or did not settle at lambda={strength:.3g}", 0.0)
                rows.append(self.sampler.rows(ensemble, strength))
            table = np.concatenate(rows)
            mean, centred = self._statistic(table)
            covariance = centred.T @ centred / (len(table) - 1) / len(table)
            covariance += self.measurement.resolution(strength) ** 2 * np.eye(len(mean))
            tails = max(tails, kurtosis(centred) / len(table))
            rungs.append(Rung(float(strength), mean, covariance, len(table), steps))
            tables.append(centred)
        joint = paired_covariance(tables, rungs) if paired else None
        estimate, residual = self._in_units(extrapolate(rungs, self.measurement.degree, joint))
        estimate = replace(estimate, widening=tail_inflation(tails, self._goal.level / 2))
        away = self._parted(strengths, tables)
        trouble, fits = "", estimate.fit_probability > _LEAST_FIT
        if not fits:
            # The limit of another curve through the same means is off by a few of its residuals.
            estimate = replace(estimate, truncation=estimate.truncation + _MISFITS * estimate.misfit)
        estimate = replace(estimate, truncation=estimate.truncation + away)
        if away > LARGEST_TRUNCATION * self._goal.half_width:
            trouble = "replicas part, as at a border between basins: the limit is not in sight"
        elif tails > TAIL_LIMIT:
            trouble = f"heavy tails: single replicas carry the mean (kurtosis over replicas {tails:.2g})"
        elif not fits and estimate.truncation > LARGEST_TRUNCATION * self._goal.half_width:
            trouble = f"the extrapolation to lambda=0 does not fit (probability {estimate.fit_probability:.1g})"
        return Measured(estimate, residual, trouble, needed, seconds, self.sampler.gain)

    def _parted(self, strengths: Array, tables: list[Array]) -> float:
        """See `parted`; at the study's own strength, of a statistic of replicas that follow one path."""
        if self.measurement.variance_power < 1:
            return 0.0
        values = tables[0].shape[1] - self.measurement.residual_columns
        away = parted(strengths, [centred[:, :values] for centred in tables])
        return away * float(self.measurement.in_units(np.array(1.0), self.own_strength))

    def _in_units(self, raw: Estimate) -> tuple[Estimate, float]:
        """The estimate at the study's own strength, without the columns that tell whether it settled."""
        unit = float(self.measurement.in_units(np.array(1.0), self.own_strength))
        values = len(raw.value) - self.measurement.residual_columns
        transient = self.measurement.transient(raw.value)
        estimate = replace(raw, truncation=raw.truncation + transient).in_units(unit, values)
        return estimate, self.measurement.unsettled(raw.value, raw.covariance) * unit
