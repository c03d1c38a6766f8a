"""`Measured`: the outcome of a measurement over a ladder of noise strengths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .extrapolate import Estimate

__all__ = ["Measured"]


@dataclass(frozen=True)
class Measured:
    """The outcome of a measurement.

    Attributes
    ----------
    estimate : Estimate or None
        At the study's own noise strength; None when nothing could be measured.
    residual : float
        How much the statistic still moved, less its own error; 0 when it has settled.
    trouble : str
        Why the data cannot carry a verdict; empty when they can.
    needed_seconds : float
        Wall time that the planned sample size takes in all.
    seconds : float
        Wall time in which the data that decide were drawn.
    gain : float or None
        Variance of a row without control variate over that with it, at the largest strength; None without one.
    """

    estimate: Estimate | None
    residual: float
    trouble: str
    needed_seconds: float
    seconds: float
    gain: float | None = None

    def beside(self, larger: Estimate) -> Measured:
        """The same where larger strengths gave `larger`: what has changed since may change again."""
        assert self.estimate is not None
        moved = float(np.linalg.norm(self.estimate.value - larger.value))
        return replace(self, estimate=replace(self.estimate, truncation=max(self.estimate.truncation, moved)))
