"""The slow flow along Gamma, its stationary points, and how stable they are.

Slow time is t = eta lambda k (k: steps), so that the flow d theta/dt = velocity(theta) does not depend on lambda.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import NoInterpolation, NotApplicable
from .geometry import LocalGeometry, retract
from .integration import Course, Piece, first_zero, pieces, spread
from .slow import SlowTheory

__all__ = ["SETTLED", "SlowFlow", "StationaryPoint", "ending"]

Array = NDArray[np.float64]

# A flow has settled when this part of its way is left.
SETTLED = 1e-5
# The flow may take this many units of slow time to come to rest.
_LONGEST = 1e5
# Flows are followed no longer than this.
_NO_END = 1e30
# Farther than this from the start, in units of its size, counts as infinity.
_FARTHEST = 1e6
# A stretch of the flow takes hundreds of evaluations; near a singularity the integrator would never end.
_MAX_EVALUATIONS = 25_000
# So many points of the way to a stationary point are kept.
_PASSED = 8
# A stationary point so near, in units of its size, is the end of the flow.
_NEAR = 1e-5
# Rates below this fraction of the largest count as zero: a family of stationary points, from a symmetry of the model.
# Finite differences of the velocity carry 1e-9 of it.
_NEUTRAL = 1e-6


@dataclass(frozen=True)
class StationaryPoint:
    """A zero of the slow velocity on Gamma.

    Attributes
    ----------
    theta : ndarray, shape (d,)
    rates : ndarray of complex, shape (d - rank,)
        Eigenvalues of the linearised slow flow along Gamma, per unit of slow time, by real part, descending.
    stability : {"stable", "neutral", "unstable"}
        "neutral": some rates are zero and none is positive; the point belongs to a family.
    settling_time : float
        Slow time that the flow from the start needs to come within `SETTLED` of the way to it; NaN when it was not
        followed.
    passed : ndarray, shape (k, d)
        Some points of the flow on its way from the start; none when it was not followed.
    """

    theta: Array
    rates: NDArray[np.complex128]
    stability: Literal["stable", "neutral", "unstable"]
    settling_time: float = float("nan")
    passed: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def relaxation_rate(self) -> float:
        """Slowest nonzero rate at which the flow comes to rest, per unit of slow time; inf without slow directions."""
        real = -self.rates.real
        kept = real[real > _NEUTRAL * max(float(np.max(np.abs(self.rates), initial=0.0)), 1e-300)]
        return float(kept.min()) if kept.size else float("inf")


@lru_cache(maxsize=64)
def _ending(theory: SlowTheory, start: tuple[float, ...]) -> StationaryPoint:
    point = SlowFlow(theory).stationary_point(np.array(start))
    for array in (point.theta, point.rates, point.passed):
        array.flags.writeable = False
    return point


def ending(theory: SlowTheory, start: Array) -> StationaryPoint:
    """`SlowFlow.stationary_point`, found once for all claims of a study that ask for it."""
    return _ending(theory, tuple(map(float, start)))


@lru_cache(maxsize=8)
def _course(theory: SlowTheory, start: tuple[float, ...]) -> Course:
    """The flow from a start, followed once for all paths, passages and ends."""
    return Course(lambda: SlowFlow(theory).integrate(np.array(start)))


def _rests(velocity: Array, theta: Array) -> bool:
    """Whether a velocity is so small that it is taken for rounding."""
    return float(np.linalg.norm(velocity)) <= 1e-13 * (1 + float(np.linalg.norm(theta)))


class SlowFlow:
    """The flow d theta/dt = velocity(theta) of a `SlowTheory`, kept on Gamma.

    Parameters
    ----------
    theory : SlowTheory
    """

    def __init__(self, theory: SlowTheory) -> None:
        self.theory = theory
        self.model = theory.model

    def velocity(self, theta: Array) -> Array:
        """Velocity at the zero-loss point `theta`, shape (d,); raises `NotApplicable` outside the theory's domain."""
        local = LocalGeometry.at(self.model, theta)
        return self.theory.velocity(local)

    def path(self, start: Array, times: Array) -> Array:
        """Positions at the increasing slow `times`, shape (len(times), d), from the zero-loss point `start`.

        Raises
        ------
        NotApplicable
            When the flow leaves the theory's domain: the learning rate's limit, a lost rank, infinity.
        """
        times = np.asarray(times, dtype=np.float64)
        out = np.tile(np.asarray(start, dtype=np.float64), (len(times), 1))
        later, where = np.unique(times[times > 0], return_inverse=True)
        if later.size:
            met = [
                self._on_gamma(piece.at(t))
                for piece in self.steps(start, float(later[-1]))
                for t in later[(later > piece.begin) & (later <= piece.end)]
            ]
            out[times > 0] = np.array(met)[where]
        return out

    def steps(self, start: Array, time: float) -> Iterator[Piece]:
        """Steps of the flow from `start` until one that holds a slow time; off Gamma by the integrator's error."""
        if not time <= _NO_END:
            raise NotApplicable("slow time", f"{time:g} is longer than any flow is followed")
        for piece in _course(self.theory, tuple(map(float, start))):
            yield piece
            if piece.end >= time:
                return

    def stationary_point(self, start: Array) -> StationaryPoint:
        """The stationary point that the flow from `start` comes to.

        Raises
        ------
        NotApplicable
            When it leaves the theory's domain or comes to no rest.
        """
        for now, theta, followed in self._looks(start):
            if _rests(self.velocity(theta), theta):
                point, settled = self.classify(theta), now
            elif captor := self._captor(theta):
                point, settled = captor, self._settling_time(start, now, theta, captor)
            else:
                continue
            passed = [self._on_gamma(theta) for theta in spread(start, followed, _PASSED)]
            return replace(point, settling_time=settled, passed=np.array(passed))
        raise NotApplicable("stationary point", f"the slow flow from the start has not come to rest at t={now:.3g}")

    def first_passage(self, start: Array, distance: Callable[[Array], float], longest: float) -> float | None:
        """The slow time at which `distance` first falls to zero along the flow from `start`; None before `longest`.

        Raises
        ------
        NotApplicable
            When the flow leaves the theory's domain.
        """
        if distance(start) <= 0:
            return 0.0
        for piece in self.steps(start, longest):
            met = first_zero(lambda t, at=piece.at: distance(at(t)), piece.begin, min(piece.end, longest))  # type: ignore[misc]
            if met is not None:
                return met
        return None

    def classify(self, theta: Array) -> StationaryPoint:
        """The stationary point at `theta` with its rates."""
        _, _, derivative = self._chart(theta)
        rates = np.linalg.eigvals(derivative) if derivative.size else np.zeros(0)
        rates = np.asarray(sorted(rates, key=lambda z: -z.real), dtype=np.complex128)
        scale = max(float(np.max(np.abs(rates), initial=0.0)), 1e-300)
        largest = float(rates.real.max(initial=-np.inf))
        if largest > _NEUTRAL * scale:
            stability: Literal["stable", "neutral", "unstable"] = "unstable"
        else:
            stability = "neutral" if largest > -_NEUTRAL * scale else "stable"
        return StationaryPoint(theta, rates, stability)

    def stationary_point_near(self, theta: Array) -> StationaryPoint | None:
        """The stationary point to which Newton's steps from `theta` lead, of whatever stability; None without one."""
        found = self._newton(theta, reach=0.2)
        return None if found is None else self.classify(found)

    def linearized(self, theta: Array) -> tuple[Array, Array]:
        """Tangent basis T at `theta`, shape (d, m), and the derivative of the flow in its coordinates, shape (m, m)."""
        tangent, _, derivative = self._chart(theta)
        return tangent, derivative

    def _looks(self, start: Array) -> Iterator[tuple[float, Array, list[Piece]]]:
        """Slow times at which the flow from `start` is looked at, where on Gamma it is then, and its steps so far."""
        followed: list[Piece] = []
        yield 0.0, start, followed
        now, span = 0.5, 0.5
        for piece in self.steps(start, 2 * _LONGEST):
            followed.append(piece)
            while now <= piece.end:
                theta = self._on_gamma(piece.at(now))
                if np.linalg.norm(theta) > _FARTHEST * (1 + np.linalg.norm(start)):
                    raise NotApplicable("stationary point", "the slow flow runs to infinity")
                yield now, theta, followed
                if now > _LONGEST:
                    return
                span *= 1.5
                now += span

    def _on_gamma(self, theta: Array) -> Array:
        try:
            return retract(self.model, theta)
        except NoInterpolation as error:
            raise NotApplicable("rank of the Jacobian", f"the slow flow reaches a singular point: {error}") from None

    def integrate(self, start: Array) -> Iterator[Piece]:
        """The flow from `start`, step by step for as long as it may take."""
        size = 1 + float(np.linalg.norm(start))

        def velocity(theta: Array) -> Array:
            # Off Gamma by the integrator's error only; the retraction of what is looked at takes that away.
            if np.linalg.norm(theta) > _FARTHEST * size:
                raise NotApplicable("stationary point", "the slow flow runs to infinity")
            found = self.velocity(theta)
            # Steps as long as rounding allows would make something of it.
            return 0 * found if _rests(found, theta) else found

        return pieces(velocity, start, _NO_END, rtol=1e-9, atol=1e-11 * size, most=_MAX_EVALUATIONS)

    def _chart(self, theta: Array) -> tuple[Array, Array, Array]:
        """Tangent basis T, T^T velocity and its derivative along T by central differences."""
        local = LocalGeometry.at(self.model, theta)
        tangent = local.tangent
        here = tangent.T @ self.theory.velocity(local)
        h = 1e-5 * (1 + float(np.linalg.norm(theta)))
        columns = []
        for direction in tangent.T:
            ahead, behind = (tangent.T @ self.velocity(retract(self.model, theta + s * h * direction)) for s in (1, -1))
            columns.append((ahead - behind) / (2 * h))
        derivative = np.array(columns).T if columns else np.zeros((0, 0))
        return tangent, here, derivative

    def _newton(self, theta: Array, reach: float) -> Array | None:
        """Newton steps on the velocity, none longer than `reach` times the size; None when they do not converge."""
        size = 1 + float(np.linalg.norm(theta))
        try:
            for _ in range(25):
                tangent, value, derivative = self._chart(theta)
                # Directions of a symmetry have no restoring rate: the least-norm step leaves them alone.
                step = -tangent @ np.linalg.lstsq(derivative, value, rcond=_NEUTRAL)[0]
                if np.linalg.norm(step) > reach * size:
                    return None
                theta = retract(self.model, theta + step)
                if np.linalg.norm(step) <= 1e-11 * size:
                    # A direction that is only slow was left alone too: there the velocity is not zero.
                    still = 1e-9 * float(np.max(np.abs(derivative), initial=0.0)) * size
                    return theta if np.linalg.norm(self.velocity(theta)) <= still else None
        except (NotApplicable, np.linalg.LinAlgError):
            return None
        return None

    def _captor(self, theta: Array) -> StationaryPoint | None:
        """The point in which the flow from `theta` ends, once that is near, and not unstable unless already there."""
        # A longer step leads farther than what counts as near: the second corrects it by its square.
        found = self._newton(theta, reach=10 * _NEAR)
        if found is None:
            return None
        # Of a family of stationary points Newton's steps pick another member than the flow, by the square of this.
        distance = float(np.linalg.norm(found - theta))
        if distance > _NEAR * (1 + float(np.linalg.norm(found))):
            return None
        point = self.classify(found)
        there = distance <= 1e-12 * (1 + float(np.linalg.norm(found)))
        return point if there or point.stability != "unstable" else None

    def _settling_time(self, start: Array, last_time: float, last: Array, point: StationaryPoint) -> float:
        """Slow time to come within `SETTLED` of the distance from `start`, when the flow was followed to `last`."""
        whole = float(np.linalg.norm(start - point.theta))
        if whole == 0:
            return 0.0
        # From the last point that was followed on, the linearised flow decays at the slowest rate.
        remaining = float(np.linalg.norm(last - point.theta)) / whole
        return last_time + max(0.0, float(np.log(max(remaining, 1e-300) / SETTLED))) / point.relaxation_rate
