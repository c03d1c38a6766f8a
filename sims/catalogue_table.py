"""The table of a run of several studies: theorem by theorem, what was predicted, measured and decided."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from flatmin.theory.study import Study
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from .display import COLOURS, interval_text, rivals_text
from .results import Verdict

__all__ = ["catalogue_table"]


def catalogue_table(rows: Sequence[tuple[str, Verdict]], studies: Sequence[Study], title: str) -> Table:
    """The verdicts of (study, verdict) pairs, with a section for each study: statement and model, then its claims.

    Parameters
    ----------
    rows : sequence of (str, Verdict)
    studies : sequence of Study
    title : str
    """
    table = Table(title=Text(title), title_justify="left", box=SIMPLE)
    table.add_column("statement, model, claim", overflow="fold", min_width=22, ratio=3)
    table.add_column("predicted\nmeasured", justify="right", no_wrap=True)
    table.add_column("verdict\nerror, %", no_wrap=True)
    table.add_column("rivals refuted", overflow="fold", ratio=2)
    about = {study.name: study for study in studies}
    for name, group in groupby(rows, key=lambda row: row[0]):
        table.add_section()
        table.add_row(_heading(name, about.get(name)))
        for _, verdict in group:
            claim = verdict.claim
            table.add_row(
                Text(f"  {claim.name or f'{claim.kind}, {claim.theory}'}"),
                Text("\n".join(_numbers(verdict))),
                Text(verdict.verdict, style=COLOURS[verdict.verdict]).append(
                    f"\n{interval_text(verdict)}", style="default"
                ),
                Text(rivals_text(verdict)),
            )
    return table


def _heading(name: str, study: Study | None) -> Text:
    text = Text(name, style="bold")
    if study is None:
        return text
    about = study.about
    for part in (about.place, about.statement, repr(study.model)):
        text.append(f"\n{part}" if part else "", style="not bold")
    return text


def _numbers(verdict: Verdict) -> tuple[str, str]:
    """A number, or the norm of a vector, a matrix or a path."""
    shown = []
    for value in (verdict.predicted, verdict.measured):
        if value is None:
            shown.append("-")
        elif np.size(value) == 1:
            shown.append(f"{float(np.ravel(value)[0]):.4g}")
        else:
            shown.append(f"|{float(np.linalg.norm(value)):.4g}|")
    return shown[0], shown[1]
