"""The page: what a result says, laid out for a template. Every text is escaped there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from ..document import ClaimEntry, Result, RivalEntry
from ..plots.style import MARKS, bounds, percent
from .derived import StudyPage, formulas
from .mathml import Safe
from .measured import measured
from .words import cost, figure_of, greek, number, sentence, with_error

__all__ = ["ClaimPage", "FigurePage", "Group", "groups", "page"]

_MOST_ROWS = 24
_CLASSES = {"supported", "refuted", "inconclusive", "not-applicable"}


@dataclass(frozen=True)
class FigurePage:
    """A figure on the page, and its files beside it."""

    name: str
    caption: str
    file: str
    csv_file: str
    inline: Safe


@dataclass(frozen=True)
class ClaimPage:
    """A claim on the page.

    Attributes
    ----------
    claim : ClaimEntry
    id : str
        Of its place on the page; also what its files begin with.
    formulas : list of (Safe, str)
    figures : list of FigurePage
    left_out : list of str
        Figures that could not be drawn, and why.
    """

    claim: ClaimEntry
    id: str
    formulas: Sequence[tuple[Safe, str]]
    figures: Sequence[FigurePage]
    left_out: Sequence[str] = ()

    @property
    def refuted(self) -> list[str]:
        """Rivals that the same data refute."""
        return [greek(r.theory) for r in self.claim.rivals if r.verdict == "refuted" and r.distinguishable]

    @property
    def rivals(self) -> list[tuple[RivalEntry, str, str]]:
        """Each with its distance from the measurement, and what is to be said of it."""
        claim = self.claim
        rows = []
        for rival in claim.rivals:
            value, distance = claim.shaped(rival.predicted), claim.distance(rival)
            apart = "–" if distance is None else f"{number(100 * distance, 3)} %"
            remark = rival.reason
            if value is not None and not rival.distinguishable:
                remark = remark or "predicts the same within the margin"
            rows.append((rival, apart, greek(remark)))
        return rows

    @property
    def values(self) -> list[tuple[str, str, str, str]]:
        """Component, predicted, measured, and their difference in percent of the scale."""
        claim = self.claim
        measured, errors = claim.shaped(claim.measured), claim.shaped(claim.standard_error)
        if claim.predicted is None or measured is None or errors is None:
            return []
        rows = []
        for i in range(min(_MOST_ROWS, claim.predicted.size)):
            p, m, e = (float(a.flat[i]) for a in (claim.predicted, measured, errors))
            apart = number(100 * (m - p) / claim.scale, 2) if claim.scale else "–"
            rows.append((claim.component(i), number(p), with_error(m, e), apart))
        return rows

    @property
    def more_values(self) -> int:
        """Components that the table leaves out."""
        size = 0 if self.claim.predicted is None else int(self.claim.predicted.size)
        return max(0, size - _MOST_ROWS)

    @cached_property
    def first_figures(self) -> list[tuple[str, str, str]]:
        """What the first table shows."""
        return figure_of(self.claim)


@dataclass(frozen=True)
class Group:
    """The claims of one study."""

    study: StudyPage
    file: str
    claims: Sequence[ClaimPage]


def groups(
    result: Result,
    studies: Mapping[str, tuple[StudyPage, str]],
    drawn: Mapping[int, Sequence[FigurePage]],
    left_out: Mapping[int, Sequence[str]],
) -> list[Group]:
    """The claims by study, in their order.

    Parameters
    ----------
    result : Result
    studies : mapping
        Name to study and the file of its text.
    drawn : mapping
        Number of a claim to its figures.
    left_out : mapping
        Number of a claim to the figures that could not be drawn.
    """
    only = next(iter(studies.values()), (StudyPage(result.study), "")) if len(studies) <= 1 else None
    members: dict[str, list[ClaimPage]] = {}
    homes: dict[str, tuple[StudyPage, str]] = {}
    for number_, claim in enumerate(result.claims):
        home = only or studies.get(claim.study) or (StudyPage(claim.study), "")
        homes[home[0].name] = home
        mates = members.setdefault(home[0].name, [])
        told = formulas(home[0], claim, len(mates))
        mates.append(ClaimPage(claim, f"c{number_ + 1}", told, drawn.get(number_, ()), left_out.get(number_, ())))
    return [Group(*homes[name], mates) for name, mates in members.items()]


def page(result: Result, parts: Sequence[Group], shapes: Safe, asked: int = 0) -> str:
    """The HTML of the page; `shapes` are what its figures share, and `asked` is how many claims the studies make."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "flatmin.sims.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (number, greek, bounds, percent, sentence, cost, measured)
    environment.filters.update({word.__name__: word for word in words})
    environment.globals.update(mark=lambda verdict: MARKS.get(verdict, "·"), style_of=_style_of)
    style = (files(__package__ or "flatmin.sims.report") / "templates" / "page.css").read_text(encoding="utf-8")
    counts = Counter(claim.verdict for claim in result.claims)
    said = [f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda i: _order(i[0]))]
    context: dict[str, Any] = {
        "result": result,
        "groups": parts,
        "shapes": shapes,
        "asked": asked,
        "summary": ", ".join(said),
        "style": Safe(style),
        "margins": sorted({claim.margin for claim in result.claims}),
        "confidences": sorted({claim.confidence for claim in result.claims}),
    }
    return environment.get_template("page.html").render(context)


def _order(verdict: str) -> int:
    return list(MARKS).index(verdict) if verdict in MARKS else len(MARKS)


def _style_of(verdict: str) -> str:
    # The name of a class must not be a text that somebody else wrote.
    return verdict if verdict in _CLASSES else "not-applicable"
