"""Figures of the runs of a network: accuracy, tr H and R along training and against slow time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..plots.style import SERIES, finish, headed, log_ticks, new_grid, plain_log, styled

__all__ = ["figures"]

_ROWS = {"accuracy": "test accuracy, %", "trace": "tr H", "R": "R"}
_AXES = {"step": "steps k", "slow_time": "slow time (η/(1−β))² k/B"}


def figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One figure against steps and one against slow time; columns are starts."""
    with styled():
        return {"along-training": _figure(runs, "step"), "against-slow-time": _figure(runs, "slow_time")}


def _figure(runs: Sequence[Mapping[str, Any]], axis: str) -> Any:
    starts, names = (list(dict.fromkeys(r[key] for r in runs)) for key in ("start", "algorithm"))
    figure, grid = new_grid(len(_ROWS), len(starts), width=4.2, height=2.5)
    for column, start in enumerate(starts):
        for row, (key, label) in enumerate(_ROWS.items()):
            axes = grid[row][column]
            if column:
                axes.sharey(grid[row][0])
            for colour, name in zip(SERIES, names):
                _draw(axes, [r for r in runs if (r["start"], r["algorithm"]) == (start, name)], axis, key, colour, name)
            axes.set_xscale("log")
            log_ticks(axes.xaxis)
            finish(axes)
            if key != "accuracy":
                axes.set_yscale("log")
                plain_log(axes.yaxis)
            axes.set_ylabel(label if column == 0 else "")
            if row == 0:
                axes.set_title(f"start: {start}")
        grid[-1][column].set_xlabel(_AXES[axis])
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    headed(figure, f"A network along training, in {_AXES[axis]}", "each draw thin, the mean of the draws thick")
    return figure


def _draw(axes: Any, runs: Sequence[Mapping[str, Any]], axis: str, key: str, colour: str, name: str) -> None:
    """Every seed as a thin line, their mean as a thick one: of those that went so far."""
    curves: list[tuple[Any, Any]] = []
    for run in runs:
        # Slow time 0 has no place on a logarithmic axis.
        known = [(r[axis], r[key]) for r in run["records"] if r[axis] > 0]
        x = np.array([k for k, _ in known], dtype=float)
        y = np.array([np.nan if v is None else v for _, v in known], dtype=float) * (100 if key == "accuracy" else 1)
        axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.35)
        curves.append((x, y))
    if curves:
        style = "--" if name.startswith("no flips") else "-"
        # A run that diverged stops early; all have the same stops till then.
        x = max((x for x, _ in curves), key=len)
        padded = np.array([np.pad(y, (0, len(x) - len(y)), constant_values=np.nan) for _, y in curves])
        mean = np.ma.masked_invalid(padded).mean(axis=0).filled(np.nan)
        axes.plot(x, mean, style, color=colour, linewidth=1.5, marker=".", markersize=3, label=name)
