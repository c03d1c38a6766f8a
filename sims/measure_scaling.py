"""The difference of the slow velocities of two algorithms at the same lambda: two ladders, drawn independently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.effective import effective
from flatmin.theory.problem import Problem
from flatmin.theory.scaling import rescaled
from flatmin.theory.timescales import timescales
from numpy.typing import NDArray

from .extrapolate import Estimate, Rung
from .gauge import Gauge, Goal
from .kernel import Kernel
from .ladder import Ladder
from .measure_local import DriftMeasurement
from .measured import Measured
from .progress import Progress

__all__ = ["ScalingGauge"]

Array = NDArray[np.float64]


class ScalingGauge(Gauge):
    """Measures the drift of an algorithm and of its rescaled one, both over rate lambda, and takes the difference.

    Parameters
    ----------
    model, algorithm
    problem : Problem
        Its settings say how the other algorithm is rescaled.
    seed : int
    threads : int or None
    progress : Progress
    """

    def __init__(
        self,
        model: Model,
        algorithm: Algorithm,
        problem: Problem,
        *,
        seed: int,
        threads: int | None,
        progress: Progress,
    ) -> None:
        other = rescaled(model, algorithm, problem.settings)
        self.ladders, self.units = [], []
        for name, one in (("own", algorithm), ("rescaled", other)):
            scales = timescales(*effective(model, one), problem.start[None])
            # Of its own name: the two have no random number in common.
            drift = replace(problem, kind=f"{problem.kind} {name}", scales=scales)
            measurement = DriftMeasurement(drift, one.slow_rate(model.d))
            kernel = Kernel.for_algorithm(model, one)
            self.ladders.append(Ladder(model, one, kernel, measurement, seed=seed, threads=threads, progress=progress))
            self.units.append(one.slow_rate(model.d) * one.strength(model))
        self._largest: list[float | None] = [None, None]

    @property
    def total_steps(self) -> int:
        """Replica-steps taken so far."""
        return sum(ladder.total_steps for ladder in self.ladders)

    def run(self, goal: Goal) -> Measured:
        """Both parts with the same error; see `Gauge`. Each keeps its own strengths: `goal.largest` is not used."""
        parts = []
        for k, (ladder, unit) in enumerate(zip(self.ladders, self.units, strict=True)):
            # Half of what is left of the budget is for the second.
            share = goal.budget if k else goal.spent + 0.5 * (goal.budget - goal.spent)
            half = goal.half_width * unit / np.sqrt(2)
            part = ladder.run(replace(goal, half_width=half, budget=share, largest=self._largest[k]))
            if part.estimate is None:
                return part
            self._largest[k] = max(part.estimate.strengths)
            parts.append(part)
        own, other = (p.estimate for p in parts)
        assert own is not None
        assert other is not None
        first, second = self.units
        rungs, coefficients = _apart(own, first, other, second)
        estimate = replace(
            own,
            rungs=rungs,
            coefficients=coefficients,
            value=other.value / second - own.value / first,
            covariance=other.covariance / second**2 + own.covariance / first**2,
            truncation=other.truncation / second + own.truncation / first,
            misfit=max(other.misfit / second, own.misfit / first),
            fit_probability=min(own.fit_probability, other.fit_probability),
            replicas=min(own.replicas, other.replicas),
            widening=max(own.widening, other.widening),
        )
        trouble = next((p.trouble for p in parts if p.trouble), "")
        gains = [p.gain for p in parts if p.gain is not None]
        return Measured(
            estimate,
            0.0,
            trouble,
            max(p.needed_seconds for p in parts),
            sum(p.seconds for p in parts),
            min(gains) if gains else None,
        )


def _apart(own: Estimate, first: float, other: Estimate, second: float) -> tuple[tuple[Rung, ...], Array | None]:
    """Rungs and polynomial of `other` over `second` less `own` over `first`, at the strengths of `own`.

    Both are polynomials in strength over the largest strength; where they are of other degrees, or their rungs stand
    elsewhere on that scale, there are none of the difference.
    """
    here, there = (np.array([r.strength for r in one.rungs]) / max(one.strengths) for one in (own, other))
    alike = own.degree == other.degree and here.shape == there.shape and np.allclose(here, there, rtol=1e-6)
    if not alike or own.coefficients is None or other.coefficients is None:
        return (), None
    rungs = tuple(
        replace(
            a,
            mean=b.mean / second - a.mean / first,
            covariance=b.covariance / second**2 + a.covariance / first**2,
            replicas=min(a.replicas, b.replicas),
            steps=max(a.steps, b.steps),
        )
        for a, b in zip(own.rungs, other.rungs, strict=True)
    )
    return rungs, other.coefficients / second - own.coefficients / first
