"""A covariance: its ellipse against that of S, and its entries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..document import ClaimEntry
from .plot import Plot
from .style import DASHES, INK, MUTED, RIVAL, THEORY, below, decided, exponent, finish, new_figure, short, styled

__all__ = ["ellipse", "entries"]

Array = NDArray[np.float64]
_TURN = np.linspace(0, 2 * np.pi, 241)


def ellipse(claim: ClaimEntry) -> Plot | None:
    """One standard deviation in the plane of two parameters, or of the two widest directions of the prediction."""
    measured = claim.shaped(claim.measured) if claim.is_matrix else None
    if measured is None or len(measured) < 2 or not np.all(np.isfinite(measured)):
        return None
    predicted = claim.predicted
    d = len(predicted)
    basis = np.eye(2) if d == 2 else np.linalg.eigh(predicted + predicted.T)[1][:, ::-1][:, :2].T
    names = [claim.parameter(0), claim.parameter(1)] if d == 2 else ["widest direction of S", "second"]
    told = [("prediction", predicted, {"color": THEORY, "lw": 2.6})]
    told += [
        (short(r.theory, 28), value, {"color": RIVAL, "ls": dash, "lw": 1.1})
        for r, dash in zip(claim.rivals, DASHES)
        if (value := claim.shaped(r.predicted)) is not None and np.any(value)
    ]
    told += [("measured", measured, {"color": INK, "lw": 1.0})]
    curves = [(name, _curve(basis @ value @ basis.T), look) for name, value, look in told]
    unit, said = exponent(max(float(np.max(np.abs(curve))) for _, curve, _ in curves))
    with styled():
        figure = new_figure(3.6)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        for name, curve, look in curves:
            axes.plot(*curve / unit, label=name, **look)
        axes.axhline(0, color=MUTED, lw=0.5)
        axes.axvline(0, color=MUTED, lw=0.5)
        axes.set_aspect("equal", adjustable="datalim")
        for put, name in zip((axes.set_xlabel, axes.set_ylabel), names):
            put(f"{short(name, 30)}{f' / {said}' if said else ''}")
        below(figure, axes)
        decided(figure, claim)
    caption = "One standard deviation of the fast fluctuation, measured and by S. Where S has rank one it is a line."
    rows = [(name, *point) for name, curve, _ in curves for point in curve.T[::5]]
    return Plot("ellipse", caption, figure, ("what", "x", "y"), rows)


def entries(claim: ClaimEntry) -> Plot | None:
    """Every entry of a matrix, measured against predicted."""
    measured = claim.shaped(claim.measured) if claim.is_matrix else None
    errors = claim.shaped(claim.standard_error)
    if measured is None or errors is None:
        return None
    upper = np.triu_indices(len(measured))
    x, y, e = claim.predicted[upper], measured[upper], errors[upper]
    unit, said = exponent(float(max(np.max(np.abs(x)), np.max(np.abs(y)))))
    with styled():
        figure = new_figure(3.6)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())]) / unit
        axes.plot(ends, ends, color=THEORY, label="measured = predicted")
        axes.errorbar(x / unit, y / unit, e / unit, fmt="o", color=INK, capsize=2, label="entries, ± 1 s.e.")
        tail = f" / {said}" if said else ""
        axes.set_xlabel(f"predicted{tail}")
        axes.set_ylabel(f"measured{tail}")
        finish(axes)
        below(figure, axes)
        decided(figure, claim)
    rows = [(f"{claim.parameter(int(i))}, {claim.parameter(int(j))}", *v) for i, j, *v in zip(*upper, x, y, e)]
    return Plot("entries", "Entries of the matrix, measured against predicted.", figure,
                ("entry", "predicted", "measured", "standard_error"), rows)  # fmt: skip


def _curve(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ np.array([np.cos(_TURN), np.sin(_TURN)]))
