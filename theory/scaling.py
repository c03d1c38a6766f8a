"""Linear scaling: what another learning rate and batch size change at the same lambda; nothing as eta goes to 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption, point_assumptions
from .claim import Claim
from .conjecture import Conjecture
from .errors import NotApplicable
from .model import Model
from .noise import LabelNoise
from .rivals import Rival
from .slow import SlowTheory
from .statement import Statement

__all__ = ["ScalingStatement", "rescaled"]

Array = NDArray[np.float64]


def rescaled(model: Model, algorithm: Algorithm, settings: Mapping[str, Any]) -> Algorithm:
    """The algorithm with the learning rate and the batch size of `settings`, and sigma such that lambda is the same.

    Raises
    ------
    NotApplicable
        Without label noise: only sigma can be chosen freely.
    InvalidInput
        When the other learning rate or batch size breaks a rule.
    """
    if type(algorithm.noise) is not LabelNoise:
        raise NotApplicable("label noise", "linear scaling is about label noise: its sigma keeps lambda the same")
    size = algorithm.batch_size if settings["batch_size"] == "same" else settings["batch_size"]
    other = replace(algorithm, lr=settings["lr"], batch_size=size)
    other.check(model)
    return other.at_strength(model, algorithm.strength(model))


class ScalingStatement(Statement):
    """Difference of the slow velocities at the start, per unit of slow time eta lambda k, shape (d,).

    That of the rescaled algorithm less that of the study's own. The limit of small learning rates says that it is zero:
    runs with the same lambda collapse. The full R and the finite batch say by how much they do not.

    References
    ----------
    Damian, Ma, Lee (2021), Section 2 and the discussion of the linear scaling rule.
    """

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """Those of both algorithms."""
        checked = super().assumptions(model, algorithm, claim, theta)
        if not all(a.holds for a in checked):
            return checked
        other = point_assumptions(model, rescaled(model, algorithm, claim.settings), [theta])
        both = {a.name: a for a in checked}
        changed = (a for a in other if a.value != both[a.name].value)
        return (*checked, *(replace(a, name=f"{a.name}, rescaled") for a in changed))

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """The other theories."""
        return 3

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        here, there = theory.velocity(self.local), self._other(theory).velocity(self.local)
        apart = there - here
        # The same velocity by both, but for rounding.
        return apart if np.linalg.norm(apart) > 1e-12 * np.linalg.norm(here) else np.zeros_like(apart)

    def labels(self) -> tuple[str, ...]:
        """The parameters."""
        return self.parameter_names()

    def scale(self, value: Array) -> tuple[float, str]:
        """The velocity of the study's own algorithm."""
        speed = float(np.linalg.norm(self.derived.velocity(self.local)))
        if speed <= 1e-12:
            raise NotApplicable("nonzero velocity", "the start is stationary for every learning rate")
        return speed, ""

    def rivals(self, value: Array, scale: float) -> tuple[Rival, ...]:
        """Other theories; twice lambda is the same, since velocities are per unit of it."""
        meaningless = ("lambda x 2", "stays at start")
        return tuple(r for r in super().rivals(value, scale) if r.theory not in meaningless)

    def _merged(self, visited: Array) -> tuple[Assumption, ...]:
        return (*self.checked, *self.extra)

    def _other(self, theory: SlowTheory) -> SlowTheory:
        other = rescaled(self.model, self.algorithm, self.claim.settings)
        if isinstance(theory, Conjecture):
            return Conjecture(self.model, other, self.claim)
        return type(theory)(self.model, other)
