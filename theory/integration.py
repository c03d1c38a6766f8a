"""A flow, integrated step by step: an explicit method of our own, and SciPy's for a flow that turns out stiff or long.

Most slow flows take less time than SciPy's integrators take to import (half a second), for which a study would wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .errors import NotApplicable

__all__ = ["Piece", "crossing", "pieces"]

Array = NDArray[np.float64]
Velocity = Callable[[Array], Array]

# The method of Dormand and Prince (1980), of order 5: weights of the slopes before each stage. The last stage is the
# result, and the difference from the embedded one of order 4 tells its error.
_STAGES = [
    np.array(weights)
    for weights in (
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    )
]
_ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])
# What the slopes add to the cubic through both ends of a step, in between: of order 4 then.
_MIDDLE = np.array(
    [
        -12715105075 / 11282082432,
        0,
        87487479700 / 32700410799,
        -10690763975 / 1880347072,
        701980252875 / 199316789632,
        -1453857185 / 822651844,
        69997945 / 29380423,
    ]
)
# A flow that asks for so many velocities is stiff, or takes as long as it takes to import SciPy's integrators.
_MOST_EXPLICIT = 1000
# A stage may lie outside of the domain though the flow stays inside: a shorter step is tried. The flow itself leaves
# where a step over so much of the size of theta does.
_LEAVES = 1e-5


@dataclass(frozen=True)
class Piece:
    """A step of the integration.

    Attributes
    ----------
    begin, end : float
        Times.
    last : ndarray, shape (d,)
        Where the flow is at the end.
    at : callable
        Where it is at a time between, to the tolerance.
    """

    begin: float
    end: float
    last: Array
    at: Callable[[float], Array]


def pieces(velocity: Velocity, start: Array, span: float, rtol: float, atol: float) -> Iterator[Piece]:
    """Steps of d theta/dt = velocity(theta) from `start`, one after the other until time `span`.

    Raises
    ------
    NotApplicable
        As `velocity` does, or when the flow cannot be followed.

    References
    ----------
    Hairer, Norsett, Wanner (1993), Solving Ordinary Differential Equations I, Sections II.4 to II.6.
    """
    now, theta, slope = 0.0, start, velocity(start)
    # Somewhat less than what a method of order 5 can take of a flow that bends over its own size.
    h = rtol**0.25 * (atol / rtol + float(np.linalg.norm(start))) / max(float(np.linalg.norm(slope)), 1e-300)
    for _ in range(_MOST_EXPLICIT // len(_STAGES)):
        h = min(h, span - now)
        try:
            ahead, slopes = _step(velocity, theta, slope, h)
        except NotApplicable:
            if h * np.linalg.norm(slope) <= _LEAVES * (atol / rtol + np.linalg.norm(theta)):
                raise
            h *= 0.2
            continue
        allowed = atol + rtol * np.maximum(np.abs(theta), np.abs(ahead))
        error = h * float(np.sqrt(np.mean((_ERROR @ slopes / allowed) ** 2)))
        if error <= 1:
            end = span if h == span - now else now + h
            yield Piece(now, end, ahead, _between(now, theta, h, ahead, slopes))
            if end == span:
                return
            now, theta, slope = end, ahead, slopes[-1]
        # In this order: shorter where the error is no number.
        h *= min(5.0, max(0.2, 0.9 * error**-0.2)) if error != 0 else 5.0
    yield from _pieces_by_scipy(velocity, start, now, span, rtol, atol)


def crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f is zero between two arguments at which its signs differ, to rounding.

    By secants, with the value at an end that stays halved (the Illinois method); every third time in the middle, so
    that the number of steps is bounded whatever f is.
    """
    at_low, at_high, stays = f(low), f(high), 0
    for count in range(200 if at_low and at_high else 0):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        secant = high - at_high * (high - low) / (at_high - at_low)
        if count % 3 < 2 and low < secant < high:
            middle = secant
        value = f(middle)
        if value == 0:
            return middle
        if (value > 0) == (at_high > 0):
            high, at_high, at_low, stays = middle, value, at_low * (0.5 if stays == -1 else 1.0), -1
        else:
            low, at_low, at_high, stays = middle, value, at_high * (0.5 if stays == 1 else 1.0), 1
    return low if abs(at_low) < abs(at_high) else high


def _step(velocity: Velocity, theta: Array, slope: Array, h: float) -> tuple[Array, Array]:
    """Where a step leads, and the slopes of its stages, shape (7, d)."""
    slopes = np.empty((len(_STAGES) + 1, len(theta)))
    slopes[0], ahead = slope, theta
    for k, weights in enumerate(_STAGES, 1):
        ahead = theta + h * (weights @ slopes[:k])
        slopes[k] = velocity(ahead)
    return ahead, slopes


def _between(begin: float, theta: Array, h: float, ahead: Array, slopes: Array) -> Callable[[float], Array]:
    """Points within a step."""
    way = ahead - theta
    bent = h * slopes[0] - way
    twisted = way - h * slopes[-1] - bent
    middle = h * (_MIDDLE @ slopes)

    def at(time: float) -> Array:
        part = (time - begin) / h
        rest = 1 - part
        return np.asarray(theta + part * (way + rest * (bent + part * (twisted + rest * middle))))

    return at


def _pieces_by_scipy(
    velocity: Velocity, start: Array, after: float, span: float, rtol: float, atol: float
) -> Iterator[Piece]:
    """What is left after a time, by SciPy's LSODA, which takes an implicit method where that is better.

    From the start on all the same: it sees by the fast part of a motion that a flow is stiff, and takes short steps for
    ever where that part has died out before it comes.
    """
    solver = scipy.integrate.LSODA(lambda _, y: velocity(y), 0.0, start, span, rtol=rtol, atol=atol)
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
            raise NotApplicable("stationary point", f"the slow flow cannot be followed: {message}")
        if solver.t > after:
            yield Piece(max(after, solver.t_old), solver.t, solver.y.copy(), solver.dense_output())
