"""`Plot`: a figure with its name, its caption and its data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Plot"]


@dataclass(frozen=True)
class Plot:
    """A figure.

    Attributes
    ----------
    name : str
        Of its files.
    caption : str
        What is to be seen, in words.
    figure : matplotlib.figure.Figure
    columns : sequence of str
    rows : sequence of sequence
        The numbers that are drawn.
    """

    name: str
    caption: str
    figure: Figure
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG of its own; the same numbers give the same text."""
        from .style import svg

        return svg(self.figure)

    def csv(self) -> str:
        """The numbers as comma-separated values, in full precision; text that a spreadsheet would run is quoted."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([_cell(c) for c in self.columns])
        writer.writerows([_cell(v) for v in row] for row in self.rows)
        return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
