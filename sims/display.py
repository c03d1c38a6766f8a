"""What the terminal shows: a live line while a study runs, plain lines elsewhere, and the table of verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .progress import Progress, Silent
from .results import Verdict

__all__ = ["progress_display", "verdict_table"]

_COLOURS = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not-applicable": "yellow"}


class _State:
    """Counts replica-steps and tells a line of text."""

    def __init__(self) -> None:
        self.title = self.text = ""
        self.done = 0
        self.expected = 0.0
        self.started = time.monotonic()

    def claim(self, title: str, index: int, count: int) -> None:
        self.title = f"[{index + 1}/{count}] {title}"

    def phase(self, text: str, replica_steps: float) -> None:
        self.text, self.expected, self.done = text, replica_steps, 0
        self.started = time.monotonic()

    def line(self) -> str:
        seconds = time.monotonic() - self.started
        parts = [self.title, self.text]
        if self.done and seconds > 0.2:
            rate = self.done / seconds
            parts.append(f"{rate:.2e} replica-steps/s")
            if self.expected > self.done:
                parts.append(f"{(self.expected - self.done) / rate:.0f} s left")
        return "  ".join(p for p in parts if p)


class _LiveProgress(_State):
    """One line that is redrawn."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self.live = live

    def phase(self, text: str, replica_steps: float) -> None:
        super().phase(text, replica_steps)
        self.live.update(Text(self.line()))

    def advance(self, replica_steps: int) -> None:
        self.done += replica_steps
        self.live.update(Text(self.line()))


class _PlainProgress(_State):
    """A line per phase, and one every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.printed = time.monotonic()

    def phase(self, text: str, replica_steps: float) -> None:
        super().phase(text, replica_steps)
        self._print()

    def advance(self, replica_steps: int) -> None:
        self.done += replica_steps
        if time.monotonic() - self.printed > 10:
            self._print()

    def _print(self) -> None:
        self.printed = time.monotonic()
        self.console.print(self.line(), markup=False, highlight=False)


@contextmanager
def progress_display(console: Console, quiet: bool) -> Iterator[Progress]:
    """A `Progress` that shows itself on `console` while the context lasts."""
    if quiet:
        yield Silent()
    elif console.is_terminal:
        with Live(console=console, transient=True, refresh_per_second=8) as live:
            yield _LiveProgress(live)
    else:
        yield _PlainProgress(console)


def verdict_table(rows: Sequence[tuple[str, Verdict]], title: str) -> Table:
    """The verdicts of (study, verdict) pairs as a table, a section for each study."""
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("claim", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("error, %", justify="right", no_wrap=True)
    table.add_column("rivals refuted", overflow="fold")
    for study, group in groupby(rows, key=lambda row: row[0]):
        table.add_section()
        table.add_row(Text(study, style="bold"))
        for _, verdict in group:
            claim = verdict.claim
            table.add_row(
                f"  {escape(claim.name) if claim.name else f'{claim.kind}, {claim.theory}'}",
                Text(verdict.verdict, style=_COLOURS[verdict.verdict]),
                _interval(verdict),
                escape(_rivals(verdict)),
            )
    return table


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None:
        return "-"
    low, high = (100 * v for v in verdict.interval)
    if max(abs(low), abs(high)) > 1e4:
        return "> 10000"
    digits = max(0, min(4, 2 - int(np.floor(np.log10(max(abs(low), abs(high), 1e-3))))))
    return f"{low:+.{digits}f} .. {high:+.{digits}f}"


def _rivals(verdict: Verdict) -> str:
    refuted = [r.theory for r in verdict.rivals if r.verdict == "refuted" and r.distinguishable]
    same = list(verdict.indistinguishable)
    text = ", ".join(refuted) or ("-" if verdict.rivals else "")
    return f"{text} (same here: {', '.join(same)})" if same else text
