"""A flow, integrated step by step: an explicit method of our own, and SciPy's for a flow that turns out stiff or long.

Most slow flows take less time than SciPy's integrators take to import (half a second), for which a study would wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from threading import Lock

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .dormand_prince import EVALUATIONS, StageOutside, Velocity, between, error_of, stages
from .errors import NotApplicable

__all__ = ["Course", "Piece", "along", "crossing", "first_zero", "nodes", "pieces", "spread"]

Array = NDArray[np.float64]
# A flow that asks for so many velocities is stiff, or takes as long as it takes to import SciPy's integrators.
_MOST_EXPLICIT = 1000
# A stage may lie outside of the domain though the flow stays inside: a shorter step is tried. The flow itself leaves
# where a stage does that is so near, in units of the size of theta.
_LEAVES = 1e-5
# Dips of a function of where the flow is are looked for between so many points of a step. There it is a polynomial of
# degree seven (LSODA's: twelve at most), and the square of a distance one of degree 14, which has seven dips at most.
_LOOKS = 32
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
        for k in itertools.count():
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


def pieces(
    velocity: Velocity, start: Array, span: float, rtol: float, atol: float, most: float = np.inf
) -> Iterator[Piece]:
    """Steps of d theta/dt = velocity(theta) from `start`, one after the other until time `span`.

    Raises
    ------
    NotApplicable
        As `velocity` does, or when the flow cannot be followed. LSODA gives up after `most` velocities, those of the
        explicit method included and those within steps that were taken not.

    References
    ----------
    Hairer, Norsett, Wanner (1993), Solving Ordinary Differential Equations I, Section II.4.
    """
    now, theta, slope = 0.0, start, velocity(start)
    # Somewhat less than what a method of order 8 can take of a flow that bends over its own size.
    h = rtol ** (1 / 6) * (atol / rtol + float(np.linalg.norm(start))) / max(float(np.linalg.norm(slope)), 1e-300)
    growth, first = 10.0, None
    for _ in range(_MOST_EXPLICIT // EVALUATIONS):
        if not np.any(slope):
            yield _rest(now, span, theta)
            return
        h = min(h, span - now)
        try:
            ahead, slopes = stages(velocity, theta, slope, h)
        except StageOutside as stage:
            if stage.distance <= _LEAVES * (atol / rtol + np.linalg.norm(theta)):
                raise stage.reason from None
            h, growth = 0.2 * h, 1.0
            continue
        allowed = atol + rtol * np.maximum(np.abs(theta), np.abs(ahead))
        error = error_of(slopes, h, allowed)
        if error <= 1:
            end = span if h == span - now else now + h
            first = first or h
            yield Piece(now, end, ahead, between(velocity, now, theta, h, ahead, slopes))
            if end == span:
                return
            now, theta, slope = end, ahead, slopes[-1]
        # In this order: shorter where the error is no number. Right behind where a step was too long none is longer.
        h *= min(growth, max(0.2, 0.9 * error**-0.125)) if error != 0 else growth
        growth = 10.0 if error <= 1 else 1.0
    yield from _pieces_by_scipy(velocity, start, now, span, first or h, rtol, atol, most)


def _rest(begin: float, end: float, theta: Array) -> Piece:
    return Piece(begin, end, theta, lambda _: theta)


def nodes(steps: Iterable[Piece]) -> tuple[Array, Array]:
    """A flow as numbers: times between its steps, shape (m + 1,), and points within each, shape (m, 8, d)."""
    steps = list(steps)
    times = np.array([steps[0].begin, *(piece.end for piece in steps)])
    return times, np.array([[p.at(p.begin + part * (p.end - p.begin)) for part in _NODES] for p in steps])


def along(times: Array, points: Array, at: Array) -> Array:
    """Where a flow is, shape (k, d), at the times `at`, shape (k,), from its `nodes`; by the barycentric formula.

    Raises
    ------
    ValueError
        At a time that is not between those of its steps.
    """
    if np.min(at, initial=np.inf) < times[0] or np.max(at, initial=-np.inf) > times[-1]:
        raise ValueError(f"the flow is known from {times[0]} to {times[-1]} only")
    step = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(points) - 1)
    part = (at - times[step]) / (times[step + 1] - times[step])
    away = part[:, None] - _NODES
    met = away == 0
    shares = np.where(met.any(axis=1, keepdims=True), met, _WEIGHTS / np.where(met, 1.0, away))
    return np.einsum("kj,kjd->kd", shares / shares.sum(axis=1, keepdims=True), points[step])


def spread(start: Array, steps: Sequence[Piece], count: int) -> list[Array]:
    """The start and `count` - 1 more points along the steps, at distances that are equal where those within a step are
    as its times; the start alone without any.
    """
    lengths = np.cumsum([0.0] + [np.linalg.norm(b - a) for a, b in pairwise([start, *(p.last for p in steps)])])
    points = [start]
    for mark in lengths[-1] * np.arange(1, count if steps else 1) / (count - 1):
        k = min(max(1, int(np.searchsorted(lengths, mark))), len(steps))  # rounding may put the last mark behind all
        piece, part = steps[k - 1], (mark - lengths[k - 1]) / max(lengths[k] - lengths[k - 1], 1e-300)
        points.append(piece.at(piece.begin + part * (piece.end - piece.begin)))
    return points


def first_zero(f: Callable[[float], float], begin: float, end: float) -> float | None:
    """The first zero, within a step, of a function that is positive where it begins; None where `_LOOKS` show none."""
    if not begin < end:
        return None
    times = np.linspace(begin, end, _LOOKS + 1)
    values = [f(time) for time in times]
    for k in range(_LOOKS + 1):
        before, behind = max(k - 1, 0), min(k + 1, _LOOKS)
        if values[k] <= 0:
            return crossing(f, times[before], times[k])
        # It falls no faster than around here: at rest, where a dip is rounding, it does not.
        reach = 2 * float(np.max(np.abs(np.diff(values[max(k - 2, 0) : k + 3]))))
        if values[k] <= min(values[before], values[behind], reach):
            dip = _dip(f, times[before], times[behind])
            if f(dip) <= 0:
                return crossing(f, times[before], dip)
    return None


def _dip(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one dip between two arguments is least, or not positive; by golden sections."""
    share = (np.sqrt(5) - 1) / 2
    inner = [high - share * (high - low), low + share * (high - low)]
    values = [f(time) for time in inner]
    for _ in range(50):  # the dip is then known to 4e-11 of the interval, and its depth to the square
        if min(values) <= 0:
            break
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - share * (high - low)
            values[0] = f(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + share * (high - low)
            values[1] = f(inner[1])
    return float(inner[int(np.argmin(values))])


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
    velocity: Velocity, start: Array, after: float, span: float, first: float, rtol: float, atol: float, most: float
) -> Iterator[Piece]:
    """What is left after a time, by SciPy's LSODA, which takes an implicit method where that is better.

    From the start on all the same: it sees by the fast part of a motion that a flow is stiff, and takes short steps for
    ever where that part has died out before it comes. Its own choice of a first step leaves the domain at once from
    where a flow nearly rests; it begins with order one, so with a small part of what one of order eight can take.
    """
    asked = itertools.count(_MOST_EXPLICIT)

    def counted(_: float, theta: Array) -> Array:
        if next(asked) > most:
            rule = f"the slow flow is not at rest after {most} evaluations: too slow, stiff or singular"
            raise NotApplicable("stationary point", rule)
        return velocity(theta)

    small = 1e-4 * first if 0 < first < np.inf else None
    solver = scipy.integrate.LSODA(counted, 0.0, start, span, first_step=small, rtol=rtol, atol=atol)
    while solver.status == "running":
        before = solver.y.copy()
        message = solver.step()
        if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
            raise NotApplicable("stationary point", f"the slow flow cannot be followed: {message}")
        if solver.t > after:
            yield Piece(max(after, solver.t_old), solver.t, solver.y.copy(), solver.dense_output())
            if np.max(np.abs(solver.y - before)) <= atol and not np.any(velocity(solver.y)):
                yield _rest(solver.t, span, solver.y.copy())
                return
