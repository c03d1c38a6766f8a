"""The statistic itself against lambda, beside the prediction and what the rivals say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import polynomial

from ..document import ClaimEntry
from .plot import Plot
from .style import DASHES, INK, RIVAL, THEORY, below, decided, exponent, finish, new_figure, short, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["values"]

_MOST = 6


def values(claim: ClaimEntry) -> Plot | None:
    """Up to six components, those that the theories disagree on most."""
    detail, predicted = claim.detail, claim.predicted
    if detail is None or predicted is None or detail.law != "polynomial":
        return None
    if detail.coefficients is None or len(detail.rungs) < 2:
        return None
    means = [claim.shaped(r.mean) for r in detail.rungs]
    spreads = [claim.shaped(r.standard_error) for r in detail.rungs]
    if any(m is None for m in (*means, *spreads)):
        return None
    rivals = [(r.theory, claim.shaped(r.predicted)) for r in claim.rivals if r.verdict != "not-applicable"]
    others = [(name, value.ravel()) for name, value in rivals if value is not None]
    chosen = _chosen(claim, predicted, [value for _, value in others])
    strengths = np.array([r.strength for r in detail.rungs])
    table, errors = np.stack([m.ravel() for m in means]), np.stack([s.ravel() for s in spreads])  # type: ignore[union-attr]
    coefficients = detail.coefficients.reshape(len(detail.coefficients), -1)
    unit, said = exponent(float(strengths.max()))
    columns = 1 if len(chosen) == 1 else 2
    lines = -(-len(chosen) // columns)
    rows: list[tuple[object, ...]] = []
    with styled():
        figure = new_figure(0.75 + 1.65 * lines)
        panels = figure.subplots(lines, columns, sharex=True, squeeze=False).ravel()
        for axes, c in zip(panels, chosen):
            told = [predicted.ravel()[c], *table[:, c], *(value[c] for _, value in others)]
            scale, power = exponent(float(np.max(np.abs(told))))
            axes.axhline(
                predicted.ravel()[c] / scale, color=THEORY, lw=2, label=f"prediction ({short(claim.theory, 20)})"
            )
            for (name, value), dash in zip(others, DASHES):
                axes.axhline(value[c] / scale, color=RIVAL, ls=dash, lw=1.1, label=short(name, 28))
                rows.append((claim.component(c), name, "", value[c], ""))
            fine = np.linspace(0, 1, 40)
            curve = polynomial.polyval(fine, coefficients[:, c])
            axes.plot(fine * strengths.max() / unit, curve / scale, color=INK, lw=0.9)
            axes.errorbar(
                strengths / unit, table[:, c] / scale, errors[:, c] / scale,
                fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e.",
            )  # fmt: skip
            _name(axes, short(claim.component(c), 24), power)
            rows += [(claim.component(c), "prediction", 0.0, predicted.ravel()[c], "")]
            rows += [(claim.component(c), "measured", s, table[j, c], errors[j, c]) for j, s in enumerate(strengths)]
            rows += [(claim.component(c), "limit", 0.0, coefficients[0, c], "")]
        for axes in panels[len(chosen) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(chosen) - columns) : len(chosen)]:
            axes.set_xlabel(f"λ{f' / {said}' if said else ''}")
            axes.xaxis.set_tick_params(labelbottom=True)
        below(figure, panels[0])
        decided(figure, claim)
    left = predicted.size - len(chosen)
    caption = "The statistic at each strength, its extrapolation to λ = 0, the prediction, and the rivals (dashed)."
    if left:
        caption += f" {len(chosen)} of {predicted.size} components: those on which the theories disagree most."
    return Plot("values", caption, figure, ("component", "what", "strength", "value", "standard_error"), rows)


def _name(axes: Axes, name: str, power: str) -> None:
    axes.set_ylabel(f"{name}{f' / {power}' if power else ''}")
    axes.margins(y=0.12)
    axes.ticklabel_format(useOffset=False)
    finish(axes)


def _chosen(claim: ClaimEntry, predicted: np.ndarray, others: list[np.ndarray]) -> list[int]:
    flat = predicted.ravel()
    known = np.arange(flat.size)
    if claim.is_matrix:
        known = np.array([i for i in known if i // predicted.shape[1] <= i % predicted.shape[1]])
    if claim.is_path:
        known = known[-predicted.shape[1] :]  # where the path ends
    weight = np.max(np.abs(np.stack([flat, *others]) - flat), axis=0) + 1e-9 * np.abs(flat)
    return sorted(known[np.argsort(-weight[known], kind="stable")][:_MOST].tolist())
