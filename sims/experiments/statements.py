"""Statements about the median over independent draws, decided by exact intervals: no law of the draws is assumed.

Problem: a number is measured in N independent runs (data and noise drawn anew); its median is said to lie in a range.
Interval: from one order statistic to another; it misses the median with probability at most 2 P(Binomial(N, 1/2) < k).
Verdict: supported when the interval lies inside the range, refuted when it lies outside, else inconclusive.
References: order-statistic intervals of quantiles, e.g. David and Nagaraja, *Order Statistics* (2003), Section 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import bdtr

__all__ = ["Decision", "Statement", "decide", "median_interval", "needed"]

Outcome = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Statement:
    """The median of a number, over data and noise, lies in a range.

    Parameters
    ----------
    name : str
    text : str
        In words, with the range.
    values : sequence of float
        One for each independent run; infinite for a run that diverged.
    low, high : float
        The range.
    unit : str
        What the number is, for the table.
    rivals : tuple of Statement
        What the same runs should refute.

    Raises
    ------
    ValueError
        When a value is NaN, or there is none, or the range is empty: no verdict may come from a broken number.
    """

    name: str
    text: str
    values: Sequence[float]
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    rivals: tuple[Statement, ...] = field(default=())

    def __post_init__(self) -> None:
        if not len(self.values) or np.isnan(np.asarray(self.values, dtype=np.float64)).any():
            raise ValueError(f"{self.name}: values={list(self.values)} must be numbers, at least one")
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low={self.low} must be below high={self.high}")


@dataclass(frozen=True)
class Decision:
    """What the runs say of a statement.

    Attributes
    ----------
    statement : Statement
    verdict : {"supported", "refuted", "inconclusive"}
    median : float
    interval : tuple of float
        Of the median, at confidence 1 - level.
    level : float
        Probability that the interval misses the median.
    rivals : tuple of Decision
    reason : str
        Why it is inconclusive.
    """

    statement: Statement
    verdict: Outcome
    median: float
    interval: tuple[float, float]
    level: float
    rivals: tuple[Decision, ...]
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """All its numbers; infinite ones are left to the writer."""
        statement = self.statement
        return {
            "name": statement.name,
            "statement": statement.text,
            "verdict": self.verdict,
            "median": self.median,
            "interval": list(self.interval),
            "range": [statement.low, statement.high],
            "confidence": 1 - self.level,
            "runs": len(statement.values),
            "reason": self.reason,
            "rivals": [r.as_json() for r in self.rivals],
        }


def median_interval(values: Sequence[float], level: float) -> tuple[float, float]:
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


def decide(statements: Iterable[Statement], confidence: float = 0.999) -> list[Decision]:
    """Decide statements together: all verdicts, those of rivals included, are right with probability `confidence`.

    The level of each is (1 - confidence) over how many there are (Bonferroni), whatever depends on what.
    """
    statements = list(statements)
    level = (1 - confidence) / max(1, sum(1 + len(s.rivals) for s in statements))
    return [_decided(s, level) for s in statements]


def _decided(statement: Statement, level: float) -> Decision:
    low, high = median_interval(statement.values, level)
    verdict: Outcome = "inconclusive"
    if statement.low <= low and high <= statement.high and math.isfinite(low):
        verdict = "supported"
    elif high < statement.low or low > statement.high:
        verdict = "refuted"
    reason, count = "", len(statement.values)
    if verdict == "inconclusive":
        more = f"{count} runs are fewer than the {needed(level)} that an interval needs"
        reason = more if count < needed(level) else "the interval reaches over an end of the range"
    median = float(np.median(statement.values))
    return Decision(
        statement, verdict, median, (low, high), level, tuple(_decided(r, level) for r in statement.rivals), reason
    )
