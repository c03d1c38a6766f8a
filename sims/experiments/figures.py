"""Figures of experiments: matplotlib, imported when one is drawn; the same numbers give the same SVG file."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from flatmin.theory.errors import InvalidInput

__all__ = ["COLOURS", "new_figure", "require", "svg"]

# Colours that stay apart for all kinds of colour vision (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_STYLE = {
    "axes.prop_cycle": None,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "font.size": 9.0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "flatmin",
}


def require(package: str) -> Any:
    """Import a package of the extra `experiments`.

    Raises
    ------
    InvalidInput
        When it is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ImportError:
        problem = " is not installed; experiments need it: pip install 'flatmin[experiments]'"
        raise InvalidInput(package, problem) from None


def new_figure(rows: int = 1, columns: int = 1, width: float = 4.0, height: float = 3.0) -> tuple[Any, Any]:
    """A figure and its axes, of so many inches each; shape (rows, columns)."""
    matplotlib = require("matplotlib")
    figures = require("matplotlib.figure")
    style = {**_STYLE, "axes.prop_cycle": matplotlib.cycler(color=COLOURS)}
    with matplotlib.rc_context(style):
        figure = figures.Figure(figsize=(columns * width, rows * height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def svg(figure: Any) -> bytes:
    """The figure as an SVG document, without a date."""
    buffer = io.BytesIO()
    with require("matplotlib").rc_context({k: v for k, v in _STYLE.items() if k.startswith("svg")}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "flatmin"})
    return buffer.getvalue()
