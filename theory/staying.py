"""Without label noise SGD stays: the claim that Phi(theta) does not move along Gamma in the time that R would need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption
from .claim import Claim
from .derived import Derived
from .errors import NotApplicable
from .flow import SlowFlow
from .model import Model
from .noise import LabelNoise
from .problem import Problem
from .rivals import Rival
from .slow import SlowTheory, SmallLearningRate
from .statement import ZERO, Statement
from .timescales import timescales

__all__ = ["StayStatement"]

Array = NDArray[np.float64]


class StayStatement(Statement):
    """Phi(theta_K) - Phi(theta_0) of a run from off Gamma, shape (d,): zero in the limit.

    On Gamma every sample has residual zero, so that a step without label noise is no step, whatever the batch. The run
    starts off Gamma as far as label noise of strength lambda takes it: theta_0 = theta* + distance sqrt(lambda) n,
    n normal, and takes K = time/(rate lambda) steps, in which label noise of that strength moves Phi by the slow flow
    over `time`. Minibatches alone move it by O(lambda) while they converge. As lambda goes to 0 the one stays, the
    other does not depend on lambda: that is the rival, and what an error is relative to.

    References
    ----------
    Damian, Ma, Lee (2021), Section 4 (SGD without label noise) and its contrast to Theorem 1.
    """

    def __init__(self, model: Model, algorithm: Algorithm, *rest: Any) -> None:
        super().__init__(model, algorithm, *rest)
        self.noisy = _noisy(model, algorithm)
        self.derived = Derived(model, self.noisy)
        self.horizon = float(self.claim.settings["time"])
        self.moved = self._flow(self.derived)

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """Those of the noisy algorithm, but for its noise: what stays needs none."""
        checked = super().assumptions(model, _noisy(model, algorithm), claim, theta)
        return tuple(a for a in checked if a.name != "label noise")

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """With label noise, by two theories."""
        return 2

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`; of no theory is it anything but zero."""
        return np.zeros(self.model.d)

    def labels(self) -> tuple[str, ...]:
        """The parameters."""
        return self.parameter_names()

    def problem(self, visited: Array, horizon: float, relaxation: float) -> Problem:
        """See `Statement`; `given` holds the unit vector along which the start is off Gamma."""
        scales = timescales(self.model, self.noisy, np.vstack([self.theta, self.theta + self.moved]))
        normal = self.local.normal
        # Every fast direction, with a sign that does not depend on how eigenvectors were found.
        signs = np.sign(normal[np.argmax(np.abs(normal), axis=0), np.arange(normal.shape[1])])
        direction = normal @ signs / np.sqrt(normal.shape[1])
        tangent, settings = self.local.tangent, self.claim.settings
        given = {"direction": direction}
        return Problem(self.claim.kind, self.theta, tangent, scales, self.horizon, 0.0, settings, given)

    def scale(self, value: Array) -> tuple[float, str]:
        """How far label noise would take it."""
        size, moved = float(np.linalg.norm(self.theta)), float(np.linalg.norm(self.moved))
        if moved > ZERO * (1 + size):
            return moved, ""
        return max(size, 1.0), "label noise would not move this start either; the error is relative to its norm"

    def rivals(self, value: Array, scale: float) -> tuple[Rival, ...]:
        """The slow flow with label noise over the same time."""
        rivals = [Rival("with label noise", self.moved, scale, float(np.linalg.norm(self.moved)) / scale)]
        try:
            other = self._flow(SmallLearningRate(self.model, self.noisy))
            rivals.append(Rival("with label noise, small-lr", other, scale, float(np.linalg.norm(other)) / scale))
        except NotApplicable as error:
            nan = float("nan")
            rivals.append(Rival("with label noise, small-lr", None, nan, nan, str(error)))
        return tuple(rivals)

    def _flow(self, theory: SlowTheory) -> Array:
        return SlowFlow(theory).path(self.theta, np.array([self.horizon]))[0] - self.theta

    def _merged(self, visited: Array) -> tuple[Assumption, ...]:
        return (*self.checked, *self.extra)


def _noisy(model: Model, algorithm: Algorithm) -> Algorithm:
    """The algorithm itself where it has noise; else with label noise, whose slow flow does not depend on its size."""
    return algorithm if algorithm.strength(model) else replace(algorithm, noise=LabelNoise(1.0))
