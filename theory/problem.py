"""`Problem`: a statistic that is to be measured; `Prediction`: what a claim's theory says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assumptions import Assumption
from .claim import Claim
from .rivals import Rival
from .settings import statistic
from .timescales import Timescales

__all__ = ["SLOW_TIMES", "WINDING_TIMES", "Prediction", "Problem"]

Array = NDArray[np.float64]

# Where a trajectory is compared, in slow time eta lambda k: one unit in all.
SLOW_TIMES = np.arange(1, 9) / 8
# Where the turns of a winding path are counted, over the slow time of the claim.
WINDING_TIMES = np.arange(1, 65) / 64


@dataclass(frozen=True)
class Problem:
    """A statistic that is to be measured: everything that a measurement may know.

    Attributes
    ----------
    kind : str
    start : ndarray, shape (d,)
        The zero-loss point nearest to the study's start.
    tangent : ndarray, shape (d, d - rank)
        Tangent basis there.
    scales : Timescales
    horizon : float
        Slow time: one unit for a trajectory, that of the claim for a circulation; until the flow has settled for a
        fixed point.
    relaxation : float
        Slow time in which the slow motion forgets; for a fixed point.
    settings : mapping
        Of the claim.
    given : mapping
        What else the statistic is about, arrays by name: the path or the end of a theory.
    author : str
        Whose they are.
    """

    kind: str
    start: Array
    tangent: Array
    scales: Timescales
    horizon: float = 0.0
    relaxation: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Array] = field(default_factory=dict)
    author: str = ""

    @property
    def statistic(self) -> str:
        """Kind, settings and author in a line: claims that share it share their data, and random numbers."""
        return statistic(self.kind, self.settings, self.author)


@dataclass(frozen=True)
class Prediction:
    """What a claim predicts.

    Attributes
    ----------
    claim : Claim
    value : ndarray or None
        In the shape of the statistic, at the study's own noise strength; None when not applicable.
    scale : float
        What a relative error is relative to.
    assumptions : tuple of Assumption
    problem : Problem or None
    origin : ndarray or None
        In the shape of the statistic: the predicted direction is that from here to `value`; None when not applicable.
    times : ndarray or None
        Trajectory: steps at the study's own strength.
    labels : tuple of str
        Names of the components of a vector; none where tables show its norm.
    at_least : bool
        Whether `value`, one number, is a bound: only what is measured below it is an error.
    compare, remark : callable
        What makes `rivals` and `notes` when they are first asked for: a measurement need not wait for them.
    """

    claim: Claim
    value: Array | None
    scale: float
    assumptions: tuple[Assumption, ...]
    problem: Problem | None = None
    origin: Array | None = None
    times: Array | None = None
    labels: tuple[str, ...] = ()
    at_least: bool = False
    compare: Callable[[], tuple[Rival, ...]] = tuple
    remark: Callable[[], tuple[str, ...]] = tuple

    @cached_property
    def rivals(self) -> tuple[Rival, ...]:
        """Who else predicts the statistic."""
        return self.compare()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known about the prediction."""
        return self.remark()

    @property
    def failed(self) -> Assumption | None:
        """The first assumption that does not hold."""
        return next((a for a in self.assumptions if not a.holds), None)
