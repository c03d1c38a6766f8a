"""`Prediction`: what a claim's theory says, under which assumptions, and the rivals that the same data must refute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption, failed_assumption, point_assumptions
from .basins import stationary_points_on_curve
from .claim import Claim, Kind
from .conjecture import make_theory
from .derived import Derived
from .effective import effective
from .errors import NotApplicable
from .flow import SlowFlow, StationaryPoint
from .geometry import LocalGeometry, nearest_zero_loss_point
from .model import Model
from .rivals import Rival, candidates
from .rules import SGD, HeavyBall
from .slow import SlowTheory
from .timescales import Timescales, timescales

__all__ = ["SLOW_TIMES", "Prediction", "Problem", "predict"]

Array = NDArray[np.float64]

# Where a trajectory is compared, in slow time eta lambda k: one unit in all.
SLOW_TIMES = np.arange(1, 9) / 8

# Below this fraction of the natural scale a prediction counts as zero: a relative error of it would mean nothing.
_ZERO = 1e-6


@dataclass(frozen=True)
class Problem:
    """A statistic that is to be measured: everything that a measurement may know.

    Attributes
    ----------
    kind : str
    start : ndarray, shape (d,)
        The zero-loss point nearest to the study's start.
    tangent : ndarray, shape (d, d - rank)
        Tangent basis there.
    scales : Timescales
    horizon : float
        Slow time: one unit for a trajectory; until the flow has settled for a fixed point.
    relaxation : float
        Slow time in which the slow motion forgets; for a fixed point.
    """

    kind: Kind
    start: Array
    tangent: Array
    scales: Timescales
    horizon: float = 0.0
    relaxation: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """What a claim predicts.

    Attributes
    ----------
    claim : Claim
    value : ndarray or None
        In the shape of the statistic, at the study's own noise strength; None when not applicable.
    scale : float
        What a relative error is relative to.
    assumptions : tuple of Assumption
    rivals : tuple of Rival
    problem : Problem or None
    times : ndarray or None
        Trajectory: steps at the study's own strength.
    notes : tuple of str
    """

    claim: Claim
    value: Array | None
    scale: float
    assumptions: tuple[Assumption, ...]
    rivals: tuple[Rival, ...] = ()
    problem: Problem | None = None
    times: Array | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> Assumption | None:
        """The first assumption that does not hold."""
        return next((a for a in self.assumptions if not a.holds), None)


def predict(model: Model, algorithm: Algorithm, claim: Claim, start: Array) -> Prediction:
    """Return what `claim` predicts from `start`, shape (d,); a failed assumption is recorded, not raised.

    Raises
    ------
    InvalidInput
        When algorithm, claim and model do not fit together.
    """
    algorithm.check(model)
    claim.check(model)
    checked: tuple[Assumption, ...] = ()
    try:
        model, algorithm = effective(model, algorithm)
        theta = nearest_zero_loss_point(model, start)
        checked = _assumptions(model, algorithm, claim, theta)
        if not all(a.holds for a in checked):
            return Prediction(claim, None, float("nan"), checked)
        return _Case(model, algorithm, claim, theta, checked).prediction()
    except NotApplicable as error:
        others = tuple(a for a in checked if a.name != error.assumption)
        return Prediction(claim, None, float("nan"), (*others, failed_assumption(error)))


def _assumptions(model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
    checked = list(point_assumptions(model, algorithm, [theta]))
    if not all(a.holds for a in checked):
        return tuple(checked)
    free = model.d - LocalGeometry.at(model, theta).rank
    if claim.kind != "covariance":
        checked.append(Assumption("overparametrized", free > 0, float(free), "Gamma must have a dimension"))
    if claim.theory == "paper":
        known = isinstance(algorithm.update_rule, (SGD, HeavyBall))
        checked.append(Assumption("update rule", known, None, "the paper treats SGD and heavy-ball momentum"))
    if claim.theory in ("paper", "small-lr"):
        sigmas = algorithm.sigmas(model)
        spread = float(np.ptp(sigmas))
        checked.append(Assumption("equal label noise", spread == 0, spread, "the paper has one sigma for all samples"))
    return tuple(checked)


class _Case:
    """One claim at one zero-loss start, all local assumptions holding."""

    def __init__(
        self, model: Model, algorithm: Algorithm, claim: Claim, theta: Array, checked: tuple[Assumption, ...]
    ) -> None:
        self.model, self.algorithm, self.claim, self.theta = model, algorithm, claim, theta
        self.checked = checked
        self.theory = make_theory(model, algorithm, claim)
        self.derived = Derived(model, algorithm)
        self.local = LocalGeometry.at(model, theta)
        self.extra: list[Assumption] = []
        self.notes: list[str] = []
        self.ends: dict[str, StationaryPoint] = {}

    def prediction(self) -> Prediction:
        kind = self.claim.kind
        value = self.value(self.theory, own=True)
        visited, horizon, relaxation = self._visited()
        scales = timescales(self.model, self.algorithm, visited)
        problem = Problem(kind, self.theta, self.local.tangent, scales, horizon, relaxation)
        scale, note = self._scale(value)
        self.notes += [note] if note else []
        assumptions = self._merged(visited)
        applicable = all(a.holds for a in assumptions)
        rivals = self._rivals(value, scale) if applicable else ()
        times = SLOW_TIMES / (self.theory.rate * self.theory.strength) if kind == "trajectory" else None
        shown = value if applicable else None
        return Prediction(self.claim, shown, scale, assumptions, rivals, problem, times, tuple(self.notes))

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """The statistic by `theory` with lambda multiplied by `speed`."""
        kind = self.claim.kind
        if kind == "covariance":
            s = theory.covariance(self.local)
            if s is None:
                raise NotApplicable("prediction", f"{theory.name} names no covariance")
            return speed * s
        if kind == "drift":
            return speed * theory.drift(self.local)
        if kind == "trajectory":
            return SlowFlow(theory).path(self.theta, speed * SLOW_TIMES)
        point = self._end(theory)
        if own or point.stability == "unstable":
            self._stability(point.rates, point.stability, own)
        if own and self.local.tangent.shape[1] == 1:
            self._count_basins(SlowFlow(theory))
        return point.theta

    def _end(self, theory: SlowTheory) -> StationaryPoint:
        """Where the flow of `theory` ends; followed once, also where a claim, a rival and the horizon ask for it."""
        if theory.name not in self.ends:
            self.ends[theory.name] = SlowFlow(theory).stationary_point(self.theta)
        return self.ends[theory.name]

    def _count_basins(self, flow: SlowFlow) -> None:
        try:
            basins = stationary_points_on_curve(flow, self.theta).basins
        except NotApplicable:
            # Elsewhere on the curve the theory has no value: that says nothing about the end that was reached.
            return
        if basins > 1:
            self.notes.append(f"the zero-loss curve has {basins} stable points: the end depends on the start")

    def _stability(self, rates: NDArray[np.complex128], stability: str, own: bool) -> None:
        largest = float(rates.real.max(initial=-np.inf))
        rule = "no rate of the slow flow at the stationary point may be positive"
        if not own:
            raise NotApplicable("stability of the stationary point", rule)
        value = largest if np.isfinite(largest) else None
        self.extra.append(Assumption("stability of the stationary point", stability != "unstable", value, rule))
        if stability == "neutral":
            self.notes.append("the stationary point is not isolated (a symmetry of the model); the flow selects it")

    def _visited(self) -> tuple[Array, float, float]:
        """Zero-loss points that the run passes, its slow time, and the slow relaxation time."""
        if self.claim.kind in ("drift", "covariance"):
            return self.theta[None], 0.0, 0.0
        flow = SlowFlow(self.derived)
        if self.claim.kind == "trajectory":
            return np.vstack([self.theta[None], flow.path(self.theta, SLOW_TIMES)]), 1.0, 1.0
        point = self._end(self.derived)
        if point.stability == "unstable":
            self._stability(point.rates, point.stability, own=False)
        rate = point.relaxation_rate
        relaxation = 1.0 / rate if np.isfinite(rate) else 1.0
        # Ten relaxation times when the start is the end already: the ensemble must still spread.
        horizon = max(point.settling_time, 10 * relaxation)
        passed = flow.path(self.theta, horizon * np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0]))
        return np.vstack([passed, point.theta]), horizon, relaxation

    def _merged(self, visited: Array) -> tuple[Assumption, ...]:
        along = {a.name: a for a in point_assumptions(self.model, self.algorithm, visited)}
        return (*(along.get(a.name, a) for a in self.checked), *self.extra)

    def _scale(self, value: Array) -> tuple[float, str]:
        """Norm of the prediction; distance from the start for a fixed point; the natural scale, and why, when zero."""
        kind = self.claim.kind
        if kind == "fixed-point":
            distance = float(np.linalg.norm(value - self.theta))
            size = float(np.linalg.norm(value))
            if distance > _ZERO * (1 + size):
                return distance, ""
            return size if size > 0 else 1.0, "the start is the prediction; the error is relative to its norm"
        norm = float(np.linalg.norm(value))
        natural, rounding = self._natural_scale()
        if norm > max(_ZERO * natural, rounding):
            return norm, ""
        if natural <= rounding:
            raise NotApplicable("nonzero prediction", "the predicted and the natural scale are zero: nothing moves")
        derived = float(np.linalg.norm(self.value(self.derived)))
        used = derived if derived > _ZERO * natural else natural
        return used, f"the prediction is zero; the error is relative to {used:.3g}, the scale of the derived theory"

    def _natural_scale(self) -> tuple[float, float]:
        """Size of the statistic before the projection on Gamma, by the derived theory, and the size of its rounding."""
        s = self.derived.covariance(self.local)
        if self.claim.kind == "covariance":
            return float(np.linalg.norm(s)), 0.0
        if self.claim.kind == "drift":
            half = 0.5 * self.theory.rate
            # D3L[S] is a sum of products of these; where they cancel, the curvature does not change along S.
            terms = np.linalg.norm(self.local.second) * np.linalg.norm(self.local.jacobian) * np.linalg.norm(s)
            return half * float(np.linalg.norm(self.local.third(s))), 1e-12 * half * float(terms) / self.model.n
        return 1.0, 0.0

    def _rivals(self, value: Array, scale: float) -> tuple[Rival, ...]:
        computed: list[tuple[str, Callable[[], Array]]] = [
            (name, lambda m=make, s=speed: self.value(m(), speed=s))  # type: ignore[misc]
            for name, make, speed in candidates(self.model, self.algorithm, self.theory)
        ]
        computed.append(("stays at start", lambda: self._stays(value)))
        rivals = []
        for name, compute in computed:
            try:
                other = compute()
            except NotApplicable as error:
                rivals.append(Rival(name, None, float("nan"), float("nan"), str(error)))
                continue
            own = self._scale(other)[0]
            if name == "stays at start":
                # It has no way of its own to measure by.
                own = scale if self.claim.kind == "fixed-point" else min(own, scale)
            distance = self._apart(other, value, min(scale, own))
            # The same formula under another name is no rival.
            if distance > 1e-9 or name in ("lambda x 2", "stays at start"):
                rivals.append(Rival(name, other, own, distance))
        return tuple(rivals)

    def _apart(self, other: Array, value: Array, scale: float) -> float:
        """The error of `other` if `value` is the truth, as a verdict takes it: along the prediction or across it."""
        origin = self.theta if self.claim.kind == "fixed-point" else np.zeros(1)
        error, direction = (value - other).ravel() / scale, (other - origin).ravel()
        unit = direction / max(float(np.linalg.norm(direction)), 1e-300)
        along = float(unit @ error)
        return max(abs(along), float(np.linalg.norm(error - along * unit)))

    def _stays(self, value: Array) -> Array:
        return (
            np.broadcast_to(self.theta, value.shape) if self.claim.kind in ("trajectory", "fixed-point") else 0 * value
        )
