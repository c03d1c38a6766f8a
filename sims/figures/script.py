"""What the figures share: a command line, and files in three formats."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..extras import require
from ..jsonfile import check_writable, write_whole
from ..plots.plot import Plot
from ..plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawn", "script", "write"]


@dataclass(frozen=True)
class Drawn:
    """A figure with its numbers and what it shows in a sentence.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    caption : str
    columns : sequence of str
    rows : sequence of sequence
    """

    figure: Figure
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def write(name: str, draw: Callable[[int], Drawn], seed: int, folder: Path, option: str = "--out") -> list[Path]:
    """Draw a figure and write NAME.svg, NAME.pdf and NAME.csv.

    Raises
    ------
    InvalidInput
        Without matplotlib, the extra `report`.
    CannotWrite
        Found out before anything runs.
    """
    require("report", f"the figure {name!r}", "matplotlib")
    paths = [folder / f"{name}.{ending}" for ending in ("svg", "pdf", "csv")]
    for path in paths:
        check_writable(option, path)
    drawn = draw(seed)
    plot = Plot(name, drawn.caption, drawn.figure, drawn.columns, drawn.rows)
    buffer = io.BytesIO()
    with styled():
        # Without a date, the same numbers give the same bytes.
        drawn.figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Title": name})
    for path, data in zip(paths, (plot.svg.encode(), buffer.getvalue(), plot.csv().encode())):
        write_whole(option, path, data)
    return paths


def script(name: str, draw: Callable[[int], Drawn], about: str | None) -> click.Command:
    """The command line of one figure, with the text of its module as help."""

    @click.command(name, help=about, context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--out", type=click.Path(path_type=Path), default=".", help="Folder for the files; default: here.")
    @click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of all random numbers."
    )
    def command(out: Path, seed: int) -> None:
        for path in write(name, draw, seed, out):
            click.echo(f"wrote {path}")

    return command
