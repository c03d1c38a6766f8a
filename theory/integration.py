"""A flow, integrated step by step: an explicit method of our own, and SciPy's for a flow that turns out stiff or long.

Most slow flows take less time than SciPy's integrators take to import (half a second), for which a study would wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from threading import Lock

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .dormand_prince import EVALUATIONS, StageOutside, Velocity, between, error_of, stages
from .errors import NotApplicable

__all__ = ["Course", "Piece", "along", "crossing", "nodes", "pieces"]

Array = NDArray[np.float64]
# A flow that asks for so many velocities is stiff, or takes as long as it takes to import SciPy's integrators.
_MOST_EXPLICIT = 1000
# A stage may lie outside of the domain though the flow stays inside: a shorter step is tried. The flow itself leaves
# where a stage does that is so near, in units of the size of theta.
_LEAVES = 1e-5


# Within a step a flow is known as a polynomial of degree seven: by its values at so many of Chebyshev's points.
_NODES = 0.5 - 0.5 * np.cos(np.pi * np.arange(8) / 7)
_WEIGHTS = np.array([0.5, -1, 1, -1, 1, -1, 1, -0.5])


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


class Course:
    """Steps of a flow, each taken once, when the first who goes through them comes to it.

    Parameters
    ----------
    begin : callable
        Gives the steps, the same whenever it is called. A `NotApplicable` that ends them is raised for all who come
        there.
    """

    def __init__(self, begin: Callable[[], Iterator[Piece]]) -> None:
        self._begin = begin
        self._taken: list[Piece] = []
        self._steps: Iterator[Piece] | None = None
        self._end: NotApplicable | None = None
        self._lock = Lock()  # a thread may come to the end of what is known while another goes on from there

    def __iter__(self) -> Iterator[Piece]:
        for k in count():
            with self._lock:
                if k == len(self._taken) and not self._take():
                    return
            yield self._taken[k]

    def _take(self) -> bool:
        """Take one more step, if there is one."""
        if self._end is not None:
            raise self._end.with_traceback(None)
        if self._steps is None:
            self._steps = islice(self._begin(), len(self._taken), None)
        try:
            self._taken.append(next(self._steps))
        except StopIteration:
            return False
        except NotApplicable as error:
            self._end = error
            raise
        except BaseException:
            self._steps = None  # an interrupt ends the generator, but not the flow
            raise
        return True


def pieces(velocity: Velocity, start: Array, span: float, rtol: float, atol: float) -> Iterator[Piece]:
    """Steps of d theta/dt = velocity(theta) from `start`, one after the other until time `span`.

    Raises
    ------
    NotApplicable
        As `velocity` does, or when the flow cannot be followed.

    References
    ----------
    Hairer, Norsett, Wanner (1993), Solving Ordinary Differential Equations I, Section II.4.
    """
    now, theta, slope = 0.0, start, velocity(start)
    # Somewhat less than what a method of order 8 can take of a flow that bends over its own size.
    h = rtol ** (1 / 6) * (atol / rtol + float(np.linalg.norm(start))) / max(float(np.linalg.norm(slope)), 1e-300)
    for _ in range(_MOST_EXPLICIT // EVALUATIONS):
        h = min(h, span - now)
        try:
            ahead, slopes = stages(velocity, theta, slope, h)
        except StageOutside as stage:
            if stage.distance <= _LEAVES * (atol / rtol + np.linalg.norm(theta)):
                raise stage.reason from None
            h *= 0.2
            continue
        allowed = atol + rtol * np.maximum(np.abs(theta), np.abs(ahead))
        error = error_of(slopes, h, allowed)
        if error <= 1:
            end = span if h == span - now else now + h
            yield Piece(now, end, ahead, between(velocity, now, theta, h, ahead, slopes))
            if end == span:
                return
            now, theta, slope = end, ahead, slopes[-1]
        # In this order: shorter where the error is no number.
        h *= min(5.0, max(0.2, 0.9 * error**-0.125)) if error != 0 else 5.0
    yield from _pieces_by_scipy(velocity, start, now, span, rtol, atol)


def nodes(steps: Iterable[Piece]) -> tuple[Array, Array]:
    """A flow as numbers: times between its steps, shape (m + 1,), and points within each, shape (m, 8, d)."""
    steps = list(steps)
    times = np.array([steps[0].begin, *(piece.end for piece in steps)])
    return times, np.array([[p.at(p.begin + part * (p.end - p.begin)) for part in _NODES] for p in steps])


def along(times: Array, points: Array, at: Array) -> Array:
    """Where a flow is, shape (k, d), at the times `at`, shape (k,), from its `nodes`; by the barycentric formula."""
    step = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(points) - 1)
    part = (at - times[step]) / (times[step + 1] - times[step])
    away = part[:, None] - _NODES
    met = away == 0
    shares = np.where(met.any(axis=1, keepdims=True), met, _WEIGHTS / np.where(met, 1.0, away))
    return np.einsum("kj,kjd->kd", shares / shares.sum(axis=1, keepdims=True), points[step])


def crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f is zero between two arguments at which its signs differ, to rounding.

    By secants, with the value at an end that stays halved (the Illinois method); every third time in the middle, so
    that the number of steps is bounded whatever f is.
    """
    at_low, at_high, stays = f(low), f(high), 0
    for turn in range(200 if at_low and at_high else 0):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        secant = high - at_high * (high - low) / (at_high - at_low)
        if turn % 3 < 2 and low < secant < high:
            middle = secant
        value = f(middle)
        if value == 0:
            return middle
        if (value > 0) == (at_high > 0):
            high, at_high, at_low, stays = middle, value, at_low * (0.5 if stays == -1 else 1.0), -1
        else:
            low, at_low, at_high, stays = middle, value, at_high * (0.5 if stays == 1 else 1.0), 1
    return low if abs(at_low) < abs(at_high) else high


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
