"""Claims about a slow field that circulates: how fast the slow motion winds around a closed curve of Gamma.

Problem: noise of covariance eta lambda Sigma(theta), range(Sigma) in range(H); Gamma or a curve in it is closed.
Statement: the mean angle of theta about a center, in the plane of two parameters, grows by this much per unit of slow
time. It is zero where the drift is the gradient of an R, and turns its sign with the antisymmetric part of Sigma in a
frame that follows the curve.
References: Damian, Ma, Lee (2021), Section 3 (general noise covariance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .claim import Claim
from .errors import NotApplicable
from .flow import SlowFlow
from .problem import WINDING_TIMES, Problem
from .slow import SlowTheory
from .statement import Statement

__all__ = ["CirculationStatement"]

Array = NDArray[np.float64]

# Between two recorded times a run may turn by this much (radians), with its noise, so that nobody loses count.
_LARGEST_TURN = 1.0
# The path of a theory has no noise; from pi on it could have gone round unseen.
_UNSEEN_TURN = 2.5
# Points where assumptions are checked are so far apart by their angle, or as far as recorded ones.
_CHECKED_TURN = 0.5
_REVERSED = "reversed sign"


class CirculationStatement(Statement):
    """Mean angular speed over a slow time from the start, radians per unit of slow time, shape (1,)."""

    def __init__(self, *case: Any) -> None:
        super().__init__(*case)
        settings, names = self.claim.settings, [p.name for p in self.model.parameters]
        self._times = settings["time"] * WINDING_TIMES
        self.plane = [names.index(name) for name in settings["plane"]]
        self.center = np.array(settings["center"])
        if not np.linalg.norm(self.theta[self.plane] - self.center) > 0:
            raise NotApplicable("center", f"claim.center={settings['center']} is the start: it has no angle about it")

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """See `Statement`."""
        return super().rival_count(claim, algorithm) + 1

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        path = self._path(theory, speed)
        self._require_counted(theory, path, speed, _UNSEEN_TURN)
        return np.array([np.sum(self._turns(path)) / self.claim.settings["time"]])

    def visited(self) -> tuple[Array, float, float]:
        """See `Statement`."""
        path = self._path(self.motion, 1.0)
        turn = self._require_counted(self.motion, path, 1.0, _LARGEST_TURN)
        every = max(1, int(min(len(path), _CHECKED_TURN / max(turn, 1e-300))))
        return np.vstack([self.theta[None], path[::-every][::-1]]), self.claim.settings["time"], 1.0

    def problem(self, visited: Array, horizon: float, relaxation: float) -> Problem:
        """See `Statement`; the plane as two indices."""
        known = super().problem(visited, horizon, relaxation)
        return replace(known, settings={**known.settings, "plane": tuple(self.plane)})

    def natural_scale(self) -> tuple[float, float]:
        """The speed before the projection on Gamma, over the distance from the center."""
        third = self.local.third(self.derived.covariance(self.local)) / self.derived.strength
        radius = float(np.linalg.norm(self.theta[self.plane] - self.center))
        return 0.5 * float(np.linalg.norm(third)) / radius, 0.0

    def others(self, value: Array) -> list[tuple[str, Callable[[], Array]]]:
        """One that turns the other way."""
        return [*super().others(value), (_REVERSED, lambda: -value)]

    def labels(self) -> tuple[str, ...]:
        """Of the one number."""
        return ("angular speed",)

    def _path(self, theory: SlowTheory, speed: float) -> Array:
        return SlowFlow(theory).path(self.theta, speed * self._times)

    def _require_counted(self, theory: SlowTheory, path: Array, speed: float, most: float) -> float:
        """The largest turn between recorded times, by the speed, as angles are modulo 2 pi; raise where it is more."""
        flow = SlowFlow(theory)
        points = np.vstack([self.theta, path])
        arms = points[:, self.plane] - self.center
        ways = np.array([flow.velocity(p) for p in points])[:, self.plane]
        rates = (arms[:, 0] * ways[:, 1] - arms[:, 1] * ways[:, 0]) / np.sum(arms**2, axis=1)
        steps = np.diff(self._times, prepend=0.0)
        largest = float(speed * np.max(np.abs(rates)) * np.max(steps))
        if largest > most:
            time = self.claim.settings["time"] * most / largest
            rule = f"{theory.name} turns by {largest:.3g} between recorded times; take claim.time={time:.2g} or less"
            raise NotApplicable("slow time", rule)
        return largest

    def _turns(self, path: Array) -> Array:
        """Angles between the points of a path that begins at the start, shape (M,)."""
        x, y = (np.vstack([self.theta, path])[:, self.plane] - self.center).T
        angle = np.arctan2(y, x)
        return (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi
