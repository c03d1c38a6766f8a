"""Figures of sparse recovery: along training, where runs end, and how many samples are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..plots.style import SERIES, finish, headed, log_ticks, new_grid, plain_log, styled
from .sparse_statements import best_kick, cases, chosen, errors, numbers, recovered_fractions

__all__ = ["figures"]

Run = Mapping[str, Any]
ALGORITHMS = ("label noise", "gradient descent", "SGD", "isotropic noise")


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """By the name of the file."""
    with styled():
        drawn = {"training": _training(runs), "recovery": _recovery(runs)}
        return drawn | ({"map": _map(runs)} if chosen(runs, part="map") else {})


def _training(runs: Sequence[Run]) -> Any:
    """Error, R and the l1 norm along label noise SGD, of every draw."""
    figure, axes = new_grid(1, 2)
    left, right = axes[0]
    shown = [c for c in cases(runs) if not c[1]]
    for colour, (k, signed) in zip(SERIES, shown):
        of = chosen(runs, part="recovery", algorithm="label noise", k=k, signed=signed)
        times = of[0]["times"]
        for key, axis, line in (("errors", left, "-"), ("r", right, "-"), ("l1", right, ":")):
            paths = np.array([numbers(r[key]) for r in of])
            axis.plot(times, paths.T, line, color=colour, alpha=0.15, linewidth=0.6)
            name = {"errors": f"k = {k}", "r": f"R, k = {k}", "l1": f"l1 norm, k = {k}"}[key]
            axis.plot(times, np.median(paths, axis=0), line, color=colour, linewidth=1.8, label=name)
    for axis, label in ((left, "|β − β*| / |β*|"), (right, "R and |β|₁")):
        axis.set(xlabel="slow time ηλk = η²σ²k/B", ylabel=label, yscale="log")
        axis.legend()
        finish(axis)
    log_ticks(left.yaxis)
    plain_log(right.yaxis)
    headed(figure, "Label noise along training", "each draw thin, the median of the draws thick")
    return figure


def _recovery(runs: Sequence[Run]) -> Any:
    """Errors of every draw at the end, by algorithm."""
    shown = cases(runs)
    figure, axes = new_grid(1, len(shown), width=2.4)
    for axis, (k, signed) in zip(axes[0], shown):
        case = {"part": "recovery", "k": k, "signed": signed}
        if axis is not axes[0][0]:
            axis.sharey(axes[0][0])
        for m, name in enumerate(ALGORITHMS):
            full = best_kick(runs, **case) if name == "isotropic noise" else name
            values = errors(runs, algorithm=full, **case)
            across = m + np.linspace(-0.25, 0.25, len(values))
            axis.plot(across, values, "o", color=SERIES[m], markersize=3, alpha=0.7)
            axis.plot([m - 0.35, m + 0.35], [np.median(values)] * 2, color=SERIES[m])
        axis.set(yscale="log", title=f"k = {k}{', signed' if signed else ''}", xticks=range(len(ALGORITHMS)))
        axis.set_xticklabels(ALGORITHMS, rotation=40, ha="right")
        finish(axis)
    axes[0][0].set_ylabel("|β − β*| / |β*| at the end")
    log_ticks(axes[0][0].yaxis)
    headed(figure, "Where the runs end", "each draw, and the median of the draws")
    return figure


def _map(runs: Sequence[Run]) -> Any:
    """Fractions of draws that find the truth, over n and k log d; beside it what the least R does."""
    figure, axes = new_grid(1, 2, width=4.4, height=3.6)
    titles = {"error": "label noise", "least_r_error": "the beta of least R (linear program)"}
    sizes = sorted({r["d"] for r in chosen(runs, part="map")})
    for axis, (key, title) in zip(axes[0], titles.items()):
        fractions = recovered_fractions(runs, key)
        for marker, d in zip("osD^v", sizes):
            cells = [(k * np.log(d), n, value) for (size, k, n), value in fractions.items() if size == d]
            x, y, value = np.array(cells).T
            drawn = axis.scatter(
                x, y, c=value, marker=marker, s=22, cmap="viridis", vmin=0, vmax=1, edgecolors="0.4", linewidths=0.4
            )
            axis.scatter([], [], marker=marker, facecolors="none", edgecolors="0.4", label=f"d = {d}")
        lengths = [k * np.log(d) for d, k, _ in fractions]
        ends = np.array([min(lengths), max(lengths)])
        for multiple, line in ((0.75, ":"), (1.35, "--")):
            axis.plot(ends, multiple * ends, line, color="0.3", linewidth=0.9, label=f"n = {multiple} k log d")
        axis.set(xscale="log", yscale="log", xlabel="k log d", ylabel="samples n", title=title)
        plain_log(axis.xaxis)
        plain_log(axis.yaxis)
    axes[0][0].legend(fontsize="small")
    figure.colorbar(drawn, ax=list(axes[0]), label="fraction of draws that end at the truth")
    headed(figure, "How many samples are enough")
    return figure
