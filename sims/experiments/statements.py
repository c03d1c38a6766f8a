"""Statements about the middle of a number over independent draws, decided by intervals of their median or mean.

Problem: a number is measured in N independent runs (data and noise drawn anew); its middle is said to lie in a range.
Median: from one order statistic to another; the interval misses the median with probability at most
2 P(Binomial(N, 1/2) < k), whatever the law of the draws, and needs a dozen runs and more.
Mean: Student's interval, for runs too long to have many; it is exact for normal draws.
Verdict: supported when the interval lies inside the range, refuted when it lies outside, else inconclusive.
References: order-statistic intervals of quantiles, e.g. David and Nagaraja, *Order Statistics* (2003), Section 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from ..confidence import student_quantile

__all__ = ["MEAN", "MEDIAN", "Decision", "Middle", "Statement", "decide", "mean_interval", "median_interval", "needed"]

Outcome = Literal["supported", "refuted", "inconclusive"]
Values = Sequence[float] | NDArray[np.float64]

# Two or three accuracies, which are discrete, can well be the same: their interval has no length.
_FEWEST = 5


@dataclass(frozen=True)
class Statement:
    """The middle of a number, over data and noise, lies in a range.

    Parameters
    ----------
    name : str
    text : str
        In words, with the range.
    values : sequence of float
        One for each independent run; infinite for a run that diverged, which is outside of the range on either side;
        NaN for a number that is not known, which may be anything.
    low, high : float
        The range.
    unit : str
        What the number is, for the table.
    rivals : tuple of Statement
        What the same runs should refute.

    Raises
    ------
    ValueError
        When there is no value, or the range is empty.
    """

    name: str
    text: str
    values: Values
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    rivals: tuple[Statement, ...] = field(default=())

    def __post_init__(self) -> None:
        if not len(self.values):
            raise ValueError(f"{self.name}: values={list(self.values)} must hold at least one")
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low={self.low} must be below high={self.high}")


@dataclass(frozen=True)
class Decision:
    """What the runs say of a statement.

    Attributes
    ----------
    statement : Statement
    verdict : {"supported", "refuted", "inconclusive"}
    middle : float
        The median or the mean of the values that are known.
    interval : tuple of float
        Of the middle, at confidence 1 - level.
    level : float
        Probability that the interval misses it.
    rivals : tuple of Decision
    reason : str
        Why it is inconclusive.
    kind : str
        "median" or "mean".
    """

    statement: Statement
    verdict: Outcome
    middle: float
    interval: tuple[float, float]
    level: float
    rivals: tuple[Decision, ...]
    reason: str = ""
    kind: str = "median"

    def as_json(self) -> dict[str, Any]:
        """All its numbers; infinite ones are left to the writer."""
        statement = self.statement
        return {
            "name": statement.name,
            "statement": statement.text,
            "verdict": self.verdict,
            self.kind: self.middle,
            "interval": list(self.interval),
            "range": [statement.low, statement.high],
            "confidence": 1 - self.level,
            "runs": len(statement.values),
            "reason": self.reason,
            "rivals": [r.as_json() for r in self.rivals],
        }


def median_interval(values: Values, level: float) -> tuple[float, float]:
    """Interval of the median that misses it with probability at most `level`; infinite with too few values."""
    ordered, count = np.sort(np.asarray(values, dtype=np.float64)), len(values)
    # P(fewer than k of the values lie below the median) = P(Binomial(count, 1/2) <= k - 1), on each side.
    k = 0
    while 2 * (k + 1) <= count and 2 * float(bdtr(k, count, 0.5)) <= level:
        k += 1
    return (-math.inf, math.inf) if k == 0 else (float(ordered[k - 1]), float(ordered[count - k]))


def needed(level: float) -> int:
    """The fewest values with a finite interval at this level: 2 * 2^-N <= level."""
    return math.ceil(1 - math.log2(level))


def mean_interval(values: Values, level: float) -> tuple[float, float]:
    """Student's interval of the mean; infinite with fewer than five values, or with one that is not finite."""
    array, count = np.asarray(values, dtype=np.float64), len(values)
    if count < _FEWEST or not np.isfinite(array).all():
        return -math.inf, math.inf
    half = student_quantile(level / 2, count) * float(array.std(ddof=1)) / math.sqrt(count)
    return float(array.mean()) - half, float(array.mean()) + half


@dataclass(frozen=True)
class Middle:
    """What of the values a statement is about.

    Attributes
    ----------
    name : str
    value : callable
    interval : callable
        Of values and level.
    needed : callable
        The fewest values with a finite interval at a level.
    """

    name: str
    value: Callable[[Values], float]
    interval: Callable[[Values, float], tuple[float, float]]
    needed: Callable[[float], int]


MEDIAN = Middle("median", lambda values: float(np.median(values)), median_interval, needed)
MEAN = Middle("mean", lambda values: float(np.mean(values)), mean_interval, lambda level: _FEWEST)


def decide(statements: Iterable[Statement], confidence: float = 0.999, of: Middle = MEDIAN) -> list[Decision]:
    """Decide statements together: all verdicts, those of rivals included, are right with probability `confidence`.

    The level of each is (1 - confidence) over how many there are (Bonferroni), whatever depends on what.
    """
    statements = list(statements)
    level = (1 - confidence) / max(1, sum(1 + len(s.rivals) for s in statements))
    return [_decided(s, level, of) for s in statements]


def _decided(statement: Statement, level: float, of: Middle) -> Decision:
    low, high = _interval(statement, level, of)
    verdict: Outcome = "inconclusive"
    if statement.low <= low and high <= statement.high and math.isfinite(low):
        verdict = "supported"
    elif high < statement.low or low > statement.high:
        verdict = "refuted"
    rivals = tuple(_decided(r, level, of) for r in statement.rivals)
    reason = _reason(statement.values, level, of) if verdict == "inconclusive" else ""
    known = np.asarray(statement.values, dtype=np.float64)
    known = known[~np.isnan(known)]
    middle = of.value(known) if len(known) else math.nan
    return Decision(statement, verdict, middle, (low, high), level, rivals, reason, of.name)


def _interval(statement: Statement, level: float, of: Middle) -> tuple[float, float]:
    """Of the middle: wherever an unknown value is, and a diverged one outside of the range."""
    values = np.asarray(statement.values, dtype=np.float64)
    # Outside of a range with one end is beyond that end; with two it can be either.
    lowest = -math.inf if math.isfinite(statement.low) else math.inf
    highest = math.inf if math.isfinite(statement.high) else -math.inf
    below = np.where(np.isnan(values), -math.inf, np.where(np.isinf(values), lowest, values))
    above = np.where(np.isnan(values), math.inf, np.where(np.isinf(values), highest, values))
    return of.interval(below, level)[0], of.interval(above, level)[1]


def _reason(values: Values, level: float, of: Middle) -> str:
    needed = of.needed(level)
    if len(values) < needed:
        return f"{len(values)} runs are fewer than the {needed} that an interval needs"
    if not np.isfinite(values).all():
        return "a run diverged, or its number is not known"
    return "the interval reaches over an end of the range"
