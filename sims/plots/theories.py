"""How far the measurement is from what each theory says."""

from __future__ import annotations

from ..document import ClaimEntry
from .plot import Plot
from .style import BAND, MARKS, MUTED, VERDICTS, decided, log_ticks, new_figure, short, styled

__all__ = ["theories"]

# Percent: what is nearer is drawn here.
_LEAST = 1e-5


def theories(claim: ClaimEntry) -> Plot | None:
    """Distance of each prediction from the measured limit, over what errors of that theory are relative to."""
    if claim.distance() is None or not claim.rivals:
        return None
    role = "the claim, a bound" if claim.bound else "the claim"
    told = [(f"{claim.theory} ({role})", claim.verdict, claim.distance())]
    told += [(r.theory, r.verdict, claim.distance(r)) for r in claim.rivals]
    rows = [(name, verdict, 100 * distance) for name, verdict, distance in told if distance is not None]
    margin = 100 * claim.margin
    with styled():
        figure = new_figure(1.25 + 0.3 * len(rows))
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        drawn = [max(distance, _LEAST) for _, _, distance in rows]
        low, high = min(*drawn, margin) / 3, max(*drawn, margin) * 12
        if claim.has_own_scales:
            axes.axvspan(low, margin, color=BAND)
            axes.axvline(margin, color=MUTED, lw=0.8)
        for y, ((_, verdict, distance), x) in enumerate(zip(rows, drawn)):
            colour = VERDICTS.get(verdict, MUTED)
            axes.plot([low, x], [y, y], color=colour, lw=0.8)
            axes.plot([x], [y], "o", color=colour)
            axes.annotate(
                f"{MARKS.get(verdict, '·')} {_percent(distance)}", (x, y), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9, color=colour,
            )  # fmt: skip
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
        axes.set_xlim(low, high)
        axes.set_yticks(range(len(rows)), [short(name, 26) for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        own = "its own" if claim.has_own_scales else "the claim's"
        axes.set_xlabel(f"distance from the measurement, % of {own} scale")
        decided(figure, claim)
    caption = "How far each prediction is from the measured limit. "
    if claim.has_own_scales:
        caption += f"Shaded: within the margin of {margin:g} %."
    else:
        caption += "Each verdict is relative to the theory's own scale, which this result does not hold of the rivals."
    if claim.bound:
        caption += " The claim is a bound: nothing above it is an error."
    return Plot("theories", caption, figure, ("theory", "verdict", "distance_percent"), rows)


def _percent(distance: float) -> str:
    return f"{distance:.3g} %" if distance >= 1e-3 else "< 0.001 %"
