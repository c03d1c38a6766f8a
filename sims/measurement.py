"""From replicas to one statistic per replica: drift, covariance, trajectory, fixed point.

Each measurement is a schedule of recorded steps and a reduction. None sees a prediction: they know the model, the
algorithm, the start and how fast things move.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.flow import SETTLED
from flatmin.theory.problem import Problem
from numpy.typing import NDArray

from .control import Control
from .ensemble import Ensemble

__all__ = ["Measurement", "TooManySteps", "whole_steps"]

Array = NDArray[np.float64]

# A fast kernel takes the better part of a year for so many steps of its 64 replicas.
_MOST_STEPS = 1e15


class TooManySteps(Exception):
    """A run would take longer than any budget, or even have more steps than can be counted."""


def whole_steps(steps: Array) -> NDArray[np.int64]:
    """Numbers of steps, rounded to whole ones.

    Raises
    ------
    TooManySteps
    """
    if not float(np.max(steps)) < _MOST_STEPS:
        raise TooManySteps(f"a single run takes {float(np.max(steps)):.0e} steps: no budget is long enough")
    return np.rint(steps).astype(np.int64)


class Measurement(ABC):
    """How one statistic is measured at a strength lambda.

    Parameters
    ----------
    problem : Problem
    rate : float
        Slow time per step over lambda: `Algorithm.slow_rate`, the learning rate of plain SGD.
    """

    # Points are replaced by Phi, where the noise-free iteration from them ends.
    settle = False
    # Degree of the extrapolation in lambda.
    degree = 1
    # Exponent of lambda in the variance of one replica.
    variance_power = 0
    # The same for what a control leaves: one order of the noise more, or two.
    controlled_variance_power = 0
    # With a control that leaves less to chance the smaller lambda is, smaller strengths are cheaper and less biased.
    lowered_by_control = 1.0
    # Whether a control leaves odd orders of the noise, which cancel between a replica and its mirror image.
    antithetic = False
    # Whether another power of lambda takes over so slowly that one range of strengths can look like a law of its own.
    crosses_over = False
    # Whether the strengths have their random numbers in common.
    paired = False

    def __init__(self, problem: Problem, rate: float) -> None:
        self.problem = problem
        self.rate = rate

    @property
    def residual_columns(self) -> int:
        """How many last columns of a row hold no value but what says how sound it is: `transient`, `unsettled`."""
        return 0

    def begin(self, strength: float) -> Array:
        """Where every replica starts, shape (d,)."""
        return self.problem.start

    def statistic(self, means: Array) -> tuple[Array, Array | None]:
        """The statistic as a function of the means of the columns, shape (S,), and its derivative, shape (S, D).

        None for the derivative where they are the means themselves.
        """
        return means, None

    @abstractmethod
    def schedule(self, strength: float) -> NDArray[np.int64]:
        """Steps at which the replicas are recorded, increasing."""

    @abstractmethod
    def reduce(self, points: Array, schedule: NDArray[np.int64], strength: float) -> Array:
        """One row per replica from recorded points of shape (M, d, N): shape (N, D)."""

    def lost(self, ensemble: Ensemble) -> NDArray[np.bool_]:
        """Replicas whose statistic cannot be read, shape (N,); none may be, of those that decide."""
        return ensemble.failed

    def control(
        self, model: Model, algorithm: Algorithm, strength: float, reference: Array | None = None
    ) -> Control | None:
        """What runs beside the replicas and what it predicts; None without a control.

        `reference` is the mean of the recorded points in a run that decides nothing, shape (M, d).
        """
        return None

    def in_units(self, value: Array, strength: float) -> Array:
        """The extrapolated rows, or their errors, at the study's own strength."""
        return value

    def admissible(self, strength: float) -> float:
        """The strength nearest to `strength`, and not above, at which the schedule is exact."""
        return strength

    def transient(self, row: Array) -> float:
        """Bound on what is left of transients in the values of an extrapolated row, as a norm."""
        return 2 * SETTLED * float(np.linalg.norm(row[: len(row) - self.residual_columns]))

    def unsettled(self, value: Array, covariance: Array) -> float:
        """How much the statistic still moved, less its error, from an extrapolated row; 0 when it has settled."""
        return 0.0

    def resolution(self, strength: float) -> float:
        """Rounding error of an entry of a row: Phi is found to this, and a small noise can be smaller."""
        return self._rest

    @property
    def _rest(self) -> float:
        # The noise-free iteration ends at steps of 1e-13 of the size of theta, with this many of them left to go.
        size = 1 + float(np.max(np.abs(self.problem.start)))
        return 1e-13 * size * (10 + 2 * max(self.problem.scales.relaxation_steps, 1.0))

    @abstractmethod
    def largest_strength(self) -> float:
        """Largest lambda of the ladder."""
