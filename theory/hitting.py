"""The main theorem as stated: a stationary point of (1/lambda)(L + lambda R) is met, when, and which one.

A point is (eps, gamma)-stationary when within gamma of it some point has a gradient of (1/lambda)(L + lambda R) of at
most eps. Here the ball of radius gamma around the stationary point of the theory on Gamma is to be met, which is so for
every eps > 0 once lambda is small; theta_k is taken to the zero-loss point Phi(theta_k) that it descends to.

References
----------
Damian, Ma, Lee (2021), Definition of (eps, gamma)-stationary points and Theorem 1: within T = O~(1/(eta
lambda^(1+delta))) steps, 0 < delta <= 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption
from .claim import Claim
from .errors import NotApplicable
from .exponents import ExponentStatement
from .flow import SETTLED, SlowFlow, StationaryPoint, ending
from .geometry import noise_free_limit, retract
from .model import Model
from .noise import FlippedLabels, LabelNoise
from .rules import SGD
from .slow import SlowTheory
from .slow_statements import FixedPointStatement
from .statement import Statement

__all__ = ["HittingExponentStatement", "HittingTimeStatement", "ReachesStatement"]

Array = NDArray[np.float64]


class _Displaced(Statement):
    """A run that may start off Gamma: theta is where the noise-free iteration from there ends."""

    def __init__(self, model: Model, algorithm: Algorithm, claim: Claim, theta: Array, checked: Any) -> None:
        self._begin = theta + np.array(claim.settings.get("displacement", np.zeros(model.d)))
        if "displacement" in claim.settings:
            theta = retract(model, noise_free_limit(model, algorithm.lr, self._begin))
        super().__init__(model, algorithm, claim, theta, checked)

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """See `Statement`."""
        checked = super().assumptions(model, algorithm, claim, theta)
        if "displacement" not in claim.settings:
            return checked
        plain = type(algorithm.update_rule) is SGD and isinstance(algorithm.noise, LabelNoise)
        plain = plain and not isinstance(algorithm.noise, FlippedLabels)
        # Off Gamma minibatches scatter the way down, by as much as the displacement, whatever lambda.
        plain = plain and (model.n == 1 or algorithm.minibatch_factor(model) == 0)
        rule = "it takes plain SGD with label noise, and the full batch or one sample"
        return (*checked, Assumption("displaced start", plain, None, rule))

    @property
    def begin(self) -> Array:
        """See `Statement`."""
        return self._begin


class _Ball(_Displaced):
    """The ball of radius gamma around the stationary point that the flow of the claim's theory comes to."""

    @cached_property
    def _times(self) -> dict[str, float]:
        return {}

    @property
    def gamma(self) -> float:
        """Its radius."""
        return float(self.claim.settings["gamma"])

    @cached_property
    def target(self) -> StationaryPoint:
        """Its centre.

        Raises
        ------
        NotApplicable
            When the flow comes to no stable point, or begins in the ball.
        """
        point = ending(self.theory, self.theta)
        if point.stability == "unstable":
            rule = "no rate of the slow flow at the stationary point may be positive"
            raise NotApplicable("stability of the stationary point", rule)
        way = float(np.linalg.norm(point.theta - self.theta))
        if way <= self.gamma:
            raise NotApplicable("gamma", f"claim.gamma={self.gamma:g} must be below {way:.4g}, the way to the point")
        return point

    def time(self, theory: SlowTheory) -> float:
        """Slow time at which the flow of `theory` meets the ball; followed once, also where the horizon asks for it.

        Raises
        ------
        NotApplicable
            When it never does.
        """
        if theory.name not in self._times:
            self._times[theory.name] = self._first_passage(theory)
        return self._times[theory.name]

    def _first_passage(self, theory: SlowTheory) -> float:
        own, centre = self.target, self.target.theta
        way = float(np.linalg.norm(centre - self.theta))
        more = max(0.0, float(np.log(SETTLED * way / self.gamma))) / own.relaxation_rate
        # Other theories may be slower; where they are by far, their flow counts as one that never comes.
        longest = 10 * (own.settling_time + more)
        met = SlowFlow(theory).first_passage(
            self.theta, lambda p: float(np.linalg.norm(p - centre)) - self.gamma, longest
        )
        if met is None:
            raise NotApplicable("hitting time", f"the flow of {theory.name} never comes within gamma of the point")
        return met

    @cached_property
    def horizon(self) -> float:
        """Slow time that is looked at: twice that of the claim's theory and, where it comes there, of the derived."""
        times = [self.time(self.theory)]
        with suppress(NotApplicable):
            times.append(self.time(self.motion))
        return 2 * max(times)

    def visited(self) -> tuple[Array, float, float]:
        """See `Statement`."""
        times = self.horizon * np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
        return SlowFlow(self.motion).path(self.theta, times), self.horizon, 0.0

    def given(self) -> Mapping[str, Array]:
        """The centre of the ball."""
        return {"target": self.target.theta}


class HittingTimeStatement(_Ball):
    """Slow time rate lambda T until the ball is met, shape (1,)."""

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        return np.array([self.time(theory) / speed])

    def labels(self) -> tuple[str, ...]:
        """Slow time."""
        return ("slow time",)

    def stays(self, value: Array) -> Array:
        """The end of the run: the ball is not met."""
        return np.array([self.horizon])


class HittingExponentStatement(_Ball, ExponentStatement):
    """The exponent of the number of steps T in lambda, at fixed gamma."""

    powers = (-0.5, -1.0, -1.5, -2.0)

    def exponent(self) -> float:
        """See `ExponentStatement`."""
        return -1.0


class ReachesStatement(_Displaced, FixedPointStatement):
    """The fraction of replicas that settle within gamma of the stationary point of the theory, shape (1,).

    As lambda -> 0 it is 1 where the theory is right and the start is in the basin of the point, and 0 where it is not.
    """

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        end = super().value(theory, speed, own)
        if own and all(a.holds for a in self.extra) and self._near(self.theta):
            way, gamma = float(np.linalg.norm(end - self.theta)), self.claim.settings["gamma"]
            raise NotApplicable("gamma", f"claim.gamma={gamma:g} must be below {way:.4g}, the way to the point")
        return np.array([float(self._near(end))])

    def given(self) -> Mapping[str, Array]:
        """The stationary point."""
        return {"target": self._end(self.theory).theta}

    def origin(self, value: Array) -> Array:
        """Zero."""
        return np.zeros_like(value)

    def labels(self) -> tuple[str, ...]:
        """A fraction."""
        return ("fraction",)

    def scale(self, value: Array) -> tuple[float, str]:
        """A fraction is measured by 1."""
        return 1.0, ""

    def stays(self, value: Array) -> Array:
        """Of replicas that stay at the start."""
        return np.array([float(self._near(self.theta))])

    def _near(self, theta: Array) -> bool:
        return bool(np.linalg.norm(theta - self._end(self.theory).theta) <= self.claim.settings["gamma"])
