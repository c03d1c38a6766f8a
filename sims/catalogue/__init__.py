"""The built-in studies: one TOML file each, in the format that users write, and how some of them are chosen."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from flatmin.theory.checks import nearest
from flatmin.theory.errors import InvalidInput
from flatmin.theory.study import Study, read_study
from flatmin.theory.syntax import quote

__all__ = ["chosen", "load", "named", "names"]


def names() -> tuple[str, ...]:
    """Names of the studies, in the order in which they run."""
    return tuple(sorted(entry.name[:-5] for entry in files(__name__).iterdir() if entry.name.endswith(".toml")))


def load(name: str) -> Study:
    """Read one study of the catalogue."""
    with as_file(files(__name__) / f"{name}.toml") as path:
        return read_study(path)


def named(study: str) -> Study:
    """A study file, or the study of the catalogue with that name; a name of neither raises `InvalidInput`."""
    if Path(study).exists():
        return read_study(study)
    if study in names():
        return load(study)
    if Path(study).suffix or Path(study).name != study:
        return read_study(study)
    hint = nearest(study, names()) or "; `flatmin claims` lists the catalogue"
    raise InvalidInput("study", f"={quote(study)} is no file, and no study of the catalogue{hint}")


def chosen(quick: bool = False, only: str | None = None, section: str | None = None) -> list[Study]:
    """The studies that fit all of: quick; a text in the name of the study or a claim; a section of the paper.

    Raises
    ------
    InvalidInput
        When none fits: nothing decided must not look like everything supported.
    """
    studies = [load(name) for name in names()]
    if quick:
        studies = [s for s in studies if s.about.quick]
    if section is not None:
        known = sorted({s.about.section for s in studies if s.about.section})
        studies = [s for s in studies if s.about.in_section(section)]
        if not studies:
            raise InvalidInput("--paper-section", f"={section!r} has no study; there are some of {known}")
    if only is not None:
        studies = [s for s in studies if any(only.lower() in text.lower() for text in _texts(s))]
        if not studies:
            raise InvalidInput("--only", f"={only!r} is in no name; `flatmin claims` lists them")
    return studies


def _texts(study: Study) -> tuple[str, ...]:
    return (study.name, *(claim.name for claim in study.claims), *(claim.kind for claim in study.claims))
