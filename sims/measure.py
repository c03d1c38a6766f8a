"""How the statistic of a claim is measured: which gauge it has, and which measurement on the ladder."""

from __future__ import annotations

from collections.abc import Callable

from flatmin.theory import Algorithm, Model
from flatmin.theory.problem import Problem

from .fraction import FractionGauge
from .gauge import Gauge
from .kernel import Kernel
from .ladder import Ladder
from .measure_coupling import CouplingMeasurement
from .measure_diffusion import diffusion_measurement
from .measure_hitting import EndMeasurement, HittingExponentMeasurement, HittingMeasurement
from .measure_local import CovarianceMeasurement, DriftMeasurement, NormalOffsetMeasurement
from .measure_scaling import ScalingGauge
from .measure_slow import FixedPointMeasurement, TrajectoryMeasurement
from .measure_start import EscapeMeasurement, StayMeasurement
from .measure_winding import CirculationMeasurement
from .measurement import Measurement
from .power_law import PowerLaw, PowerLawMeasurement
from .progress import Progress
from .sampler import Sampler

__all__ = ["gauge", "measurement"]

# What one replica gives to each statistic.
_MEASUREMENTS: dict[str, Callable[[Problem, float], Measurement]] = {
    "drift": DriftMeasurement,
    "covariance": CovarianceMeasurement,
    "normal-offset": NormalOffsetMeasurement,
    "trajectory": TrajectoryMeasurement,
    "fixed-point": FixedPointMeasurement,
    "stays": StayMeasurement,
    "escape": EscapeMeasurement,
    "circulation": CirculationMeasurement,
    "coupling": CouplingMeasurement,
    "hitting-time": HittingMeasurement,
    "hitting-exponent": HittingExponentMeasurement,
    "reaches": EndMeasurement,
    "diffusion": diffusion_measurement,
}
# Those that are measured in another way.
_GAUGES: dict[str, Callable[..., Gauge]] = {"scaling": ScalingGauge}


def gauge(
    model: Model, algorithm: Algorithm, problem: Problem, *, seed: int, threads: int | None, progress: Progress
) -> Gauge:
    """What measures the statistic of `problem`."""
    if problem.kind in _GAUGES:
        return _GAUGES[problem.kind](model, algorithm, problem, seed=seed, threads=threads, progress=progress)
    kernel = Kernel.for_algorithm(model, algorithm)
    one = measurement(problem, algorithm.slow_rate(model.d))
    if isinstance(one, PowerLawMeasurement):
        return PowerLaw(Sampler(model, algorithm, kernel, one, seed, threads, progress))
    if isinstance(one, EndMeasurement):
        return FractionGauge(Sampler(model, algorithm, kernel, one, seed, threads, progress))
    return Ladder(model, algorithm, kernel, one, seed=seed, threads=threads, progress=progress)


def measurement(problem: Problem, rate: float) -> Measurement:
    """The measurement of the statistic `problem.kind`; `rate` is slow time per step over lambda."""
    return _MEASUREMENTS[problem.kind](problem, rate)
