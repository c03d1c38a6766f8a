"""The error at every strength, the polynomial through it, its limit with the interval, and what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from ..document import ClaimEntry
from .plot import Plot
from .style import BAND, INK, MUTED, THEORY, VERDICTS, decided, exponent, finish, new_figure, styled
from .style import below as outside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ladder"]


def ladder(claim: ClaimEntry) -> Plot | None:
    """Relative error along the prediction against lambda, and residuals of the fit in standard errors."""
    detail = claim.detail
    if detail is None or detail.error_coefficients is None or len(detail.rungs) < 2:
        return None
    strengths = np.array([r.strength for r in detail.rungs])
    errors = 100 * np.array([r.error for r in detail.rungs], dtype=float)
    spreads = 100 * np.array([r.error_standard_error for r in detail.rungs], dtype=float)
    coefficients = 100 * detail.error_coefficients
    fitted = polynomial.polyval(strengths / strengths.max(), coefficients)
    left = (errors - fitted) / np.where(spreads > 0, spreads, np.nan)
    unit, said = exponent(float(strengths.max()))
    with styled():
        figure = new_figure(3.6)
        above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        fine = np.linspace(0, 1, 60)
        above.plot(fine * strengths.max() / unit, polynomial.polyval(fine, coefficients), color=INK, lw=0.9)
        above.errorbar(strengths / unit, errors, spreads, fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e.")
        above.axhline(0, color=THEORY, lw=2, label="prediction")
        _margin(above, claim, errors)
        if claim.interval is not None:
            low, high = (100 * v for v in claim.interval)
            colour = VERDICTS.get(claim.verdict, MUTED)
            part = "limit" if _along(claim) else "part across the prediction"
            above.errorbar(
                [0], [(low + high) / 2], [[(high - low) / 2]] * 2,
                fmt="none", ecolor=colour, elinewidth=3.5, capsize=6, label=f"interval of the {part}",
            )  # fmt: skip
        above.set_ylabel("error, %")
        below.axhspan(-2, 2, color=BAND)
        below.axhline(0, color=MUTED, lw=0.7)
        below.plot(strengths / unit, left, "o", color=INK)
        below.set_ylim(-_reach(left), _reach(left))
        below.set_ylabel("residual, s.e.")
        below.set_xlabel(f"noise strength λ{f' / {said}' if said else ''}")
        below.set_xlim(left=-0.03 * strengths.max() / unit)
        finish(above)
        outside(figure, above)
        decided(figure, claim)
    powers = "a straight line" if detail.degree == 1 else f"a polynomial of degree {detail.degree}"
    likely = detail.fit_probability
    fit = "" if likely is None else f" Residuals as large as these have probability {likely:.2g}."
    caption = (
        f"Signed error along the prediction at each strength, and {powers} to λ = 0. Below: what the fit leaves, in "
        f"standard errors of each point.{fit}"
    )
    if claim.interval is not None and not _along(claim):
        caption += " The interval that decided is that of the part across the prediction."
    columns = ("strength", "error_percent", "standard_error_percent", "fit_percent", "residual_in_standard_errors")
    return Plot("ladder", caption, figure, columns, list(zip(strengths, errors, spreads, fitted, left)))


def _margin(axes: Axes, claim: ClaimEntry, errors: NDArray[np.float64]) -> None:
    margin = 100 * claim.margin
    seen = [abs(e) for e in errors] + [abs(100 * v) for v in claim.interval or ()]
    if margin <= 8 * max(seen):
        axes.axhspan(-margin, margin, fc=BAND, ec=MUTED, lw=0.6, label=f"margin ± {margin:g} %")
    else:
        axes.plot([], [], " ", label=f"(margin ± {margin:g} %: outside of the figure)")


def _along(claim: ClaimEntry) -> bool:
    """Whether the interval is that of the error along the prediction, in whose middle the limit then lies."""
    limit = None if claim.detail is None else claim.detail.limit.error
    if claim.interval is None or limit is None or claim.predicted is None or claim.predicted.size == 1:
        return True
    low, high = claim.interval
    return abs((low + high) / 2 - limit) <= 1e-3 * (high - low) + 1e-9


def _reach(left: np.ndarray) -> float:
    finite = left[np.isfinite(left)]
    return max(3.0, 1.15 * float(np.max(np.abs(finite), initial=0.0)))
