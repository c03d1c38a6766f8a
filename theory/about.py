"""`About`: what a study is about, in words: the statement it tests, where it comes from, what would refute it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import InvalidInput

__all__ = ["About"]

# Longer texts belong on a page, not in a table.
_LONGEST = 2000


@dataclass(frozen=True)
class About:
    """The optional `[about]` table of a study file.

    Parameters
    ----------
    theorem : str
        For example "Theorem 1".
    section : str
        Of the paper, for example "3.2".
    statement : str
        What is claimed, in one or two sentences.
    hypotheses : sequence of str
        Under which it is claimed.
    source : str
        Where it is written.
    refuted_by : str
        What data would refute it.
    quick : bool
        Whether it belongs to the short run of the catalogue.

    Raises
    ------
    InvalidInput
        When a value breaks a rule.
    """

    theorem: str = ""
    section: str = ""
    statement: str = ""
    hypotheses: tuple[str, ...] = ()
    source: str = ""
    refuted_by: str = ""
    quick: bool = False

    def __post_init__(self) -> None:
        for name in ("theorem", "section", "statement", "source", "refuted_by"):
            _check(f"about.{name}", getattr(self, name))
        if isinstance(self.hypotheses, str) or not isinstance(self.hypotheses, Sequence):
            raise InvalidInput("about.hypotheses", f"={self.hypotheses!r} must be a list of texts")
        object.__setattr__(self, "hypotheses", tuple(self.hypotheses))
        for i, text in enumerate(self.hypotheses):
            _check(f"about.hypotheses[{i}]", text)
        if not isinstance(self.quick, bool):
            raise InvalidInput("about.quick", f"={self.quick!r} must be true or false")

    @property
    def place(self) -> str:
        """Theorem and section, as far as they are given."""
        return ", ".join(p for p in (self.theorem, f"Section {self.section}" if self.section else "") if p)

    def in_section(self, wanted: str) -> bool:
        """Whether it is of the paper's section `wanted`, or of a part of it: 3 holds 3.2, not 31."""
        return bool(self.section) and (self.section == wanted or self.section.startswith(f"{wanted}."))


def _check(field: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidInput(field, f"={text!r} must be text")
    if len(text) > _LONGEST:
        raise InvalidInput(field, f" has {len(text)} characters; at most {_LONGEST} are allowed")
