"""Exponents: a positive statistic at strengths lambda_j is A lambda^p (1 + c lambda^q + ...); p is what is tested.

log m_j = a + p log lambda_j + c lambda_j^q is fitted by least squares: the slopes between neighbouring strengths are
extrapolated to lambda -> 0, where the correction, whose power q is known, has left them.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .confidence import student_quantile, weighted_chi2_tail
from .ensemble import Ensemble
from .extrapolate import Estimate, Rung
from .gauge import ExtrapolatedGauge
from .measured import Measured
from .measurement import Measurement
from .plan import TAIL_LIMIT, kurtosis, tail_inflation
from .sampler import Sampler

__all__ = ["PowerLaw", "PowerLawMeasurement", "power_law"]

Array = NDArray[np.float64]

# Five strengths over 1.5 decades: two more than coefficients.
_RELATIVE_STRENGTHS = np.geomspace(10**-1.5, 1.0, 5)
_PILOT_REPLICAS = 128
_FEWEST = 128
# Values held in memory by one call.
_MOST_VALUES = 1 << 25
# Probability of residuals as large as these: below it there is no such law.
_LEAST_FIT = 1e-6


class PowerLawMeasurement(Measurement):
    """A positive statistic of one replica whose power of lambda is asked for."""

    # Whether it needs a linear process beside the replicas.
    coupled = False
    # The error of a row by what lies between its recorded steps, over its difference from the coarse row.
    discretization = 1.0

    @property
    def correction(self) -> float:
        """q, the power of lambda in the first correction."""
        return 1.0

    @abstractmethod
    def rows(self, ensemble: Ensemble, strength: float) -> Array:
        """The statistic of each replica, and the same from every other recorded step alone; shape (N, 2)."""

    def incomplete(self, rows: Array) -> str:
        """Why these rows do not hold the statistic; empty when they do."""
        return ""


def power_law(rungs: list[Rung], correction: float) -> Estimate:
    """Fit the law to rungs of one component and return p, shape (1,).

    The next correction, of power 2q, is taken to be no larger at the largest strength than the first (value plus
    standard error), and carried through the same weights.
    """
    strengths = np.array([r.strength for r in rungs])
    x = (strengths / strengths.max()) ** correction
    means = np.array([r.mean[0] for r in rungs])
    errors = np.sqrt(np.array([r.covariance[0, 0] for r in rungs])) / means
    errors = np.maximum(errors, max(float(errors.max()) * 1e-6, 1e-15))
    weights = _weights(strengths, correction, errors)
    # The mean of a logarithm is not the logarithm of a mean: at second order by half of the relative variance.
    logs = np.log(means) + 0.5 * errors**2
    slope, size = weights @ logs, np.sqrt(weights**2 @ errors**2)
    residuals = logs - _design(strengths, correction) @ slope
    chi2 = float(np.sum((residuals / errors) ** 2))
    missing = abs(float(weights[0] @ x**2))
    return Estimate(
        value=slope[:1],
        covariance=size[:1, None] ** 2,
        truncation=missing * (abs(float(slope[2])) + float(size[2])),
        degree=1,
        fit_probability=weighted_chi2_tail(chi2, np.ones(len(rungs) - weights.shape[0])),
        misfit=float(np.max(np.abs(residuals))),
        strengths=tuple(strengths.tolist()),
        replicas=min(r.replicas for r in rungs),
        rungs=tuple(rungs),
        coefficients=slope[:, None],
        power=correction,
    )


def _design(strengths: Array, correction: float) -> Array:
    return np.stack([np.log(strengths), np.ones(len(strengths)), (strengths / strengths.max()) ** correction], axis=1)


def _weights(strengths: Array, correction: float, errors: Array) -> Array:
    """Rows that take logarithms to p, a and c; shape (3, J)."""
    return np.asarray(np.linalg.pinv(_design(strengths, correction) / errors[:, None]) / errors)


@dataclass(frozen=True)
class _Pilot:
    strengths: Array
    spread: Array  # relative, of one replica
    seconds: Array  # of one replica


class PowerLaw(ExtrapolatedGauge):
    """Measures the exponent of one statistic.

    Parameters
    ----------
    sampler : Sampler
        Of a `PowerLawMeasurement`.
    """

    relative_strengths = _RELATIVE_STRENGTHS
    attempts = 3

    def __init__(self, sampler: Sampler) -> None:
        super().__init__(sampler)
        assert isinstance(sampler.measurement, PowerLawMeasurement)
        self.measurement = sampler.measurement

    def _attempt(self, attempt: int, largest: float) -> Measured:
        pilot = self._pilot(attempt, largest)
        if isinstance(pilot, Measured):
            return pilot
        sizes = self._sizes(pilot)
        seconds, left = float(sizes @ pilot.seconds), 0.9 * self._goal.budget - self._goal.spent
        needed = (self._goal.spent + seconds) / 0.9
        if seconds > left:
            sizes = np.floor(sizes * max(left, 0.0) / seconds).astype(np.int64)
            if sizes.min() < _FEWEST // 4:
                return self._nothing(f"the budget of {self._goal.budget:g} s is too small", needed)
        return self._decide(attempt, pilot.strengths, sizes, needed)

    def _pilot(self, attempt: int, largest: float) -> _Pilot | Measured:
        for retry in range(5):
            strengths = np.array([self.sampler.reachable(s) for s in largest * _RELATIVE_STRENGTHS])
            spreads: list[float] = []
            seconds: list[float] = []
            if self.measurement.coupled and self.sampler.control(strengths[-1]) is None:
                return self._nothing("the model is too large for a linear process beside the replicas", 0.0)
            # From the shortest run on: what takes too long is seen before it is done.
            for j, strength in reversed(list(enumerate(strengths))):
                each = seconds[-1] * 10 ** (1.5 / 4) if seconds else self._seconds_per_replica(strength, attempt)
                ahead = each * _PILOT_REPLICAS
                if ahead > self._goal.budget - self._goal.spent:
                    text = f"the pilot run alone takes longer than the budget of {self._goal.budget:g} s"
                    return self._nothing(text, self._goal.spent + 12 * ahead)
                ensemble = self.sampler.run(strength, _PILOT_REPLICAS, ("pilot", attempt, retry, j))
                if ensemble.failed.any():
                    break
                table = self.measurement.rows(ensemble, strength)
                if trouble := self.measurement.incomplete(table):
                    return self._nothing(trouble, 0.0)
                rows = table[:, 0]
                spreads.append(float(rows.std(ddof=1) / rows.mean()))
                seconds.append(ensemble.seconds / _PILOT_REPLICAS)
            else:
                return _Pilot(strengths, np.array(spreads[::-1]), np.array(seconds[::-1]))
            largest /= 4
        count = int(ensemble.failed.sum())
        return self._nothing(f"{count} of {_PILOT_REPLICAS} replicas diverge even at lambda={4 * largest:.3g}", 0.0)

    def _sizes(self, pilot: _Pilot) -> NDArray[np.int64]:
        """Replicas per strength for the planned half width at the least number of steps."""
        # Lengths, not seconds: sample sizes that depend on a clock could not be reproduced.
        costs = np.array([float(self.measurement.schedule(s)[-1]) for s in pilot.strengths])
        spread = np.maximum(pilot.spread, 1e-6)
        shares = np.ones(len(costs))
        for _ in range(10):
            weights = np.abs(_weights(pilot.strengths, self.measurement.correction, spread / np.sqrt(shares))[0])
            shares = np.maximum(weights, 0.1 * weights.max()) * spread / np.sqrt(costs)
        weights = _weights(pilot.strengths, self.measurement.correction, spread / np.sqrt(shares))[0]
        variance = float(np.sum(weights**2 * spread**2 / shares))
        factor = variance * (student_quantile(self._goal.level / 4, _FEWEST) / self._goal.half_width) ** 2
        return np.minimum(np.maximum(np.ceil(factor * shares), _FEWEST), 1e9).astype(np.int64)

    def _decide(self, attempt: int, strengths: Array, sizes: NDArray[np.int64], needed: float) -> Measured:
        """Draw the data that decide."""
        fine: list[Rung] = []
        coarse: list[Rung] = []
        tails, seconds = 0.0, 0.0
        dimension = len(self.measurement.problem.start)
        for j, (strength, size) in enumerate(zip(strengths, sizes)):
            schedule = self.measurement.schedule(strength)
            self.sampler.progress.phase(f"lambda={strength:.2e} ({j + 1}/{len(strengths)})", float(schedule[-1] * size))
            piece = max(64, _MOST_VALUES // (4 * dimension * len(schedule)) // 64 * 64)
            rows = []
            for chunk, first in enumerate(range(0, int(size), piece)):
                count = min(piece, int(size) - first)
                ensemble = self.sampler.run(strength, count, ("main", attempt, j, chunk), announce=False)
                seconds += ensemble.seconds
                if ensemble.failed.any():
                    failed = int(ensemble.failed.sum())
                    return self._nothing(f"{failed} replicas diverged or did not settle at lambda={strength:.3g}", 0.0)
                rows.append(self.measurement.rows(ensemble, strength))
            table = np.concatenate(rows)
            if trouble := self.measurement.incomplete(table):
                return self._nothing(trouble, 0.0)
            mean, variance = table.mean(axis=0), table.var(axis=0, ddof=1) / len(table)
            tails = max(tails, kurtosis(table[:, :1] - mean[0]) / len(table))
            for rungs, c in ((fine, 0), (coarse, 1)):
                rungs.append(
                    Rung(float(strength), mean[c : c + 1], variance[c : c + 1, None], len(table), int(schedule[-1]))
                )
        correction = self.measurement.correction
        estimate = power_law(fine, correction)
        between = abs(float(estimate.value[0] - power_law(coarse, correction).value[0]))
        estimate = replace(
            estimate,
            truncation=estimate.truncation + self.measurement.discretization * between,
            widening=tail_inflation(tails, self._goal.level / 2),
        )
        trouble = ""
        if tails > TAIL_LIMIT:
            trouble = f"heavy tails: single replicas carry the mean (kurtosis over replicas {tails:.2g})"
        elif estimate.fit_probability < _LEAST_FIT:
            trouble = f"no power of lambda describes the data (probability {estimate.fit_probability:.1g})"
        return Measured(estimate, 0.0, trouble, needed, seconds)
