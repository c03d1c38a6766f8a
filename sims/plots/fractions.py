"""A fraction of the runs at every strength, with its exact interval."""

from __future__ import annotations

import numpy as np

from ..confidence import clopper_pearson
from ..document import ClaimEntry
from .plot import Plot
from .style import BAND, DASHES, INK, MUTED, RIVAL, THEORY, below, decided, finish, log_ticks, new_figure, short, styled

__all__ = ["fractions"]


def fractions(claim: ClaimEntry) -> Plot | None:
    """The fraction at each strength against the prediction and the rivals; nothing is extrapolated."""
    detail = claim.detail
    if detail is None or detail.law != "fraction" or claim.predicted is None:
        return None
    known = [(r.strength, float(np.ravel(r.mean)[0]), r.replicas) for r in detail.rungs if r.mean is not None]
    known = [(s, f, n) for s, f, n in known if n > 0 and 0 <= f <= 1]
    if not known:
        return None
    tail = 0.5 * (1 - claim.confidence)
    rows = [(s, f, *clopper_pearson(round(f * n), n, tail), n) for s, f, n in known]
    strengths, values, lows, highs, _ = np.array(rows).T
    predicted = float(claim.predicted.flat[0])
    with styled():
        figure = new_figure(3.2)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        margin = f"margin ± {100 * claim.margin:g} %"
        axes.axhspan(predicted - claim.margin, predicted + claim.margin, fc=BAND, ec=MUTED, lw=0.6, label=margin)
        axes.axhline(predicted, color=THEORY, lw=2, label=f"prediction ({short(claim.theory, 20)})")
        rivals = [(r.theory, claim.shaped(r.predicted)) for r in claim.rivals]
        for (name, value), dash in zip(rivals, DASHES):
            if value is not None:
                axes.axhline(float(value.flat[0]), color=RIVAL, ls=dash, lw=1.1, label=short(name, 28))
        axes.errorbar(
            strengths, values, [values - lows, highs - values], fmt="o", color=INK, capsize=3,
            label=f"measured, exact {100 * claim.confidence:g} % interval of this point alone",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlim(strengths.min() / 4, strengths.max() * 4)
        axes.set_ylim(-0.06, 1.06)
        log_ticks(axes.xaxis)
        axes.set_xlabel("noise strength λ")
        axes.set_ylabel("fraction of the runs")
        finish(axes)
        below(figure, axes)
        decided(figure, claim)
    runs = ", ".join(f"{n:,}".replace(",", "\u2009") for _, _, n in known)
    caption = (
        f"Fraction of {runs} runs, with the exact interval of each point alone. Nothing is extrapolated: how far it "
        "may be from its limit, 0 or 1, is part of the error."
    )
    return Plot("fractions", caption, figure, ("strength", "fraction", "low", "high", "runs"), rows)
