"""What every way to measure a statistic has in common: what it is asked, and how strengths are lowered."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .measured import Measured
from .sampler import Sampler
from .strengths import smallest_reachable

__all__ = ["LARGEST_TRUNCATION", "ExtrapolatedGauge", "Gauge", "Goal", "SampledGauge"]

# Part of the planned half width that the truncation may take before the strengths are lowered.
LARGEST_TRUNCATION = 0.4
# Enough to time both threads of a small machine.
_PROBE_REPLICAS = 128


@dataclass(frozen=True)
class Goal:
    """What a measurement is asked.

    Attributes
    ----------
    half_width : float
        Planned half width of the interval, in the units of the statistic at the study's own strength.
    level : float
        Error rate of the interval.
    budget : float
        Seconds, counted from `started`.
    started : float
        Of `time.perf_counter`; now by default.
    largest : float or None
        Largest strength to begin with; by default what the measurement says.
    stage : int
        Each stage has its own random numbers.
    """

    half_width: float
    level: float
    budget: float
    started: float = field(default_factory=time.perf_counter)
    largest: float | None = None
    stage: int = 1

    @property
    def spent(self) -> float:
        """Seconds since it started."""
        return time.perf_counter() - self.started


class Gauge(ABC):
    """Measures one statistic."""

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """Replica-steps taken so far."""

    @abstractmethod
    def run(self, goal: Goal) -> Measured:
        """Measure the statistic in the limit lambda -> 0."""


class SampledGauge(Gauge):
    """One that draws rows of one measurement.

    Parameters
    ----------
    sampler : Sampler
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @property
    def total_steps(self) -> int:
        """See `Gauge`."""
        return self.sampler.total_steps

    def _seconds_per_replica(self, strength: float, attempt: int) -> float:
        """Time of one replica's whole run, from runs that grow until they can be timed."""
        whole = int(self.sampler.measurement.schedule(strength)[-1])
        steps = min(2000, whole)
        while True:
            probe = self.sampler.run(strength, _PROBE_REPLICAS, ("probe", attempt), np.array([steps]), settle=False)
            if probe.seconds > 0.05 or steps == whole:
                return probe.seconds / _PROBE_REPLICAS * whole / steps
            steps = min(8 * steps, whole)


class ExtrapolatedGauge(SampledGauge):
    """One that extrapolates from several strengths, lowered where that leaves too much to the extrapolation."""

    # Strengths over the largest one, increasing.
    relative_strengths: ClassVar[NDArray[np.float64]]
    # How often they are tried.
    attempts: ClassVar[int]

    def run(self, goal: Goal) -> Measured:
        """See `Gauge`."""
        self._goal = goal
        self.sampler.stage = goal.stage
        largest = self._largest() if goal.largest is None else goal.largest
        measured = self._attempt(0, self.sampler.reachable(max(largest, self._lowest)))
        settled = not self.sampler.measurement.crosses_over
        for attempt in range(1, self.attempts):
            estimate = measured.estimate
            if estimate is None or (settled and estimate.truncation < LARGEST_TRUNCATION * goal.half_width):
                break
            # A bias too large to extrapolate at these strengths: what was drawn was one more pilot.
            largest = max(max(estimate.strengths) / 8, self._lowest)
            if largest > 0.9 * max(estimate.strengths):
                break
            lower = self._attempt(attempt, largest)
            if lower.estimate is None:
                return measured if settled else lower
            settled = True
            if self.sampler.measurement.crosses_over:
                lower = lower.beside(estimate)
            measured = lower
        return measured

    @property
    def _lowest(self) -> float:
        """The least largest strength, so that the strengths are different ones."""
        return smallest_reachable(self.sampler.model, self.sampler.algorithm) / float(self.relative_strengths[0])

    def _largest(self) -> float:
        """The largest strength to begin with."""
        return self.sampler.measurement.largest_strength()

    @abstractmethod
    def _attempt(self, attempt: int, largest: float) -> Measured:
        """Measure with strengths up to `largest`; each attempt has its own random numbers."""

    def _nothing(self, trouble: str, needed: float) -> Measured:
        return Measured(None, 0.0, trouble, needed, self._goal.spent)
