"""`Verdict`: the decision on one claim with all its numbers, as an object, a line of text and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatmin.theory.assumptions import Assumption
from flatmin.theory.claim import Claim
from numpy.typing import NDArray

from .decide import VerdictName

__all__ = ["RivalVerdict", "Verdict", "plain"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RivalVerdict:
    """What the same data say of another prediction.

    Attributes
    ----------
    theory : str
    predicted : ndarray or None
    verdict : str
    distinguishable : bool
        Whether it differs from the claim's prediction by more than the margin.
    reason : str
        Why it is not applicable.
    """

    theory: str
    predicted: Array | None
    verdict: VerdictName
    distinguishable: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """The decision on one claim.

    Attributes
    ----------
    claim : Claim
    parameters : tuple of str
        Names of theta_1..theta_d.
    verdict : {"supported", "refuted", "inconclusive", "not-applicable"}
    reason : str
        Why, in words, when it is neither supported nor refuted.
    predicted, measured, standard_error : ndarray or None
        In the shape of the statistic, at the study's own noise strength.
    relative_error : float
    interval : tuple of float or None
    margin, confidence : float
    assumptions : tuple of Assumption
    rivals : tuple of RivalVerdict
    replica_steps : int
    seconds : float
    strengths : tuple of float
        lambda on the ladder.
    times : ndarray or None
        Trajectory: steps.
    notes : tuple of str
    """

    claim: Claim
    parameters: tuple[str, ...]
    verdict: VerdictName
    reason: str
    predicted: Array | None
    measured: Array | None
    standard_error: Array | None
    relative_error: float
    interval: tuple[float, float] | None
    margin: float
    confidence: float
    assumptions: tuple[Assumption, ...]
    rivals: tuple[RivalVerdict, ...] = ()
    replica_steps: int = 0
    seconds: float = 0.0
    strengths: tuple[float, ...] = ()
    times: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def indistinguishable(self) -> tuple[str, ...]:
        """Rivals that predict the same within the margin, so that no data at this margin tell them apart."""
        return tuple(r.theory for r in self.rivals if not r.distinguishable and r.predicted is not None)

    def __str__(self) -> str:
        text = f"{self.verdict}: {self.claim.title}"
        if self.verdict == "not-applicable" or self.predicted is None:
            return f"{text}: {self.reason}"
        if self.measured is not None and self.standard_error is not None:
            text += f": {self._values()}"
        if self.interval is not None:
            low, high = (100 * v for v in self.interval)
            text += f"; error in [{low:+.3g}, {high:+.3g}] % at confidence {self.confidence:g}"
            text += f", margin {100 * self.margin:g} %"
        return f"{text}; {self.reason}" if self.reason else text

    __repr__ = __str__

    def _values(self) -> str:
        assert self.predicted is not None
        assert self.measured is not None
        assert self.standard_error is not None
        if self.claim.kind in ("fixed-point", "drift"):
            rows = zip(self.parameters, self.predicted, self.measured, self.standard_error)
            return ", ".join(f"{n} = {p:.4g} predicted, {m:.4g} +- {e:.1g} measured" for n, p, m, e in rows)
        p, m = (float(np.linalg.norm(v)) for v in (self.predicted, self.measured))
        e = float(np.linalg.norm(self.standard_error))
        return f"norm {p:.4g} predicted, {m:.4g} +- {e:.1g} measured"

    def _repr_latex_(self) -> str:
        text = str(self).replace("\\", "").replace("%", r"\%").replace("_", r"\_").replace("+-", r"}\pm\text{")
        return rf"$\text{{{text}}}$"

    def as_json(self) -> dict[str, Any]:
        """The entry of the `claims` list of spec.md; numbers that are not finite become null."""
        entry: dict[str, Any] = {
            "name": self.claim.title,
            "kind": self.claim.kind,
            "theory": self.claim.theory,
            "verdict": self.verdict,
            "predicted": plain(self.predicted),
            "measured": plain(self.measured),
            "standard_error": plain(self.standard_error),
            "relative_error": plain(self.relative_error),
            "interval": plain(self.interval),
            "margin": self.margin,
            "confidence": self.confidence,
            "assumptions": [
                {"name": a.name, "holds": bool(a.holds), "value": plain(a.value), "rule": a.rule}
                for a in self.assumptions
            ],
            "rivals": [
                {
                    "theory": r.theory,
                    "predicted": plain(r.predicted),
                    "verdict": r.verdict,
                    "distinguishable": r.distinguishable,
                }
                for r in self.rivals
            ],
            "replica_steps": self.replica_steps,
            "seconds": round(self.seconds, 3),
            "strengths": plain(self.strengths),
            "reason": self.reason,
            "notes": list(self.notes),
        }
        if self.times is not None:
            entry["times"] = plain(self.times)
        return entry


def plain(value: Any) -> Any:
    """Numbers and arrays as JSON values: NaN and infinity become None."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    number = float(value)
    return number if math.isfinite(number) else None
