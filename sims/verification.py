"""`verify`: from claims to verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, Claim, InvalidInput, Model, RunOptions
from flatmin.theory.prediction import Prediction, Rival, predict
from numpy.typing import NDArray

from .decide import Comparison, VerdictName, compare
from .kernel import Kernel
from .ladder import Ladder, Measured
from .measure import measurement
from .progress import Progress, Silent
from .results import RivalVerdict, Verdict

__all__ = ["verify", "verify_each"]

Array = NDArray[np.float64]

# An ensemble that still moves by more than this part of the margin has not settled.
_UNSETTLED = 0.25


def verify(
    model: Model,
    algorithm: Algorithm,
    *,
    start: Any,
    claims: Sequence[Claim],
    margin: float = 0.02,
    confidence: float = 0.999,
    budget: float = 60.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Verdict, ...]:
    """Decide `claims` about label noise SGD on `model`.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    start : mapping or sequence of float
        A point; it is moved to the nearest zero-loss point first.
    claims : sequence of Claim
    margin : float
        Equivalence margin, relative.
    confidence : float
        Of each verdict, after correction for how many the study holds (rivals included).
    budget : float
        Seconds of wall time a claim may use.
    seed : int
        Of all random numbers.
    threads : int, optional
        All cores by default; the result does not depend on it.
    progress : Progress, optional
        Told what is running.

    Returns
    -------
    tuple of Verdict
        One per claim, in their order.

    Raises
    ------
    InvalidInput
        When a value breaks a rule; nothing has run then.
    """
    options = RunOptions(margin=margin, confidence=confidence, budget=budget, seed=seed)
    point = model.point(start)
    return tuple(verify_each(model, algorithm, point, claims, options, threads=threads, progress=progress))


def verify_each(
    model: Model,
    algorithm: Algorithm,
    start: Array,
    claims: Sequence[Claim],
    options: RunOptions,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    studies: int = 1,
) -> Iterator[Verdict]:
    """Yield the verdicts one by one, so that finished ones survive an interruption; see `verify`.

    `studies` is the number of studies that are decided together: the levels are corrected for all of them.
    """
    if not claims:
        raise InvalidInput("claims", "=[] is empty; give at least one claim")
    algorithm.check(model)
    for claim in claims:
        claim.check(model)
    return _Study(model, algorithm, start, tuple(claims), options, threads, progress or Silent(), studies).verdicts()


@dataclass
class _Study:
    model: Model
    algorithm: Algorithm
    start: Array
    claims: tuple[Claim, ...]
    options: RunOptions
    threads: int | None
    progress: Progress
    studies: int

    def verdicts(self) -> Iterator[Verdict]:
        self.measured: dict[str, Measured] = {}
        self.predictions = [predict(self.model, self.algorithm, c, self.start) for c in self.claims]
        # Every comparison with data is a verdict that could be wrong.
        asked = sum(1 + sum(r.value is not None for r in p.rivals) for p in self.predictions if p.value is not None)
        self.level = (1 - self.options.confidence) / max(asked, 1) / self.studies
        for index, prediction in enumerate(self.predictions):
            self.progress.claim(prediction.claim.title, index, len(self.claims))
            started = time.perf_counter()
            if prediction.value is None:
                yield self._not_applicable(prediction)
                continue
            fresh = prediction.claim.kind not in self.measured
            measured = self._measure(prediction)
            yield self._decided(prediction, measured, time.perf_counter() - started, fresh)

    def _measure(self, prediction: Prediction) -> Measured:
        """Claims about the same statistic share its data; the most demanding one sets the sample size."""
        kind = prediction.claim.kind
        if kind not in self.measured:
            assert prediction.problem is not None
            self.progress.phase("compiling", 0)
            started = time.perf_counter()
            kernel = Kernel.for_model(self.model)
            scale = min(p.scale for p in self.predictions if p.value is not None and p.claim.kind == kind)
            ladder = Ladder(
                self.model,
                self.algorithm,
                kernel,
                measurement(prediction.problem, self.algorithm.lr),
                seed=self.options.seed,
                threads=self.threads,
                progress=self.progress,
            )
            self.measured[kind] = ladder.run(self.options.margin * scale, self.level, self.options.budget, started)
        return self.measured[kind]

    def _decided(self, prediction: Prediction, measured: Measured, seconds: float, fresh: bool) -> Verdict:
        margin, estimate = self.options.margin, measured.estimate
        assert prediction.value is not None
        reason = self._blocked(prediction, measured)
        verdict: VerdictName = "inconclusive"
        comparison = values = errors = None
        if estimate is not None:
            shape = prediction.value.shape
            values = estimate.value.reshape(shape)
            errors = np.sqrt(np.maximum(np.diag(estimate.covariance), 0.0)).reshape(shape)
            comparison = self._compare(prediction, prediction.value, prediction.scale, measured)
            if not reason:
                verdict = comparison.verdict
                if verdict == "inconclusive":
                    reason = _what_would_decide(comparison, measured, margin, self.options.budget)
        rivals = tuple(self._rival(r, prediction, measured) for r in prediction.rivals)
        notes = prediction.notes
        same = [r.theory for r in rivals if r.predicted is not None and not r.distinguishable]
        if same:
            notes = (*notes, f"indistinguishable here at a margin of {100 * margin:g} %: {', '.join(same)}")
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
            margin=margin,
            confidence=self.options.confidence,
            assumptions=prediction.assumptions,
            rivals=rivals,
            replica_steps=measured.replica_steps if fresh else 0,
            seconds=seconds,
            strengths=estimate.strengths if estimate else (),
            times=prediction.times,
            notes=notes,
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
            verdict = self._compare(prediction, rival.value, rival.scale, measured).verdict
        return RivalVerdict(rival.theory, rival.value, verdict, distinguishable)

    def _compare(self, prediction: Prediction, value: Array, scale: float, measured: Measured) -> Comparison:
        """Hold `value`, of the claim or of a rival, against the data."""
        assert measured.estimate is not None
        assert prediction.problem is not None
        from_start = prediction.claim.kind == "fixed-point"
        origin = prediction.problem.start if from_start else np.zeros(value.size)
        return compare(
            value.reshape(-1),
            scale,
            origin,
            measured.estimate,
            margin=self.options.margin,
            level=self.level,
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


def _what_would_decide(comparison: Comparison, measured: Measured, margin: float, budget: float) -> str:
    """What an inconclusive interval lacks, in words."""
    low, high = comparison.interval
    centre, half = 0.5 * abs(low + high), 0.5 * (high - low)
    gap = abs(centre - margin)
    text = "the interval crosses the margin"
    if gap <= 0:
        return text
    needed = max(measured.needed_seconds, measured.seconds * (1.3 * half / gap) ** 2)
    return (
        f"{text}; a budget of about {max(needed, 1.0):.0f} s would decide it"
        if needed > budget
        else (f"{text}; a smaller error (about {needed:.0f} s) or another margin would decide it")
    )
