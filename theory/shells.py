"""Shells of constant loss around a zero-loss point, and how small the gradient of the loss becomes on them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .assumptions import fixed_directions
from .model import Model

__all__ = ["Shells"]

Array = NDArray[np.float64]

# Radius of the ball around the point, over 1 + its size.
_BALL = 0.1
_RANDOM_DIRECTIONS = 8


class Shells:
    """Shells {L = level} in a ball around a zero-loss point."""

    def __init__(self, model: Model, theta: Array) -> None:
        self.model, self.theta = model, theta
        self.radius = _BALL * (1 + float(np.linalg.norm(theta)))
        self.directions = list(self._directions())
        self.size = max(float(model.loss(theta + self.radius * u)) for u in self.directions)
        self._before: Array | None = None

    def _directions(self) -> Iterator[Array]:
        """Axes, diagonals of two of them, and some without a symmetry."""
        d = self.model.d
        axes = np.eye(d)
        for i in range(d):
            yield axes[i]
            yield -axes[i]
            for j in range(i):
                for sign in (1.0, -1.0):
                    yield (axes[i] + sign * axes[j]) / np.sqrt(2)
                    yield -(axes[i] + sign * axes[j]) / np.sqrt(2)
        yield from islice(fixed_directions(d), _RANDOM_DIRECTIONS)
        rest = np.cos(np.outer(1.0 + np.arange(_RANDOM_DIRECTIONS), np.sqrt(2 + np.arange(d))))
        yield from rest / np.linalg.norm(rest, axis=1, keepdims=True)

    def least_gradient(self, level: float) -> float:
        """log of the smallest |grad L| on the shell; inf when it is not met in the ball."""
        directions = self.directions if self._before is None else [self._before, *self.directions]
        starts = [self.radius * s * u for u in directions if (s := self._crossing(u, level)) is not None]
        # Every descent ends in some valley; the steepest starts seldom in the lowest. Valleys are nearly straight: what
        # was lowest on the shell before is a start, and few others are needed.
        known = 0 if self._before is None else 1
        others = sorted(starts[known:], key=lambda x: self._steepness(x)[0])
        best, where = np.inf, None
        for x in [*starts[:known], *others[: 2 if known else max(8, 2 * self.model.d)]]:
            value, found = self._descend(x, level)
            if value < best:
                best, where = value, found / np.linalg.norm(found)
        self._before = where
        return best

    def _crossing(self, u: Array, level: float) -> float | None:
        """Where the ray meets the shell first, in radii."""

        def excess(log_s: float) -> float:
            loss = float(self.model.loss(self.theta + np.exp(log_s) * self.radius * u))
            return np.log(max(loss, 1e-300)) - np.log(level)

        if excess(0.0) <= 0 or excess(-30.0) >= 0:
            return None
        return float(np.exp(scipy.optimize.brentq(excess, -30.0, 0.0, xtol=1e-6)))

    def _steepness(self, x: Array) -> tuple[float, Array]:
        """log |grad L| at theta + x, and its derivative."""
        gradient = self.model.gradient(self.theta + x)
        square = max(float(gradient @ gradient), 1e-300)
        return 0.5 * np.log(square), self.model.hessian(self.theta + x) @ gradient / square

    def _descend(self, start: Array, level: float) -> tuple[float, Array]:
        """Least log |grad L| on the shell from a start on it."""
        scale = float(np.linalg.norm(start))
        edge = (self.radius / scale) ** 2

        def rest(z: Array) -> float:
            return float(np.log(max(float(self.model.loss(self.theta + scale * z)), 1e-300) / level))

        def rest_slope(z: Array) -> Array:
            point = self.theta + scale * z
            return scale * self.model.gradient(point) / max(float(self.model.loss(point)), 1e-300)

        found = scipy.optimize.minimize(
            lambda z: self._steepness(scale * z)[0],
            start / scale,
            jac=lambda z: scale * self._steepness(scale * z)[1],
            method="SLSQP",
            constraints=[
                {"type": "eq", "fun": rest, "jac": rest_slope},
                {"type": "ineq", "fun": lambda z: edge - z @ z, "jac": lambda z: -2 * z},
            ],
            options={"maxiter": 60, "ftol": 1e-11},
        )
        # What is left of the constraint is put right along the slope 1/(1+delta) <= 1 of the logarithms.
        on_shell = abs(rest(found.x)) < 1e-6
        return (float(found.fun), scale * found.x) if on_shell else (np.inf, start)
