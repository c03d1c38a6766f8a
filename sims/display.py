"""What the terminal shows: a live line while a study runs, plain lines elsewhere, and the table of verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from textwrap import fill
from typing import Protocol

import click
import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .progress import Progress, Silent
from .results import Verdict

__all__ = [
    "COLOURS",
    "Display",
    "interval_text",
    "print_line",
    "print_table",
    "progress_display",
    "rivals_text",
    "verdict_table",
]

COLOURS = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not-applicable": "yellow"}
_PLAIN_SECONDS = 10.0


class Display(Progress, Protocol):
    """`Progress` that also knows which study runs and what came out."""

    def study(self, name: str) -> None:
        """A study begins; an empty name shows none."""

    def finished(self, verdict: Verdict) -> None:
        """A claim is decided."""


class _Quiet(Silent):
    def study(self, name: str) -> None:
        pass

    def finished(self, verdict: Verdict) -> None:
        pass


class _State:
    """Counts replica-steps and tells a line of text."""

    def __init__(self) -> None:
        self.name = self.title = self.place = self.text = ""
        self.done = self.expected = 0.0
        self.unit = ""
        self.started = time.monotonic()
        self.end: float | None = None

    def study(self, name: str) -> None:
        self.name, self.title, self.place = name, "", ""
        self.phase("deriving", 0)

    def claim(self, title: str, index: int, count: int) -> None:
        self.title, self.place = title, f"[{index + 1}/{count}]"

    def phase(self, text: str, expected: float, unit: str = "replica-steps") -> None:
        self.text, self.expected, self.done, self.unit = text, expected, 0, unit
        self.started, self.end = time.monotonic(), None

    def advance(self, done: float) -> None:
        self.done += done

    def remaining(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def heading(self, room: int) -> str:
        """Study, place and claim in about so many letters."""
        place = " ".join(p for p in (self.name, self.place) if p)
        room = max(8, room - len(place) - 1)
        title = self.title if len(self.title) <= room else f"{self.title[: room - 1]}…"
        return f"{place} {title}".strip()

    def line(self, width: int = 200) -> str:
        """What is running, how fast, and how long still."""
        seconds = time.monotonic() - self.started
        parts = [self.text]
        if self.end is not None:
            parts.append(f"{_duration(max(0.0, self.end - time.monotonic()))} left")
        elif self.done and seconds > 0.2:
            rate = self.done / seconds
            parts += [f"{rate:.1e} {self.unit}/s"] if self.unit else []
            if self.expected > self.done:
                parts.append(f"{_duration((self.expected - self.done) / rate)} left")
        elif seconds >= 1:
            parts.append(_duration(seconds))
        tail = "  ".join(parts)
        return f"{self.heading(width - len(tail) - 2)}  {tail}".strip()


class _LiveProgress(_State):
    """One line that is redrawn, under the verdicts so far."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def finished(self, verdict: Verdict) -> None:
        heading = self.heading(self.console.width - len(verdict.verdict) - 2)
        text = Text(f"{heading}  ", no_wrap=True, overflow="ellipsis")
        self.console.print(text.append(verdict.verdict, style=COLOURS[verdict.verdict]))

    def note(self, text: str) -> None:
        self.console.print(Text(text))

    def render(self) -> Text:
        """The line, cut at the width of the terminal."""
        return Text(self.line(self.console.width), no_wrap=True, overflow="ellipsis")


class _PlainProgress(_State):
    """A line per phase, one every ten seconds, and one per verdict; on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.printed = time.monotonic()

    def phase(self, text: str, expected: float, unit: str = "replica-steps") -> None:
        super().phase(text, expected, unit)
        self._print(self.line())

    def advance(self, done: float) -> None:
        super().advance(done)
        self._print_now_and_then()

    def remaining(self, seconds: float) -> None:
        super().remaining(seconds)
        self._print_now_and_then()

    def note(self, text: str) -> None:
        self._print(text)

    def _print_now_and_then(self) -> None:
        if time.monotonic() - self.printed > _PLAIN_SECONDS:
            self._print(self.line())

    def finished(self, verdict: Verdict) -> None:
        self._print(f"{self.heading(100)}  {verdict.verdict}")

    def _print(self, line: str) -> None:
        self.printed = time.monotonic()
        click.echo(line, err=True)


@contextmanager
def progress_display(quiet: bool) -> Iterator[Display]:
    """A `Display` on standard error while the context lasts: live on a terminal, else plain lines."""
    console = Console(stderr=True)
    if quiet:
        yield _Quiet()
    elif console.is_terminal and not console.is_dumb_terminal:
        shown = _LiveProgress(console)
        with Live(console=console, transient=True, refresh_per_second=5, get_renderable=shown.render):
            yield shown
    else:
        yield _PlainProgress()


def verdict_table(rows: Sequence[tuple[str, Verdict]], title: str) -> Table:
    """The verdicts of (study, verdict) pairs as a table, with a section for each study when there are several.

    Parameters
    ----------
    rows : sequence of (str, Verdict)
    title : str
    """
    table = Table(title=Text(title), title_justify="left", box=SIMPLE)
    table.add_column("claim", overflow="fold", min_width=12)
    table.add_column("verdict", no_wrap=True)
    table.add_column("error, %", justify="right", no_wrap=True)
    table.add_column("rivals refuted", overflow="fold")
    several = len({name for name, _ in rows}) > 1
    for study, group in groupby(rows, key=lambda row: row[0]):
        if several:
            table.add_section()
            table.add_row(Text(study, style="bold"))
        for _, verdict in group:
            claim = verdict.claim
            table.add_row(
                Text(f"{'  ' if several else ''}{claim.name or f'{claim.kind}, {claim.theory}'}"),
                Text(verdict.verdict, style=COLOURS[verdict.verdict]),
                interval_text(verdict),
                Text(rivals_text(verdict)),
            )
    return table


def print_table(table: Table) -> None:
    """Print on standard output; elsewhere than on a terminal without blanks at the ends of lines."""
    console = Console()
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    # The text has the colours that the console allows already.
    click.echo(text if console.is_terminal else _stripped(text), nl=False, color=True)


def print_line(text: str, indent: str = "  ") -> None:
    """Print a line of words on standard output; a terminal breaks it between words."""
    console = Console()
    if console.is_terminal:
        text = fill(text, max(40, console.width), subsequent_indent=indent, break_long_words=False)
    click.echo(text)


def _stripped(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines()) + "\n"


def interval_text(verdict: Verdict) -> str:
    """The interval of the error in percent, with digits that its size deserves."""
    if verdict.interval is None:
        return "-"
    low, high = (100 * v for v in verdict.interval)
    if max(abs(low), abs(high)) > 1e4:
        return "> 10000"
    digits = max(0, min(4, 2 - int(np.floor(np.log10(max(abs(low), abs(high), 1e-3))))))
    return f"{low:+.{digits}f} .. {high:+.{digits}f}"


def rivals_text(verdict: Verdict) -> str:
    """Names of the rivals that the data refute, and of those that predict the same."""
    refuted = [r.theory for r in verdict.rivals if r.verdict == "refuted" and r.distinguishable]
    same = list(verdict.indistinguishable)
    text = ", ".join(refuted) or ("-" if verdict.rivals else "")
    return f"{text} (same here: {', '.join(same)})" if same else text


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
