"""Figures of experiments, in the style of the project; the same numbers give the same SVG file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .. import extras
from ..plots.style import styled

__all__ = ["COLOURS", "new_figure", "plain_log", "require", "style", "svg"]

# Colours that stay apart for all kinds of colour vision (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def require(package: str) -> Any:
    """Import a package of the extra `experiments`.

    Raises
    ------
    InvalidInput
        When it is not installed; the message names the extra.
    """
    extras.require("experiments", "an experiment", package.partition(".")[0])
    return import_module(package)


def new_figure(rows: int = 1, columns: int = 1, width: float = 4.0, height: float = 3.0) -> tuple[Any, Any]:
    """A figure and its axes, of so many inches each; shape (rows, columns)."""
    figures = require("matplotlib.figure")
    with style():
        figure = figures.Figure(figsize=(columns * width, rows * height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def svg(figure: Any) -> bytes:
    """The figure as an SVG document, without a date."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


@contextmanager
def style() -> Iterator[None]:
    """The style of the project, with formulas in labels and on logarithmic axes."""
    matplotlib = require("matplotlib")
    colours = matplotlib.cycler(color=COLOURS)
    with styled(), matplotlib.rc_context({"axes.prop_cycle": colours, "text.parse_math": True}):
        yield


def plain_log(axis: Any) -> None:
    """Ticks 1, 2, 5, 10, ... written out on a logarithmic x or y axis (`axes.xaxis`, `axes.yaxis`)."""
    ticker = require("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.ScalarFormatter())
    axis.set_minor_formatter(ticker.NullFormatter())
