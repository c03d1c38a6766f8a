"""All stationary points of a one-dimensional Gamma: trace the curve, find every zero of the velocity along it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import NotApplicable
from .flow import SlowFlow, StationaryPoint
from .geometry import LocalGeometry, retract
from .integration import crossing

__all__ = ["CurvePoints", "stationary_points_on_curve"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CurvePoints:
    """Stationary points on the connected piece of a one-dimensional Gamma that holds the start.

    Attributes
    ----------
    points : tuple of StationaryPoint
        In order along the curve.
    closed : bool
        Whether the curve closes on itself.
    ends : tuple of str
        Why the trace ended on each side.
    """

    points: tuple[StationaryPoint, ...]
    closed: bool
    ends: tuple[str, ...]

    @property
    def basins(self) -> int:
        """Number of stable points: more than one says that the end depends on the start."""
        return sum(p.stability == "stable" for p in self.points)


def stationary_points_on_curve(flow: SlowFlow, start: Array, reach: float = 10.0, step: float = 0.02) -> CurvePoints:
    """Trace Gamma both ways from `start` over `reach` (1 + |start|) of arc length and find every stationary point.

    Raises
    ------
    NotApplicable
        When Gamma is not one-dimensional at the start.
    """
    tangent = LocalGeometry.at(flow.model, start).tangent
    if tangent.shape[1] != 1:
        raise NotApplicable("one-dimensional zero-loss set", f"it has {tangent.shape[1]} dimensions")
    size = 1 + float(np.linalg.norm(start))
    found: list[Array] = []
    ends, closed = [], False
    for side in (1.0, -1.0):
        trace = _Trace(flow, start, side * tangent[:, 0], step * size, reach * size)
        zeros = list(trace)
        found = [*reversed(zeros), *found] if side < 0 else zeros
        ends.append(trace.end)
        if trace.end == "closed":
            closed = True
            break
    unique: list[Array] = []
    for theta in found:
        if all(np.linalg.norm(theta - other) > 1e-7 * size for other in unique):
            unique.append(theta)
    return CurvePoints(tuple(flow.classify(theta) for theta in unique), closed, tuple(ends))


class _Trace:
    """Iterates over the isolated zeros of the velocity on one side of the start.

    Where it vanishes step after step, far out on a tail, there is no point that the flow comes to: rounding decides
    what the rates there look like. Only between two velocities of opposite signs there is one.
    """

    def __init__(self, flow: SlowFlow, start: Array, direction: Array, step: float, reach: float) -> None:
        self.flow, self.start, self.direction = flow, start, direction
        self.step, self.reach = step, reach
        self.end = f"arc length {reach:.3g}"

    def __iter__(self) -> Iterator[Array]:
        theta, direction, length = self.start, self.direction, 0.0
        speed = self._speed(theta, direction)
        # Of the last point where the velocity did not vanish, and those since.
        last, flat = speed, [] if speed else [theta]
        while length < self.reach:
            try:
                ahead = retract(self.flow.model, theta + self.step * direction)
                tangent = LocalGeometry.at(self.flow.model, ahead).tangent[:, 0]
                following = tangent if tangent @ direction > 0 else -tangent
                speed = self._speed(ahead, following)
            except NotApplicable as error:
                self.end = str(error)
                break
            if speed == 0:
                flat.append(ahead)
            else:
                yield from self._between(last, flat, speed, theta, ahead, direction)
                last, flat = speed, []
            length += float(np.linalg.norm(ahead - theta))
            theta, direction = ahead, following
            if length > 3 * self.step and np.linalg.norm(theta - self.start) < 0.75 * self.step:
                # The last gap, up to the start, may hold one more.
                yield from self._between(last, flat, self._speed(self.start, direction), theta, self.start, direction)
                self.end = "closed"
                return
        if len(flat) == 1:
            yield flat[0]

    def _between(
        self, last: float, flat: list[Array], speed: float, theta: Array, ahead: Array, direction: Array
    ) -> Iterator[Array]:
        """The zero between two points where the velocity does not vanish, if there is one; `flat` lie there too."""
        if last * speed < 0:
            yield flat[len(flat) // 2] if flat else self._zero(theta, ahead, direction)
        elif len(flat) == 1 and speed != 0:
            yield flat[0]

    def _speed(self, theta: Array, direction: Array) -> float:
        speed = float(self.flow.velocity(theta) @ direction)
        return 0.0 if abs(speed) <= 1e-12 * (1 + float(np.linalg.norm(theta))) else speed

    def _zero(self, theta: Array, ahead: Array, direction: Array) -> Array:
        def between(s: float) -> Array:
            return retract(self.flow.model, theta + s * (ahead - theta))

        return between(crossing(lambda s: self._speed(between(s), direction), 0.0, 1.0))
