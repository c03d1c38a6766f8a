"""`Verdict`: the decision on one claim with all its numbers, as an object, a line of text and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flatmin.theory.assumptions import Assumption
from flatmin.theory.checks import one_of
from flatmin.theory.claim import Claim
from flatmin.theory.errors import InvalidInput
from numpy.typing import NDArray

from . import latex
from .decide import VerdictName
from .detail import detail, plain
from .extrapolate import Estimate
from .html import verdict_html
from .result_keys import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INDISTINGUISHABLE", "RivalVerdict", "Verdict"]

# How the note on rivals that predict the same begins.
INDISTINGUISHABLE = "indistinguishable here"

Array = NDArray[np.float64]

# Parameters in a line of text; the JSON has all.
_MOST_SHOWN = 12


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
    scale : float
        What its errors are relative to.
    """

    theory: str
    predicted: Array | None
    verdict: VerdictName
    distinguishable: bool
    reason: str = ""
    scale: float = math.nan

    def as_json(self) -> dict[str, Any]:
        """An entry of the list `rivals` of a claim."""
        entry = {
            "theory": self.theory,
            "predicted": plain(self.predicted),
            "verdict": self.verdict,
            "distinguishable": self.distinguishable,
            "reason": self.reason,
            "scale": plain(self.scale),
        }
        return written("rival", entry)


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
    variance_reduction : float or None
        Variance of one replica's statistic without the control variate over that with it; None where there is none.
    labels : tuple of str
        Names of the components of a vector; none where tables show its norm.
    estimate : Estimate or None
        The measurement with its rungs.
    scale : float
        What relative errors are relative to.
    origin : ndarray or None
        The predicted direction is that from here to `predicted`.
    start : ndarray or None, shape (d,)
        The zero-loss point that everything starts from.
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
    variance_reduction: float | None = None
    labels: tuple[str, ...] = ()
    estimate: Estimate | None = None
    scale: float = math.nan
    origin: Array | None = None
    start: Array | None = None

    @property
    def indistinguishable(self) -> tuple[str, ...]:
        """Rivals that predict the same within the margin, so that no data at this margin tell them apart."""
        return tuple(r.theory for r in self.rivals if not r.distinguishable and r.predicted is not None)

    def __str__(self) -> str:
        if self.verdict == "not-applicable" or self.predicted is None:
            return f"{self.verdict}: {self.reason}"
        parts = [v for v in (self._values(), self._error(), self.reason) if v]
        return f"{self.verdict}: {'; '.join(parts)}"

    def __repr__(self) -> str:
        return f"<{self.claim.title}: {self}>"

    def _rows(self) -> Iterator[tuple[str, float, float, float]]:
        """Name, predicted, measured and standard error; matrices and paths by their norms."""
        if self.predicted is None or self.measured is None or self.standard_error is None:
            return
        if self.labels:
            yield from zip(self.labels, self.predicted, self.measured, self.standard_error)
        else:
            p, m, e = (float(np.linalg.norm(v)) for v in (self.predicted, self.measured, self.standard_error))
            yield "norm", p, m, e

    def _values(self) -> str:
        rows = list(self._rows())
        equals = " =" if self.labels else ""
        shown = [
            f"{name}{equals} {p:.5g} predicted, {m:.5g} +- {e:.1g} measured" for name, p, m, e in rows[:_MOST_SHOWN]
        ]
        more = len(rows) - len(shown)
        return ", ".join(shown) + (f", and {more} more" if more else "")

    def _error(self) -> str:
        if self.interval is None:
            return ""
        low, high = (100 * v for v in self.interval)
        bounds = f"error in [{low:+.3g}, {high:+.3g}] % at confidence {self.confidence:g}"
        return f"{bounds}, margin {100 * self.margin:g} %"

    def _repr_latex_(self) -> str:
        lines = [latex.text(f"{self.claim.title}: {self.verdict}")]
        rows = list(self._rows())
        for name, p, m, e in rows[:_MOST_SHOWN]:
            left = f"{latex.symbol(name)} =" if self.labels else latex.text(f"{name} ")
            measured = rf"{latex.number(m)} \pm {latex.number(e, '.1g')}"
            lines.append(rf"{left} {latex.number(p)} \text{{ predicted}},\; {measured} \text{{ measured}}")
        if len(rows) > _MOST_SHOWN:
            lines.append(latex.text(f"and {len(rows) - _MOST_SHOWN} more"))
        lines += [latex.text(line) for line in (self._error(), self.reason) if line]
        return latex.array(lines)

    def plot(self, name: str | None = None) -> Figure:
        """A figure of this verdict (extra `report`).

        Parameters
        ----------
        name : str, optional
            "ladder" (the error at each strength and its limit; the default where there is one), "values", "powers",
            "fractions", "path", "coordinates", "ellipse", "entries" or "theories"; which of them there are depends on
            the statistic.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InvalidInput
            Without matplotlib, without a measurement, or for a figure that this statistic has not.
        """
        from .document import claim_entry
        from .plots import plots

        made = {plot.name: plot.figure for plot in plots(claim_entry(self.as_json()), "Verdict.plot")}
        if not made:
            raise InvalidInput("Verdict.plot", f": nothing was measured ({self.verdict}: {self.reason})")
        return made[next(iter(made)) if name is None else one_of("name", name, list(made))]

    def _repr_html_(self) -> str:
        return verdict_html(self, list(self._rows()))

    def as_json(self) -> dict[str, Any]:
        """The entry of the `claims` list of docs/results.md; numbers that are not finite become null."""
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
            "assumptions": [_assumption(a) for a in self.assumptions],
            "rivals": [r.as_json() for r in self.rivals],
            "replica_steps": self.replica_steps,
            "seconds": round(self.seconds, 3),
            "strengths": plain(self.strengths),
            "variance_reduction": plain(self.variance_reduction),
            "reason": self.reason,
            "notes": list(self.notes),
            "parameters": list(self.parameters),
            "labels": list(self.labels),
            "scale": plain(self.scale),
            "start": plain(self.start),
            "detail": self.details(),
        }
        if self.claim.settings.get("bound"):
            entry["bound"] = True
        if self.times is not None:
            entry["times"] = plain(self.times)
        return written("claim", entry)

    def details(self) -> dict[str, Any] | None:
        """How the limit was measured (`flatmin.sims.detail`); None where nothing was, or not on a ladder."""
        if self.estimate is None or self.predicted is None or not self.estimate.rungs:
            return None
        return detail(self.estimate, self.predicted, self.scale, self.origin)


def _assumption(assumption: Assumption) -> dict[str, Any]:
    held, value = bool(assumption.holds), plain(assumption.value)
    return written("assumption", {"name": assumption.name, "holds": held, "value": value, "rule": assumption.rule})
