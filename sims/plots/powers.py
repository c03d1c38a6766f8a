"""A power of lambda: the statistic at every strength on logarithmic axes, the law through it, and the rivals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..document import ClaimEntry
from .plot import Plot
from .style import DASHES, INK, RIVAL, THEORY, below, decided, finish, log_ticks, new_figure, short, styled

__all__ = ["powers"]

_NAMES = {"coupling": "largest |Δ| of a run, mean", "hitting-exponent": "steps until the ball is met, mean"}


def powers(claim: ClaimEntry) -> Plot | None:
    """The fitted law, and lines of the predicted and the rivals' exponents through the smallest strength."""
    detail = claim.detail
    if detail is None or detail.law != "power" or detail.coefficients is None or claim.predicted is None:
        return None
    if any(r.mean is None or r.standard_error is None for r in detail.rungs) or len(detail.rungs) < 2:
        return None
    strengths = np.array([r.strength for r in detail.rungs])
    means = np.array([float(np.ravel(r.mean)[0]) for r in detail.rungs])
    errors = np.array([float(np.ravel(r.standard_error)[0]) for r in detail.rungs])
    exponent, intercept, size = detail.coefficients.ravel()
    fine = np.geomspace(strengths.min(), strengths.max(), 100)
    correction = size * (fine / strengths.max()) ** (detail.correction_power or 1.0)
    predicted = float(claim.predicted.flat[0])
    at_least = "at least " if claim.bound else ""
    lines: list[tuple[str, float, str, Any]] = [
        (f"prediction: exponent {at_least}{predicted:.4g}", predicted, THEORY, "-")
    ]
    rivals = [(r.theory, claim.shaped(r.predicted)) for r in claim.rivals]
    lines += [
        (
            short(name if name.startswith("exponent") else f"{name}: {float(value.flat[0]):.4g}", 28),
            float(value.flat[0]),
            RIVAL,
            dash,
        )
        for (name, value), dash in zip(rivals, DASHES)
        if value is not None
    ]
    rows = [("measured", s, m, e) for s, m, e in zip(strengths, means, errors)]
    with styled():
        figure = new_figure(3.6)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        first = int(np.argmin(strengths))
        for name, power, colour, dash in lines:
            axes.plot(
                fine,
                means[first] * (fine / strengths[first]) ** power,
                color=colour,
                ls=dash,
                lw=2 if dash == "-" else 1.1,
                label=name,
            )
            rows += [(name, s, means[first] * (s / strengths[first]) ** power, "") for s in strengths]
        law = np.exp(intercept + exponent * np.log(fine) + correction)
        axes.plot(fine, law, color=INK, lw=0.9, label=f"fitted: exponent {exponent:.4g} as λ → 0")
        axes.errorbar(strengths, means, errors, fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e.")
        axes.loglog()
        log_ticks(axes.xaxis)
        log_ticks(axes.yaxis)
        axes.set_xlabel("noise strength λ")
        axes.set_ylabel(_NAMES.get(claim.kind, "statistic"))
        finish(axes)
        below(figure, axes)
        decided(figure, claim)
    caption = (
        "The statistic at each strength, the fitted law A λ^p (1 + c λ^q), and lines of the predicted and the rivals' "
        "exponents through the measurement at the smallest strength."
    )
    return Plot("powers", caption, figure, ("what", "strength", "value", "standard_error"), rows)
