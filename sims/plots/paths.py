"""A path: the mean of the ensemble against the slow flow, in a plane and coordinate by coordinate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ..document import ClaimEntry
from .plot import Plot
from .style import DASHES, INK, MUTED, RIVAL, THEORY, below, decided, finish, new_figure, short, styled

__all__ = ["coordinates", "plane"]

Array = NDArray[np.float64]
_MOST = 6


def plane(claim: ClaimEntry) -> Plot | None:
    """The path in the plane of two parameters, or of the two directions in which the prediction moves most."""
    if not claim.is_path or claim.predicted.shape[1] < 2:
        return None
    predicted, measured = claim.predicted, claim.shaped(claim.measured)
    d = predicted.shape[1]
    whole = _from_start(claim, predicted)
    centre = np.zeros(d) if d == 2 else whole.mean(axis=0)
    axes_of = np.eye(2) if d == 2 else np.linalg.svd(whole - centre, full_matrices=False)[2][:2]
    names = [claim.parameter(0), claim.parameter(1)] if d == 2 else ["first direction of the path", "second"]

    def project(path: Array) -> Array:
        return np.asarray((path - centre) @ axes_of.T)

    rows: list[tuple[object, ...]] = []
    with styled():
        figure = new_figure(3.3)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        for rung in claim.rungs:
            mean = claim.shaped(rung.mean)
            if mean is not None:
                axes.plot(*project(_from_start(claim, mean)).T, "-", color=MUTED, lw=0.6)
                rows += [(f"mean at lambda={rung.strength:.6g}", t, *p) for t, p in zip(claim.times, project(mean))]
        for rival, dash in zip(claim.rivals, DASHES):
            other = claim.shaped(rival.predicted)
            if other is not None:
                axes.plot(
                    *project(_from_start(claim, other)).T, color=RIVAL, ls=dash, lw=1.1, label=short(rival.theory, 28)
                )
                rows += [(rival.theory, t, *p) for t, p in zip(claim.times, project(other))]
        axes.plot(*project(_smooth(claim, whole)).T, color=THEORY, lw=1.8, label="slow flow")
        rows += [("slow flow", t, *p) for t, p in zip(claim.times, project(predicted))]
        if measured is not None:
            axes.plot(*project(measured).T, "o", color=INK, label="measured, λ → 0")
            rows += [("measured limit", t, *p) for t, p in zip(claim.times, project(measured))]
        if claim.start is not None:
            axes.plot(*project(whole[:1]).T, "s", color=INK, mfc="none", label="start")
        axes.set_xlabel(short(names[0], 30))
        axes.set_ylabel(short(names[1], 30))
        finish(axes)
        below(figure, axes)
        decided(figure, claim)
    caption = (
        "Path of the ensemble on the zero-loss set against the slow flow. Grey: means at the strengths of the ladder; "
        "dots: their limit."
    )
    return Plot("path", caption, figure, ("what", "step", "x", "y"), rows)


def coordinates(claim: ClaimEntry) -> Plot | None:
    """Up to six coordinates of the path against the number of steps."""
    if not claim.is_path:
        return None
    predicted, measured, errors = claim.predicted, claim.shaped(claim.measured), claim.shaped(claim.standard_error)
    moved = np.ptp(_from_start(claim, predicted), axis=0)
    chosen = sorted(np.argsort(-moved, kind="stable")[:_MOST].tolist())
    columns = 1 if len(chosen) == 1 else 2
    lines = -(-len(chosen) // columns)
    begin = claim.start is not None
    steps = np.concatenate([[0.0], claim.times]) if begin else claim.times
    fine = _fine(steps)
    smooth = _smooth(claim, _from_start(claim, predicted))
    rows: list[tuple[object, ...]] = []
    with styled():
        figure = new_figure(0.75 + 1.5 * lines)
        panels = figure.subplots(lines, columns, sharex=True, squeeze=False).ravel()
        for axes, c in zip(panels, chosen):
            for rival, dash in zip(claim.rivals, DASHES):
                other = claim.shaped(rival.predicted)
                if other is not None:
                    axes.plot(
                        steps,
                        _from_start(claim, other)[:, c],
                        color=RIVAL,
                        ls=dash,
                        lw=1.1,
                        label=short(rival.theory, 28),
                    )
            axes.plot(fine, smooth[:, c], color=THEORY, lw=1.5, label="slow flow")
            if measured is not None and errors is not None:
                axes.errorbar(
                    claim.times, measured[:, c], errors[:, c], fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e."
                )
                rows += [
                    (claim.parameter(c), t, p, m, e)
                    for t, p, m, e in zip(claim.times, predicted[:, c], measured[:, c], errors[:, c])
                ]
            axes.set_ylabel(short(claim.parameter(c), 16))
            axes.margins(y=0.12)
            finish(axes)
        for axes in panels[len(chosen) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(chosen) - columns) : len(chosen)]:
            axes.set_xlabel("step")
            axes.xaxis.set_tick_params(labelbottom=True)
        below(figure, panels[0])
        decided(figure, claim)
    caption = "Coordinates of the mean path at the study's own strength, with the slow flow and the rivals."
    return Plot("coordinates", caption, figure, ("parameter", "step", "predicted", "measured", "standard_error"), rows)


def _from_start(claim: ClaimEntry, path: Array) -> Array:
    return path if claim.start is None else np.vstack([claim.start, path])


def _smooth(claim: ClaimEntry, path: Array) -> Array:
    """A curve through points of the slow flow."""
    steps = np.concatenate([[0.0], claim.times]) if len(path) > len(claim.times) else claim.times
    return np.asarray(PchipInterpolator(steps, path)(_fine(steps)))


def _fine(steps: Array) -> Array:
    return np.linspace(float(steps[0]), float(steps[-1]), 80)
