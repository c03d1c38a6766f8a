"""`Statement`: how one kind of claim predicts its statistic, and which rivals the same data must refute.

A kind of claim is a subclass: what a theory says of the statistic, what a relative error of it is relative to, and
where the run passes. Everything else, the assumptions, the rivals and how far they are, is the same for all kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption, point_assumptions
from .claim import Claim
from .conjecture import make_theory
from .derived import Derived
from .errors import NotApplicable
from .geometry import LocalGeometry
from .model import Model
from .problem import Prediction, Problem
from .rivals import Rival, candidates, rival_names
from .rules import SGD, HeavyBall
from .slow import Paper, SlowTheory, shared_theory
from .timescales import timescales

__all__ = ["ZERO", "Statement"]

Array = NDArray[np.float64]

# Below this fraction of the natural scale a prediction counts as zero: a relative error of it would mean nothing.
ZERO = 1e-6
# A rival that has no theory, and no way of its own to measure by.
_STAYS = "stays at start"


class Statement(ABC):
    """One claim at one zero-loss start, all local assumptions holding.

    Parameters
    ----------
    model, algorithm
        With a square loss (`effective`).
    claim : Claim
    theta : ndarray, shape (d,)
        The zero-loss point nearest to the study's start.
    checked : tuple of Assumption
        What holds there, from `assumptions`.
    """

    # Whether the statistic is one of the motion along Gamma, which must then have a dimension.
    along_gamma = True
    # The derived theory, which says what noise is allowed.
    derived_theory: type[Derived] = Derived

    def __init__(
        self, model: Model, algorithm: Algorithm, claim: Claim, theta: Array, checked: tuple[Assumption, ...]
    ) -> None:
        self.model, self.algorithm, self.claim, self.theta = model, algorithm, claim, theta
        self.checked = checked
        self.theory = make_theory(model, algorithm, claim)
        self.derived = shared_theory(self.derived_theory, model, algorithm)
        self.local = LocalGeometry.at(model, theta)
        self.extra: list[Assumption] = []
        self.notes: list[str] = []

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """What must hold at the start before anything is predicted."""
        checked = list(point_assumptions(model, algorithm, [theta], cls.derived_theory))
        if not all(a.holds for a in checked):
            return tuple(checked)
        free = model.d - LocalGeometry.at(model, theta).rank
        if cls.along_gamma:
            checked.append(Assumption("overparametrized", free > 0, float(free), "Gamma must have a dimension"))
        if claim.theory == "paper":
            known = isinstance(algorithm.update_rule, (SGD, HeavyBall))
            checked.append(Assumption("update rule", known, None, "the paper treats SGD and heavy-ball momentum"))
        if claim.theory in ("paper", "small-lr"):
            spread = float(np.ptp(algorithm.sigmas(model)))
            rule = "the paper has one sigma for all samples"
            checked.append(Assumption("equal label noise", spread == 0, spread, rule))
        return tuple(checked)

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """How many rivals `rivals` gives at most: each is a comparison with data that could be wrong."""
        return sum(name != claim.theory for name in rival_names(algorithm))

    def prediction(self) -> Prediction:
        """Everything that the claim predicts."""
        value = self.value(self.theory, own=True)
        visited, horizon, relaxation = self.visited()
        problem = self.problem(visited, horizon, relaxation)
        scale, note = self.finite_scale(value)
        self.notes += [note] if note else []
        assumptions = self._merged(visited)
        applicable = all(a.holds for a in assumptions)
        return Prediction(
            self.claim,
            value if applicable else None,
            scale,
            assumptions,
            problem,
            self.origin(value),
            self.times(),
            self.labels(),
            bool(self.claim.settings.get("bound")),
            compare=lambda: self.rivals(value, scale) if applicable else (),
            remark=lambda: (*self.notes, *self.remarks()),
        )

    @abstractmethod
    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """The statistic by `theory` with lambda multiplied by `speed`; `own`: for the claim itself, not for a rival."""

    def remarks(self) -> tuple[str, ...]:
        """Notes for which no measurement should wait."""
        return ()

    def parameter_names(self) -> tuple[str, ...]:
        """Of theta_1..theta_d."""
        return tuple(p.name for p in self.model.parameters)

    def visited(self) -> tuple[Array, float, float]:
        """Zero-loss points that the run passes, shape (k, d), its slow time, and the slow relaxation time."""
        return self.theta[None], 0.0, 0.0

    def problem(self, visited: Array, horizon: float, relaxation: float) -> Problem:
        """What a measurement may know."""
        scales = timescales(self.model, self.algorithm, visited, self.derived_theory)
        claim, given = self.claim, self.given()
        author = claim.author if given else ""
        tangent = self.local.tangent
        return Problem(claim.kind, self.begin, tangent, scales, horizon, relaxation, claim.settings, given, author)

    @property
    def motion(self) -> SlowTheory:
        """Whose flow passes where a run does: the derived theory, or the claim's where it says the same motion."""
        same = isinstance(self.theory, Paper) and self.derived.has_regularizer
        return self.theory if same else self.derived

    @property
    def begin(self) -> Array:
        """Where a run starts, shape (d,)."""
        return self.theta

    def given(self) -> Mapping[str, Array]:
        """What the statistic is about beside the start: a path or an end of the claim's theory."""
        return {}

    def origin(self, value: Array) -> Array:
        """Where the predicted direction begins, in the shape of the statistic."""
        return np.zeros_like(value)

    def times(self) -> Array | None:
        """Steps at which a path is compared, at the study's own strength."""
        return None

    def labels(self) -> tuple[str, ...]:
        """Names of the components of a vector; none where tables show its norm."""
        return ()

    def finite_scale(self, value: Array) -> tuple[float, str]:
        """`scale`; a prediction that overflows would make every error zero.

        Raises
        ------
        NotApplicable
            When value or scale is not finite.
        """
        scale, note = self.scale(value)
        if not np.isfinite(scale) or not np.isfinite(value).all():
            raise NotApplicable("finite prediction", "it overflows, and no error is relative to it")
        return scale, note

    def scale(self, value: Array) -> tuple[float, str]:
        """What an error of `value` is relative to: its norm, or the natural scale, and why, when it is zero."""
        norm = float(np.linalg.norm(value))
        natural, rounding = self.natural_scale()
        if norm > max(ZERO * natural, rounding):
            return norm, ""
        if natural <= rounding:
            raise NotApplicable("nonzero prediction", "the predicted and the natural scale are zero: nothing moves")
        derived = float(np.linalg.norm(self.value(self.derived)))
        used = derived if derived > ZERO * natural else natural
        return used, f"the prediction is zero; the error is relative to {used:.3g}, the scale of the derived theory"

    def natural_scale(self) -> tuple[float, float]:
        """Size that the statistic would have if nothing cancelled, by the derived theory, and that of its rounding."""
        return 1.0, 0.0

    def rivals(self, value: Array, scale: float) -> tuple[Rival, ...]:
        """Who else predicts the statistic."""
        computed: list[tuple[str, Callable[[], Array]]] = [
            (name, lambda m=make, s=speed: self.value(m(), speed=s))  # type: ignore[misc]
            for name, make, speed in self.candidates()
        ]
        rivals = []
        for name, compute in computed + self.others(value):
            try:
                other = compute()
                own = self.scale_of_staying(other, scale) if name == _STAYS else self.finite_scale(other)[0]
            except NotApplicable as error:
                rivals.append(Rival(name, None, float("nan"), float("nan"), str(error)))
                continue
            distance = self.apart(other, value, min(scale, own))
            # The same formula under another name is no rival.
            if distance > 1e-9 or name in ("lambda x 2", _STAYS):
                rivals.append(Rival(name, other, own, distance))
        return tuple(rivals)

    def candidates(self) -> Iterator[tuple[str, Callable[[], SlowTheory], float]]:
        """Rivals that have a theory; see `flatmin.theory.rivals.candidates`."""
        return candidates(self.model, self.algorithm, self.theory)

    def others(self, value: Array) -> list[tuple[str, Callable[[], Array]]]:
        """Rivals that have none."""
        return [(_STAYS, lambda: self.stays(value))]

    def stays(self, value: Array) -> Array:
        """The statistic of an algorithm that does not leave the start."""
        return 0 * value

    def scale_of_staying(self, other: Array, scale: float) -> float:
        """What an error of the rival that stays is relative to: it has no way of its own to measure by."""
        return min(self.scale(other)[0], scale)

    def apart(self, other: Array, value: Array, scale: float) -> float:
        """The error of `other` if `value` is the truth, as a verdict takes it: along the prediction or across it."""
        error, direction = (value - other).ravel() / scale, (other - self.origin(value)).ravel()
        unit = direction / max(float(np.linalg.norm(direction)), 1e-300)
        along = float(unit @ error)
        return max(abs(along), float(np.linalg.norm(error - along * unit)))

    def _merged(self, visited: Array) -> tuple[Assumption, ...]:
        found = point_assumptions(self.model, self.algorithm, visited, self.derived_theory)
        along = {a.name: a for a in found}
        return (*(along.get(a.name, a) for a in self.checked), *self.extra)
