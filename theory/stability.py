"""The learning rate up to which a stationary covariance exists at a point of the zero-loss set."""

from __future__ import annotations

from dataclasses import replace

from .algorithm import Algorithm
from .derived import Derived
from .errors import NotApplicable
from .geometry import LocalGeometry
from .model import Model

__all__ = ["stability_limit"]


def stability_limit(model: Model, algorithm: Algorithm, local: LocalGeometry, tolerance: float = 1e-6) -> float:
    """The learning rate at which the second moments of this algorithm cease to settle; its own does not matter.

    For plain SGD with the full batch 2/h_max, with momentum 2 (1+beta)/h_max; a finite batch lowers it.

    Parameters
    ----------
    model, algorithm
        With a square loss (`effective`).
    local : LocalGeometry
    tolerance : float
        Relative; the value is on the stable side.

    Raises
    ------
    NotApplicable
        When no learning rate is stable, or none above 10^-6/h_max is unstable up to 10^6/h_max.
    """
    largest = float(local.curvatures.max(initial=0.0))
    if not largest:
        raise NotApplicable("rank of the Jacobian", "h_max=0: no direction is fast, so that every lr is stable")

    def stable(lr: float) -> bool:
        return Derived(model, replace(algorithm, lr=lr)).second_moment_radius(local) < 1

    # Not a multiple of 1/h_max: exactly at its limit 2/h_max rounding would decide.
    low, high = 0.9 / largest, 1.8 / largest
    while not stable(low):
        low, high = low / 2, low
        if low * largest < 1e-6:
            raise NotApplicable("second-moment limit", f"unstable at lr={high:.3g} already")
    while stable(high):
        low, high = high, 2 * high
        if high * largest > 1e6:
            raise NotApplicable("second-moment limit", f"still stable at lr={low:.3g}")
    while high > low * (1 + tolerance):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low
