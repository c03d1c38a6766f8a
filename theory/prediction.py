"""`predict`: what a claim's theory says, under which assumptions, and the rivals that the same data must refute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption, failed_assumption
from .claim import Claim
from .coupling import CouplingStatement
from .diffusion_statement import DiffusionStatement
from .effective import effective
from .errors import NotApplicable
from .escape import EscapeStatement
from .geometry import nearest_zero_loss_point
from .hitting import HittingExponentStatement, HittingTimeStatement, ReachesStatement
from .local_statements import CovarianceStatement, DriftStatement
from .model import Model
from .problem import SLOW_TIMES, Prediction, Problem
from .scaling import ScalingStatement
from .slow_statements import FixedPointStatement, TrajectoryStatement
from .statement import Statement
from .staying import StayStatement
from .winding_statement import CirculationStatement

__all__ = ["SLOW_TIMES", "STATEMENTS", "Prediction", "Problem", "predict"]

Array = NDArray[np.float64]

# How each kind of claim predicts.
STATEMENTS: dict[str, type[Statement]] = {
    "fixed-point": FixedPointStatement,
    "drift": DriftStatement,
    "covariance": CovarianceStatement,
    "trajectory": TrajectoryStatement,
    "stays": StayStatement,
    "escape": EscapeStatement,
    "scaling": ScalingStatement,
    "diffusion": DiffusionStatement,
    "circulation": CirculationStatement,
    "coupling": CouplingStatement,
    "hitting-time": HittingTimeStatement,
    "hitting-exponent": HittingExponentStatement,
    "reaches": ReachesStatement,
}


def predict(model: Model, algorithm: Algorithm, claim: Claim, start: Array) -> Prediction:
    """Return what `claim` predicts from `start`, shape (d,); a failed assumption is recorded, not raised.

    Raises
    ------
    InvalidInput
        When algorithm, claim and model do not fit together.
    """
    algorithm.check(model)
    claim.check(model)
    kind = STATEMENTS[claim.kind]
    checked: tuple[Assumption, ...] = ()
    try:
        model, algorithm = effective(model, algorithm)
        theta = nearest_zero_loss_point(model, start)
        checked = kind.assumptions(model, algorithm, claim, theta)
        if not all(a.holds for a in checked):
            return Prediction(claim, None, float("nan"), checked)
        return kind(model, algorithm, claim, theta, checked).prediction()
    except NotApplicable as error:
        others = tuple(a for a in checked if a.name != error.assumption)
        return Prediction(claim, None, float("nan"), (*others, failed_assumption(error)))
