"""From predictions and measurements to the verdicts of one study: what is shared, when there is another look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from flatmin.theory import Algorithm, Claim, Model, RunOptions
from flatmin.theory.prediction import STATEMENTS, Prediction, predict
from flatmin.theory.rivals import Rival
from numpy.typing import NDArray

from .decide import Comparison, VerdictName, compare
from .gauge import Gauge, Goal
from .measure import gauge
from .measured import Measured
from .measurement import TooManySteps
from .progress import Progress
from .results import INDISTINGUISHABLE, RivalVerdict, Verdict
from .sampler import ControlMismatch

__all__ = ["StudyVerdicts"]

Array = NDArray[np.float64]

# The half width that is planned first, over the margin. A right theory then lies within the rest of the margin, and one
# that is wrong by twice the margin is refuted, with probability above 0.99.
_PLANNED_WIDTH = 0.5
# An estimate between is looked at again, with new data and a half width of this part of its distance from the margin.
# So often at most; each look has an equal part of the level.
_SECOND_WIDTH = 0.6
_STAGES = 4
# Part of the margin by which an error is close to it.
_NEAR = 0.1
# An ensemble that still moves by more than this part of the margin has not settled.
_UNSETTLED = 0.25


@dataclass
class StudyVerdicts:
    """The claims about one model under one algorithm, on their way to verdicts.

    Parameters
    ----------
    model, algorithm
    start : ndarray, shape (d,)
    claims : tuple of Claim
    options : RunOptions
    threads : int or None
    progress : Progress
    studies : int
        How many studies are decided together: the levels are corrected for all of them.
    """

    model: Model
    algorithm: Algorithm
    start: Array
    claims: tuple[Claim, ...]
    options: RunOptions
    threads: int | None
    progress: Progress
    studies: int

    def verdicts(self) -> Iterator[Verdict]:
        """One for each claim, in their order, each as soon as it is there."""
        self.predictions: dict[int, Prediction] = {}
        self.gauges: dict[str, Gauge] = {}
        self.measured: dict[str, Measured] = {}
        # Every comparison with data is a verdict that could be wrong, at every stage.
        asked = sum(1 + STATEMENTS[claim.kind].rival_count(claim, self.algorithm) for claim in self.claims)
        self.level = (1 - self.options.confidence) / asked / self.studies / _STAGES
        for index, claim in enumerate(self.claims):
            self.progress.claim(claim.title, index, len(self.claims))
            started = time.perf_counter()
            prediction = self._prediction(index)
            if prediction.value is None:
                yield self._not_applicable(prediction)
            else:
                yield self._decided(prediction, started)

    def _prediction(self, index: int) -> Prediction:
        if index not in self.predictions:
            self.predictions[index] = predict(self.model, self.algorithm, self.claims[index], self.start)
        return self.predictions[index]

    def _measure(self, prediction: Prediction, started: float) -> Measured:
        """Claims about the same statistic share its data; the most demanding one sets the sample size."""
        assert prediction.problem is not None
        statistic = prediction.problem.statistic
        if statistic not in self.measured:
            # Only claims of a kind can share it: theories of others wait until they are asked for.
            kind = prediction.claim.kind
            others = [self._prediction(i) for i, claim in enumerate(self.claims) if claim.kind == kind]
            alike = [p for p in others if p.problem is not None and p.problem.statistic == statistic]
            self.progress.phase("compiling", 0)
            self.gauges[statistic] = gauge(
                self.model,
                self.algorithm,
                prediction.problem,
                seed=self.options.seed,
                threads=self.threads,
                progress=self.progress,
            )
            scale = min(p.scale for p in alike if p.value is not None)
            half_width = _PLANNED_WIDTH * self.options.margin * scale
            goal = Goal(half_width, self.level, self.options.budget, started)
            self.measured[statistic] = self._run(statistic, goal)
        return self.measured[statistic]

    def _run(self, statistic: str, goal: Goal) -> Measured:
        """Nothing where a single run is longer than any budget, or where the mean of a control cannot be believed."""
        try:
            return self.gauges[statistic].run(goal)
        except (TooManySteps, ControlMismatch) as error:
            return Measured(None, 0.0, str(error), 0.0, 0.0)

    def _again(
        self, prediction: Prediction, first: Measured, comparison: Comparison, started: float, stage: int
    ) -> tuple[Measured, str]:
        """Another stage with new data, where the one before shows that the budget can decide; or why it cannot."""
        assert first.estimate is not None
        options, scale = self.options, prediction.scale
        low, high = comparison.interval
        half = 0.5 * (high - low)
        wanted = min(_SECOND_WIDTH * comparison.gap, 0.7 * half)
        needed = first.seconds * (half / max(wanted, 1e-12)) ** 2
        spent = time.perf_counter() - started
        reason = "the interval crosses the margin"
        # More data do not make this smaller.
        bias = (first.estimate.truncation - first.estimate.uncertain) / scale
        if comparison.gap < bias and bias > _NEAR * options.margin:
            return first, f"{reason}: what the extrapolation leaves out alone counts {100 * bias:.2g} %"
        if comparison.gap < bias or (comparison.gap < _NEAR * options.margin and needed > 1e6):
            return first, f"{reason}: the error is too close to it for any budget"
        if stage > _STAGES or spent + needed > options.budget:
            asked = max(1.3 * (spent + needed), 1.0)
            return first, f"{reason}; a budget of about {asked:{'.0f' if asked < 1e6 else '.0e'}} s would decide it"
        assert prediction.problem is not None
        largest = max(first.estimate.strengths)
        goal = Goal(wanted * scale, self.level, options.budget, started, largest, stage)
        second = self._run(prediction.problem.statistic, goal)
        return (second, "") if second.estimate is not None else (first, f"{reason}; {second.trouble}")

    def _decided(self, prediction: Prediction, started: float) -> Verdict:
        assert prediction.value is not None
        steps_before = self.replica_steps
        measured = self._measure(prediction, started)
        reason = self._blocked(prediction, measured)
        verdict: VerdictName = "inconclusive"
        comparison = values = errors = None
        if measured.estimate is not None:
            comparison = self._compare(prediction, measured)
            stage = 1
            while not reason and comparison.verdict == "inconclusive":
                stage += 1
                measured, reason = self._again(prediction, measured, comparison, started, stage)
                reason = reason or self._blocked(prediction, measured)
                comparison = self._compare(prediction, measured)
            if not reason:
                verdict = comparison.verdict
        estimate = measured.estimate
        if estimate is not None:
            shape = prediction.value.shape
            values = estimate.value.reshape(shape)
            errors = np.sqrt(np.maximum(np.diag(estimate.covariance), 0.0)).reshape(shape)
        rivals = tuple(self._rival(r, prediction, measured) for r in prediction.rivals)
        notes = prediction.notes
        same = [r.theory for r in rivals if r.predicted is not None and not r.distinguishable]
        if same:
            notes = (
                *notes,
                f"{INDISTINGUISHABLE} at a margin of {100 * self.options.margin:g} %: {', '.join(same)}",
            )
        return Verdict(
            claim=prediction.claim,
            parameters=tuple(p.name for p in self.model.parameters),
            verdict=verdict,
            reason=reason,
            predicted=prediction.value,
            measured=values,
            standard_error=errors,
            relative_error=comparison.relative_error if comparison else float("nan"),
            interval=comparison.interval if comparison else None,
            margin=self.options.margin,
            confidence=self.options.confidence,
            assumptions=prediction.assumptions,
            rivals=rivals,
            replica_steps=self.replica_steps - steps_before,
            seconds=time.perf_counter() - started,
            strengths=estimate.strengths if estimate else (),
            times=prediction.times,
            notes=notes,
            variance_reduction=measured.gain,
            labels=prediction.labels,
            estimate=estimate,
            scale=prediction.scale,
            origin=prediction.origin,
            start=prediction.problem.start if prediction.problem else None,
        )

    def _blocked(self, prediction: Prediction, measured: Measured) -> str:
        """Why the data can carry no verdict, on this claim or a rival of it; empty when they can."""
        reason = measured.trouble
        if not reason and measured.residual > _UNSETTLED * self.options.margin * prediction.scale:
            reason = "the ensemble has not settled within the horizon"
        if reason and measured.needed_seconds > self.options.budget:
            reason += f"; about {measured.needed_seconds:.0f} s would decide it"
        return reason

    def _rival(self, rival: Rival, prediction: Prediction, measured: Measured) -> RivalVerdict:
        if rival.value is None:
            return RivalVerdict(rival.theory, None, "not-applicable", False, rival.reason)
        distinguishable = rival.distance > self.options.margin
        verdict: VerdictName = "inconclusive"
        if measured.estimate is not None and not self._blocked(prediction, measured):
            verdict = self._compare(prediction, measured, rival).verdict
        return RivalVerdict(rival.theory, rival.value, verdict, distinguishable, scale=rival.scale)

    @property
    def replica_steps(self) -> int:
        """Replica-steps taken so far."""
        return sum(one.total_steps for one in self.gauges.values())

    def _compare(self, prediction: Prediction, measured: Measured, rival: Rival | None = None) -> Comparison:
        """Hold the claim, or a rival of it, against the data."""
        value, scale = (rival.value, rival.scale) if rival else (prediction.value, prediction.scale)
        assert value is not None
        assert measured.estimate is not None
        assert prediction.origin is not None
        return compare(
            value.reshape(-1),
            scale,
            prediction.origin.reshape(-1),
            measured.estimate,
            margin=self.options.margin,
            level=self.level,
            at_least=prediction.at_least and rival is None,
        )

    def _not_applicable(self, prediction: Prediction) -> Verdict:
        failed = prediction.failed
        assert failed is not None
        # A rule that names its values needs no other.
        shown = "" if failed.value is None or "=" in failed.rule else f"={failed.value:.4g}"
        return Verdict(
            claim=prediction.claim,
            parameters=tuple(p.name for p in self.model.parameters),
            verdict="not-applicable",
            reason=f"{failed.name}{shown}: {failed.rule}",
            predicted=None,
            measured=None,
            standard_error=None,
            relative_error=float("nan"),
            interval=None,
            margin=self.options.margin,
            confidence=self.options.confidence,
            assumptions=prediction.assumptions,
            notes=prediction.notes,
        )
