"""Writing a report: a page that stands alone, and beside it every figure, its data, the result and the studies."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..document import result_of
from ..extras import require
from ..jsonfile import CannotWrite, check_writable, json_bytes, write_whole

__all__ = ["check_report", "write_report"]

_OPTION = "--report"
_PAGE = "index.html"
# By this a page of ours is known again; nobody else's is overwritten.
_SIGNATURE = '<meta name="generator" content="flatmin'


def check_report(folder: Path, option: str = _OPTION) -> None:
    """Find out before anything runs whether a report can be written to `folder`.

    Raises
    ------
    InvalidInput
        When an optional package is missing; the message names the extra.
    CannotWrite
        When the folder cannot be made or written, or holds a page that is none of ours.
    """
    require("report", option, "jinja2", "matplotlib", "latex2mathml")
    if folder.exists() and not folder.is_dir():
        raise CannotWrite(option, folder, "it is a file; name a folder")
    if not folder.exists():
        if not folder.parent.is_dir():
            raise CannotWrite(option, folder, f"there is no folder {str(folder.parent)!r}; make it first")
        check_writable(option, folder)
        return
    page = folder / _PAGE
    if page.exists() and not _ours(page):
        raise CannotWrite(option, folder, f"its {_PAGE} is no report of flatmin; name another folder")
    check_writable(option, page)


def write_report(
    document: Mapping[str, Any], folder: Path, say: Callable[[str], None] = lambda _: None, option: str = _OPTION
) -> Path:
    """Write the report of a result; nothing is simulated.

    Parameters
    ----------
    document : mapping
        As `flatmin verify --json` writes it.
    folder : Path
        Made where it does not exist.
    say : callable, optional
        Told what goes on.
    option : str
        For messages.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InvalidInput
        When the document is no result, or an optional package is missing.
    CannotWrite
    """
    check_report(folder, option)
    from ..latex_table import latex_tables
    from ..plots import makers
    from .derived import study_page
    from .inline import Shapes
    from .page import FigurePage, groups, page

    result = result_of(document)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(option, folder, error) from None

    def put(name: str, text: str) -> None:
        write_whole(option, folder / name, text.encode("utf-8", "replace"))

    studies = {}
    for number, entry in enumerate(result.studies, 1):
        say(f"deriving {entry.get('name', '')} ({number} of {len(result.studies)})")
        study = study_page(entry)
        file = f"study-{number}.toml" if study.text else ""
        if file:
            put(file, study.text)
        studies[study.name] = (study, file)
    drawn: dict[int, list[FigurePage]] = {}
    left_out: dict[int, list[str]] = {}
    shapes = Shapes()
    for number, claim in enumerate(result.claims):
        say(f"drawing {claim.name} ({number + 1} of {len(result.claims)})")
        drawn[number] = []
        for make in makers(option):
            try:
                plot = make(claim)
                inline = None if plot is None else shapes.figure(plot.svg)
            except Exception as error:  # numbers that no check foresaw: one figure less, and the page names it
                left_out.setdefault(number, []).append(f"{make.__name__} ({error})")
                continue
            if plot is None or inline is None:
                continue
            file = f"figures/c{number + 1}-{plot.name}"
            put(f"{file}.svg", plot.svg)
            put(f"{file}.csv", plot.csv())
            drawn[number].append(FigurePage(plot.name, plot.caption, f"{file}.svg", f"{file}.csv", inline))
    write_whole(option, folder / "result.json", json_bytes(document))
    put("table.tex", latex_tables(result))
    # Not known where the result does not hold every text.
    read = [study.study for study, _ in studies.values() if study.study]
    asked = sum(len(study.claims) for study in read) if len(read) == len(studies) else 0
    put(_PAGE, page(result, groups(result, studies, drawn, left_out), shapes.definitions, asked))
    return folder / _PAGE


def _ours(page: Path) -> bool:
    try:
        with open(page, encoding="utf-8", errors="replace") as file:
            return _SIGNATURE in file.read(2000)
    except OSError:
        return os.path.islink(page) and not page.exists()
