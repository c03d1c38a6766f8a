"""What an experiment found: statements with verdicts, tables, figures, every run; printed, and written to files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from ..display import COLOURS, print_line, print_table
from ..jsonfile import finite
from ..plots.style import svg
from .statements import Decision
from .store import Laboratory

__all__ = ["Findings", "NumberTable", "print_findings", "short", "write_findings"]


@dataclass(frozen=True)
class NumberTable:
    """A table of what was measured.

    Attributes
    ----------
    title : str
    columns : sequence of str
    rows : sequence of sequence of str
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Findings:
    """What the runs of an experiment say.

    Attributes
    ----------
    decisions : sequence of Decision
    tables : sequence of NumberTable
    figures : callable
        Draws them: a mapping of str to matplotlib.figure.Figure, by the name of the file without its ending.
    runs : sequence of mapping
        The setting and the result of every run.
    limits : sequence of str
        What the runs do not show, in words.
    """

    decisions: Sequence[Decision]
    tables: Sequence[NumberTable] = ()
    figures: Callable[[], Mapping[str, Any]] = dict
    runs: Sequence[Mapping[str, Any]] = ()
    limits: Sequence[str] = ()


def write_findings(laboratory: Laboratory, name: str, findings: Findings) -> list[Path]:
    """Write results.json, then draw and write the figures; returns the paths.

    Raises
    ------
    CannotWrite
    """
    document = {
        "flatmin": version("flatmin"),
        "experiment": name,
        "statements": [d.as_json() for d in findings.decisions],
        "tables": [{"title": t.title, "columns": t.columns, "rows": t.rows} for t in findings.tables],
        "limits": findings.limits,
        "runs": findings.runs,
    }
    text = json.dumps(finite(document), indent=1, allow_nan=False)
    written = [laboratory.write("results.json", f"{text}\n".encode())]
    return written + [
        laboratory.write(f"{name}.svg", svg(drawn).encode()) for name, drawn in findings.figures().items()
    ]


def print_findings(name: str, findings: Findings, written: Sequence[Path]) -> None:
    """Print tables, verdicts and limits on standard output."""
    for table in findings.tables:
        shown = _empty(table.title)
        for k, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if k else "left", overflow="fold")
        for row in table.rows:
            shown.add_row(*map(Text, row))
        print_table(shown)
    shown = _empty(f"{name}: {len(findings.decisions)} statements")
    middle = findings.decisions[0].kind if findings.decisions else "median"
    for column in ("statement", "verdict", f"{middle}, its interval", "runs", "refuted by the same runs"):
        shown.add_column(column, overflow="fold")
    for decision in findings.decisions:
        low, high = decision.interval
        shown.add_row(
            Text(f"{decision.statement.name}: {decision.statement.text}"),
            Text(decision.verdict, style=COLOURS[decision.verdict]),
            Text(f"{short(decision.middle)}\n{short(low)} .. {short(high)}"),
            Text(str(len(decision.statement.values))),
            Text("\n".join(f"{r.statement.name}: {r.verdict} ({short(r.middle)})" for r in decision.rivals)),
        )
    print_table(shown)
    for decision in findings.decisions:
        if decision.reason:
            print_line(f"{decision.statement.name}: {decision.verdict}: {decision.reason}")
    if findings.decisions:
        count = sum(1 + len(d.rivals) for d in findings.decisions)
        together = 1 - count * findings.decisions[0].level
        print_line(
            f"Intervals of {middle}s over data and noise; all {count} hold together with probability {together:g}."
        )
    for limit in findings.limits:
        print_line(f"Limit: {limit}")
    print_line(f"wrote {', '.join(map(str, written))}")


def short(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def _empty(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=SIMPLE)
