"""Who else predicts a statistic: the other theories, and wrong versions of the claim's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .derived import Derived
from .model import Model
from .noise import FlippedLabels
from .rules import HeavyBall
from .slow import Paper, PlainRegularizer, SlowTheory, SmallLearningRate, UnscaledRegularizer, shared_theory

__all__ = ["Rival", "candidates", "rival_names"]

Array = NDArray[np.float64]

# Who else predicts a statistic; a claim's own theory is no rival of it.
_RIVALS = ("derived", "paper", "small-lr", "lambda x 2", "stays at start")
_OF_MOMENTUM = ("plain R", "no factor (1+beta)", "lambda without 1/(1-beta)")
_OF_FLIPS = ("lambda without alpha",)


@dataclass(frozen=True)
class Rival:
    """Another prediction of the same statistic.

    Attributes
    ----------
    theory : str
    value : ndarray or None
        None when it is not applicable; `reason` says why.
    scale : float
        What its relative error is relative to, as for a claim of its own.
    distance : float
        Of the claim's prediction, along or across the rival's, whichever is more, over the smaller of the two scales.
    """

    theory: str
    value: Array | None
    scale: float
    distance: float
    reason: str = ""


def rival_names(algorithm: Algorithm) -> tuple[str, ...]:
    """Who is held against the data of a claim, its own theory included."""
    names: tuple[str, ...] = _RIVALS
    if isinstance(algorithm.update_rule, HeavyBall) and algorithm.noise.kind != "gradient":
        names += _OF_MOMENTUM
    if algorithm.noise.falls_with_batch:
        names += _OF_FLIPS
    return names


def candidates(
    model: Model, algorithm: Algorithm, own: SlowTheory
) -> Iterator[tuple[str, Callable[[], SlowTheory], float]]:
    """Name, theory and factor of lambda of each rival that has a theory; making one may raise `NotApplicable`.

    Parameters
    ----------
    model, algorithm
        With a square loss (`effective`).
    own : SlowTheory
        Of the claim.
    """
    names, equal = rival_names(algorithm), algorithm.homoscedastic(model)
    theories: list[type[SlowTheory]] = [Derived, Paper, SmallLearningRate]
    theories += [t for t in (PlainRegularizer, UnscaledRegularizer) if t.name in names]
    for theory in theories:
        if theory.name != own.name and (equal or not theory.needs_equal_sigma):
            yield theory.name, lambda t=theory: shared_theory(t, model, algorithm), 1.0  # type: ignore[misc]
    factors = {"lambda without 1/(1-beta)": 1 - algorithm.beta}
    if isinstance(algorithm.noise, FlippedLabels):
        factors["lambda without alpha"] = algorithm.noise.alpha
    for name, factor in factors.items():
        if name in names and factor != 1:
            yield name, lambda: own, factor
    yield "lambda x 2", lambda: own, 2.0
