"""Which measurement a statistic has."""

from __future__ import annotations

from flatmin.theory.prediction import Problem

from .measure_local import CovarianceMeasurement, DriftMeasurement, NormalOffsetMeasurement
from .measure_slow import FixedPointMeasurement, TrajectoryMeasurement
from .measurement import Measurement

__all__ = ["measurement"]


def measurement(problem: Problem, rate: float) -> Measurement:
    """The measurement of the statistic `problem.kind`; `rate` is slow time per step over lambda."""
    kinds: dict[str, type[Measurement]] = {
        "drift": DriftMeasurement,
        "covariance": CovarianceMeasurement,
        "normal-offset": NormalOffsetMeasurement,
        "trajectory": TrajectoryMeasurement,
        "fixed-point": FixedPointMeasurement,
    }
    return kinds[problem.kind](problem, rate)
