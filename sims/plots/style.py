"""One style for every figure: sizes, type, colours, and the line that says what was decided.

All that is asked of matplotlib beside the axes goes through here; it is imported at first use.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import floor, log10
from typing import TYPE_CHECKING, Any

from ..document import ClaimEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAND", "COLOURS", "DASHES", "INK", "MARKS", "MUTED", "RIVAL", "RULE", "SERIES", "THEORY", "VERDICTS", "below",
    "bounds", "decided", "exponent", "finish", "headed", "log_ticks", "new_figure", "new_grid", "percent", "plain_log",
    "short", "styled", "svg",
]  # fmt: skip

INK, MUTED, RULE, BAND, PAPER = "#1d1d1b", "#6d6a62", "#d9d5cc", "#e8eef5", "#fffefb"
THEORY, RIVAL = "#1f5fa9", "#b5531b"
# Many curves beside each other: colours that stay apart for all kinds of colour vision (Okabe and Ito, 2008).
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# A word and a mark say the same as the colour.
VERDICTS = {"supported": "#1a7a48", "refuted": "#b3271e", "inconclusive": "#8a6401", "not-applicable": "#6d6a63"}
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "not-applicable": "–"}
# By which a page gives each colour another one in the dark.
COLOURS = {
    INK: "ink", MUTED: "muted", RULE: "rule", BAND: "band", PAPER: "paper", THEORY: "theory", RIVAL: "rival",
    **{colour: name for name, colour in VERDICTS.items()},
}  # fmt: skip
DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1.5)), (0, (8, 3)), (0, (1, 3)), (0, (4, 1, 1, 1)))

_STYLE: Any = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "font.size": 10.0,
    # Names are text, whatever signs they hold.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    # The same numbers give the same bytes.
    "svg.hashsalt": "flatmin",
    "svg.fonttype": "path",
}
WIDTH = 4.7  # inches: two of them beside each other on a screen, one on a phone
# A negative number in a name.
_SIGNED = re.compile(r"(?<![\w-])-\d")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the project while the context lasts."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(height: float = 3.2, width: float = WIDTH) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def new_grid(rows: int = 1, columns: int = 1, width: float = 4.0, height: float = 3.0) -> tuple[Figure, Any]:
    """A figure and its axes, of so many inches each; shape (rows, columns)."""
    figure = new_figure(rows * height, columns * width)
    with styled():
        return figure, figure.subplots(rows, columns, squeeze=False)


def decided(figure: Figure, claim: ClaimEntry) -> None:
    """Head the figure with its claim, its verdict and its interval."""
    name = short(f"{claim.study}: {claim.name}" if claim.study else claim.name, 60)
    word = f"{MARKS.get(claim.verdict, '·')} {claim.verdict}"
    text = word if claim.interval is None else f"{word}; error {percent(claim)}; margin ±{100 * claim.margin:g} %"
    headed(figure, name, short(text, 84), VERDICTS.get(claim.verdict, MUTED))


def headed(figure: Figure, title: str, line: str = "", colour: str = MUTED) -> None:
    """Two lines above everything, the second in a colour of its own."""
    height = figure.get_size_inches()[1]
    engine: Any = figure.get_layout_engine()  # its own stubs leave `rect` out
    engine.set(rect=(0, 0, 1, 1 - (0.44 if line else 0.25) / height))
    for text, inches, tint in ((title, 0.06, INK), (line, 0.24, colour)):
        figure.text(0.012, 1 - inches / height, text, color=tint, fontsize=10, va="top", ha="left").set_in_layout(False)


def percent(claim: ClaimEntry) -> str:
    """The interval of the error and its confidence."""
    return f"{bounds(claim)} at {100 * claim.confidence:g} %" if claim.interval is not None else "not measured"


def bounds(claim: ClaimEntry) -> str:
    """The interval of the error."""
    if claim.interval is None:
        return "–"
    low, high = (100 * v for v in claim.interval)
    # As many digits as its size deserves, and as tell its ends apart.
    size, width = max(abs(low), abs(high), 1e-12), max(high - low, 1e-3)
    digits = max(0, min(4, 1 - floor(log10(size))), min(3, -floor(log10(width))))
    return f"{low:+.{digits}f} to {high:+.{digits}f} %".replace("-", "−")


def exponent(largest: float) -> tuple[float, str]:
    """A power of ten that takes numbers of this size near 1, and how a label says so."""
    if not largest > 0 or 1e-2 <= largest < 1e4:
        return 1.0, ""
    power = floor(log10(largest))
    return 10.0**power, f"10{str(power).translate(_SUPERSCRIPTS)}"


def log_ticks(axis: Any) -> None:
    """Powers of ten on a logarithmic axis, as text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(numticks=8))
    low, high = sorted(axis.get_view_interval())
    few, plain = high < 300 * max(low, 1e-300), low >= 1e-3 and high <= 2e3
    shown = FuncFormatter(lambda value, _: f"{value:g}" if plain else _power(value))
    axis.set_major_formatter(shown)
    # Over few decades there may be too few powers of ten to read.
    axis.set_minor_locator(LogLocator(subs=(2.0, 5.0) if few else tuple(range(2, 10)), numticks=100))
    axis.set_minor_formatter(shown if few else NullFormatter())


def plain_log(axis: Any) -> None:
    """Ticks 1, 2, 5, 10, ... written out on a logarithmic axis of few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _power(value: float) -> str:
    power = floor(log10(value) + 1e-9)
    if 0 <= power <= 2:
        return f"{value:g}"
    digit, ten = round(value / 10.0**power), f"10{str(power).translate(_SUPERSCRIPTS)}"
    return ten if digit == 1 else f"{digit} × {ten}"


def below(figure: Figure, *panels: Axes) -> None:
    """A legend under the axes, where no data are."""
    told: dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels()):
            told.setdefault(name.replace("-", "−") if _SIGNED.search(name) else name, handle)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * -(-len(told) // 2))
    figure.legend(told.values(), told.keys(), loc="outside lower left", ncols=2, fontsize=8.5)


def short(text: str, room: int) -> str:
    """At most so many letters, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= room else f"{line[: room - 1]}…"


def finish(axes: Axes) -> None:
    """A quiet grid."""
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def svg(figure: Figure) -> str:
    """The figure as an SVG of its own."""
    out = io.StringIO()
    engine: Any = figure.get_layout_engine()
    with styled():
        # Once laid out here it is drawn once; savefig would draw it twice.
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        figure.set_layout_engine(engine)
    return out.getvalue()
