"""Where the slow flow of each theory ends when it begins at the study's start: numeric, beside the certified roots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import point_assumptions
from .derived import Derived
from .errors import NotApplicable
from .flow import SlowFlow, StationaryPoint
from .geometry import nearest_zero_loss_point
from .model import Model
from .slow import Paper, SlowTheory, SmallLearningRate
from .timelimit import Budget

__all__ = ["End", "Reached", "reached"]

Array = NDArray[np.float64]

_SECONDS = 4.0  # for each theory
_COINCIDE = 1e-8
# The ends of two flows are known to about 1e-9 of their size; the finite batch moves them by far more than this.
_DIFFER = 1e-6


@dataclass(frozen=True)
class End:
    """Where the slow flow of one theory ends.

    Attributes
    ----------
    theory : str
    point : StationaryPoint or None
    reason : str
        Why there is no point, or "".
    root : str
        The certified stationary point of the paper's R that `point` coincides with to 1e-8, or "".
    certified : bool
        Whether that certificate is one of this theory's stationary point: its drift is along -grad R.
    """

    theory: str
    point: StationaryPoint | None
    reason: str = ""
    root: str = ""
    certified: bool = False


@dataclass(frozen=True)
class Reached:
    """The ends of the slow flows from one start.

    Attributes
    ----------
    begin : ndarray or None
        The zero-loss point nearest to the start.
    reason : str
        Why no flow was followed, or "".
    ends : tuple of End
        By the derived theory, the paper's and that of small learning rates.
    distance : float or None
        Between the ends by the derived theory and the paper's; None when they agree or one is missing.
    """

    begin: Array | None
    reason: str = ""
    ends: tuple[End, ...] = ()
    distance: float | None = None

    def lines(self, names: Sequence[str]) -> Iterator[str]:
        """The section's text."""
        if self.reason:
            yield f"No flow was followed: {self.reason}."
            return
        yield (
            "Numeric: the slow flow is integrated from the zero-loss point nearest to the start and refined by Newton's"
            " method. Rates are per unit of slow time eta lambda k (k: steps)."
        )
        yield f"Nearest zero-loss point: {_coordinates(names, self.begin)}."
        for end in self.ends:
            if end.point is None:
                yield f"- {end.theory}: none: {end.reason}."
            else:
                yield f"- {end.theory}: {_kind(end.point)}; {_proof(end)}: {_coordinates(names, end.point.theta)}."
        if self.distance is not None:
            yield (
                f"The ends by derived and by paper are {self.distance:.3g} apart: the finite batch, which the paper's R"
                " leaves out, moves the end."
            )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "begin": None if self.begin is None else [float(v) for v in self.begin],
            "reason": self.reason,
            "ends": [_end(e) for e in self.ends],
            "distance": self.distance,
        }


def reached(
    model: Model, algorithm: Algorithm, start: Array, certified: Sequence[tuple[str, Array]], seconds: float = _SECONDS
) -> Reached:
    """Follow the slow flow of each theory from `start`, shape (d,), to its stationary point.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    start : ndarray, shape (d,)
    certified : sequence of (str, ndarray)
        Name and place of the certified stationary points of the paper's R.
    seconds : float
        Wall time for each theory, and for the zero-loss point.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1; the derived theory: `flatmin.theory.slow.Derived`.
    """
    begin, reason = _limited(seconds, _begin, model, algorithm, start)
    if begin is None:
        return Reached(None, reason)
    derived = Derived(model, algorithm)
    theories: tuple[SlowTheory, ...] = (derived, Paper(model, algorithm), SmallLearningRate(model, algorithm))
    ends = []
    for theory in theories:
        if theory.needs_equal_sigma and not algorithm.homoscedastic(model):
            ends.append(End(theory.name, None, "it needs equal sigma for all samples, and here they differ"))
            continue
        point, reason = _limited(seconds, _end_of_flow, theory, begin)
        name = "" if point is None else _same(point.theta, certified)
        along_paper = isinstance(theory, Paper) or (theory is derived and derived.has_regularizer)
        ends.append(End(theory.name, point, reason, name, bool(name) and along_paper))
    own, paper = ends[0].point, ends[1].point
    distance = None
    if own is not None and paper is not None and not derived.has_regularizer:
        apart = float(np.linalg.norm(own.theta - paper.theta))
        distance = apart if apart > _DIFFER * (1 + float(np.linalg.norm(own.theta))) else None
    return Reached(begin, "", tuple(ends), distance)


def _limited(seconds: float, function: Any, *args: Any) -> tuple[Any, str]:
    """The value, or None and the reason."""

    def attempt() -> tuple[Any, str]:
        try:
            with np.errstate(all="ignore"):  # an overflow ends in an exception, not in warnings
                return function(*args), ""
        except (NotApplicable, ValueError, ArithmeticError) as error:
            return None, str(error)

    budget = Budget(seconds)
    found = budget.attempt("flow", seconds, attempt)
    if found is not None:
        return found
    note = "".join(budget.skipped).removeprefix("flow: ")
    return None, "not followed in the time for it" if note.startswith("not finished") else note


def _begin(model: Model, algorithm: Algorithm, start: Array) -> Array:
    theta = nearest_zero_loss_point(model, start)
    _check(model, algorithm, theta, "")
    return theta


def _end_of_flow(theory: SlowTheory, begin: Array) -> StationaryPoint:
    point = SlowFlow(theory).stationary_point(begin)
    _check(theory.model, theory.algorithm, point.theta, " where the flow ends")
    return point


def _check(model: Model, algorithm: Algorithm, theta: Array, where: str) -> None:
    failed = next((a for a in point_assumptions(model, algorithm, [theta]) if not a.holds), None)
    if failed is not None:
        raise NotApplicable(failed.name + where, failed.rule)


def _same(theta: Array, certified: Sequence[tuple[str, Array]]) -> str:
    near = [(float(np.max(np.abs(theta - other))), name) for name, other in certified]
    distance, name = min(near, key=lambda pair: pair[0], default=(np.inf, ""))
    return name if distance <= _COINCIDE else ""


def _coordinates(names: Sequence[str], theta: Array | None) -> str:
    values = np.zeros(len(names)) if theta is None else np.where(np.abs(theta) < 1e-13, 0.0, theta)
    return ", ".join(f"{name} = {value:.12g}" for name, value in zip(names, values))


def _kind(point: StationaryPoint) -> str:
    if not point.rates.size:
        return "stable, without slow directions"
    neutral = "neutral (one of a family of stationary points; the flow selects it)"
    kind = neutral if point.stability == "neutral" else point.stability
    growth, rate = float(point.rates.real.max()), point.relaxation_rate
    grows = f", grows at rate {growth:.6g}" if point.stability == "unstable" else ""
    return kind + grows + (f", slowest rate {rate:.6g}" if np.isfinite(rate) else "")


def _proof(end: End) -> str:
    if end.certified:
        return f"it is {end.root} above to 1e-8, which is certified"
    return "not certified" + (f" for this theory, but within 1e-8 of {end.root} above" if end.root else "")


def _end(end: End) -> dict[str, Any]:
    point = end.point
    rate = None if point is None else point.relaxation_rate
    return {
        "theory": end.theory,
        "theta": None if point is None else [float(v) for v in point.theta],
        "stability": None if point is None else point.stability,
        "rates": None if point is None else [[float(z.real), float(z.imag)] for z in point.rates],
        "slowest_rate": rate if rate is not None and np.isfinite(rate) else None,
        "reason": end.reason,
        "coincides_with": end.root,
        "certified": end.certified,
    }
