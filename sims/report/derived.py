"""The studies of a result, read again from their texts: settings, formulas of claims, derivations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from flatmin.theory.claim import Claim
from flatmin.theory.claim_formulas import stated
from flatmin.theory.derivation import derive
from flatmin.theory.errors import InvalidInput, NotApplicable
from flatmin.theory.sections import Line, latex_names, sections
from flatmin.theory.study import Study, parse_study
from flatmin.theory.typeset import broken, latex

from ..document import ClaimEntry
from ..explain import setting
from .mathml import Safe, mathml
from .words import greek

__all__ = ["Block", "StudyPage", "formulas", "study_page"]

_MOST_PREDICTIONS = 6


@dataclass(frozen=True)
class Block:
    """A part of a derivation: words and equations."""

    title: str
    entries: Sequence[Safe | str]


@dataclass(frozen=True)
class StudyPage:
    """What a page tells of a study.

    Attributes
    ----------
    name : str
    text : str
        Its file; empty where the result does not hold it.
    study : Study or None
        None where the text is missing or cannot be read.
    model : sequence of Safe
    setting : sequence of (str, str)
    derivation : sequence of Block
    note : str
        Why something is missing.
    """

    name: str
    text: str = ""
    study: Study | None = None
    model: Sequence[Safe] = ()
    setting: Sequence[tuple[str, str]] = ()
    derivation: Sequence[Block] = field(default=())
    note: str = ""


def study_page(entry: Mapping[str, Any]) -> StudyPage:
    """Read a study from an entry of the list `studies` of a result, and derive what the theory says of it.

    It takes some seconds, at most about half a minute; nothing is simulated and no file is opened.
    """
    name, text = str(entry.get("name", "")), entry.get("text")
    if not isinstance(text, str) or not text:
        return StudyPage(name, note="The result does not hold the text of this study.")
    data = entry.get("data")
    try:
        study = parse_study(text, name, data if isinstance(data, Mapping) else None)
    except InvalidInput as error:
        return StudyPage(name, text, note=f"This study was not read again: {error}.")
    blocks: Sequence[Block] = ()
    note = ""
    try:
        derivation = derive(study.model, study.algorithm, study.start.tolist())
        names = latex_names(derivation)
        blocks = [Block(greek(title), _entries(entries, names)) for title, entries in sections(derivation)]
    except NotApplicable as error:
        note = f"Nothing more is derived in symbols here: {error}."
    return StudyPage(name, text, study, _model(study), setting(study), blocks, note)


def formulas(page: StudyPage | None, claim: ClaimEntry, place: int) -> list[tuple[Safe, str]]:
    """The equations that a claim states and those of its theory, each with a gloss.

    Parameters
    ----------
    page : StudyPage or None
    claim : ClaimEntry
    place : int
        Of the claim in its study.
    """
    if page is None or page.study is None:
        return []
    claims = page.study.claims
    own: Claim | None = claims[place] if place < len(claims) else None
    if own is None or (own.kind, own.theory) != (claim.kind, claim.theory):
        return []
    return [(mathml(tex, block=True), greek(gloss)) for tex, gloss in stated(own, page.study.algorithm)]


def _model(study: Study) -> list[Safe]:
    model = study.model
    arguments = ", ".join(sp.latex(s) for s in model.inputs)
    if len(model.prediction) == 1:
        left = rf"f(\theta; {arguments})" if arguments else r"f(\theta)"
        return [mathml(f"{left} = {latex(model.prediction[0], {})}", block=True)]
    shown = model.prediction[:_MOST_PREDICTIONS]
    lines = [mathml(rf"f_{{{i}}}(\theta) = {latex(f, {})}", block=True) for i, f in enumerate(shown, 1)]
    rest = len(model.prediction) - len(shown)
    return lines + ([Safe(f"<p>and {rest} more.</p>")] if rest else [])


def _entries(entries: Sequence[Line | str], names: Mapping[sp.Symbol, str]) -> list[Safe | str]:
    out: list[Safe | str] = []
    for entry in entries:
        if isinstance(entry, str):
            # The dash of a list in plain text.
            out.append(greek(entry.removeprefix("- ")))
            continue
        value, equation = entry.value, isinstance(entry.value, sp.Equality)
        name, side = (latex(value.rhs, names), value.lhs) if equation else (entry.latex, value)
        for rows in broken(name, side, names, reverse=equation):
            out.append(Safe("".join(mathml(row, block=True) for row in rows)))
    return out
