"""The verdict: a prediction, an estimate with its error, a margin and an error rate.

The error (measured - predicted)/scale is taken apart into its component along the prediction, which gets a two-sided
interval, and the norm of the rest, which gets an interval from a ball around the estimate. Each has half of the level.
Supported: both lie inside the margin. Refuted: one lies outside. A truncation bound of the extrapolation widens both.
A fraction has an exact interval; of a prediction that is a bound only what lies below it is an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .confidence import clopper_pearson, noise_radius, student_quantile
from .extrapolate import Estimate

__all__ = ["Comparison", "VerdictName", "compare", "judge"]

Array = NDArray[np.float64]
VerdictName = Literal["supported", "refuted", "inconclusive", "not-applicable"]


@dataclass(frozen=True)
class Comparison:
    """A prediction held against an estimate.

    Attributes
    ----------
    verdict : str
    relative_error : float
        |measured - predicted| / scale.
    interval : tuple of float
        Of the signed error along the prediction or of the norm of the rest, whichever is worse.
    gap : float
        Distance of the worse part from the margin: an interval of a smaller half width decides.
    """

    verdict: VerdictName
    relative_error: float
    interval: tuple[float, float]
    gap: float


def compare(
    predicted: Array,
    scale: float,
    origin: Array,
    estimate: Estimate,
    *,
    margin: float,
    level: float,
    at_least: bool = False,
) -> Comparison:
    """Hold `predicted` against `estimate`.

    Parameters
    ----------
    predicted : ndarray, shape (D,)
    scale : float
        What the error is relative to.
    origin : ndarray, shape (D,)
        The predicted direction is that from `origin` to `predicted`.
    estimate : Estimate
    margin : float
        Largest relative error that counts as agreement.
    level : float
        Probability that the true error lies outside of the intervals.
    at_least : bool
        The prediction, one number, is a bound from below.

    Raises
    ------
    ValueError
        When the scale is not positive and finite, or a number is NaN.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale={scale} makes no relative error")
    error = (estimate.value - predicted) / scale
    covariance = estimate.covariance / scale**2
    slack = estimate.truncation / scale
    # One number has a sign, also where it is predicted to be zero.
    direction = predicted - origin if len(predicted) > 1 else np.ones(1)
    norm = float(np.linalg.norm(direction))
    intervals = []
    along = 0.0
    rest, rest_covariance = error, covariance
    # Without a predicted direction the whole error is the rest.
    if norm > 1e-12 * scale:
        unit = direction / norm
        along = float(unit @ error)
        if estimate.fraction:
            below, above = _exact(float(estimate.value[0]), estimate.replicas, level / 4) / scale
        else:
            below = above = (
                estimate.widening
                * student_quantile(level / 4, estimate.replicas)
                * math.sqrt(max(float(unit @ covariance @ unit), 0.0))
            )
        low, high = along - below - slack, along + above + slack
        if at_least:
            # Above the bound there is no error.
            low, high, along = (min(0.0, v) for v in (low, high, along))
        intervals.append((low, high))
        across = np.eye(len(unit)) - np.outer(unit, unit)
        rest, rest_covariance = across @ error, across @ covariance @ across
    radius = estimate.widening * noise_radius(rest_covariance, level / 2, estimate.replicas) + slack
    size = float(np.linalg.norm(rest))
    intervals.append((max(0.0, size - radius), size + radius))
    verdict, interval = judge(intervals, margin)
    return Comparison(verdict, float(np.linalg.norm(error)), interval, abs(max(abs(along), size) - margin))


def _exact(fraction: float, trials: int, tail: float) -> Array:
    """How far the exact interval of a fraction reaches below and above it, shape (2,)."""
    low, high = clopper_pearson(round(fraction * trials), trials, tail)
    return np.array([fraction - low, high - fraction])


def judge(intervals: list[tuple[float, float]], margin: float) -> tuple[VerdictName, tuple[float, float]]:
    """The verdict on the intervals of an error's parts, and the interval that decides it.

    Raises
    ------
    ValueError
        When a bound is NaN or an interval is reversed: no verdict may come from a broken number.
    """
    for low, high in intervals:
        if not low <= high:
            raise ValueError(f"interval ({low}, {high}) is no interval")
    outside = [max(low - margin, -high - margin) for low, high in intervals]
    worst = int(np.argmax(outside))
    if outside[worst] > 0:
        return "refuted", intervals[worst]
    widest = max(intervals, key=lambda i: max(abs(i[0]), abs(i[1])))
    inside = max(abs(widest[0]), abs(widest[1])) <= margin
    return ("supported" if inside else "inconclusive"), widest
