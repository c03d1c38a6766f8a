"""Tables of the runs of a network: where they start and end, and R by two routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .findings import NumberTable

__all__ = ["tables"]

_COLUMNS = {"accuracy": (100.0, 1), "trace": (1.0, 1), "largest": (1.0, 2), "R": (1.0, 2), "loss": (1.0, 4)}


def tables(starts: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[NumberTable]:
    """Means and deviations over seeds, at the start and the end of every kind of run; exact R beside its estimate.

    A run that diverged has no end: it is left out, and counted beside the name.
    """
    rows = []
    for start in dict.fromkeys(s["start"] for s in starts):
        rows.append([start, "start", "0", *_cells([s for s in starts if s["start"] == start])])
        for name in dict.fromkeys(r["algorithm"] for r in runs if r["start"] == start):
            ours = [r for r in runs if (r["start"], r["algorithm"]) == (start, name)]
            ends = [r["records"][-1] for r in ours if not r["reason"]]
            lost = f" ({len(ours) - len(ends)} without an end)" if len(ends) < len(ours) else ""
            rows.append([start, name + lost, f"{ends[0]['slow_time']:.3g}" if ends else "none", *_cells(ends)])
    columns = ["start", "run", "eta^2 k/B", "test accuracy, %", "tr H", "h_max", "R", "L"]
    ends_table = NumberTable("Ends of runs: mean +- deviation over seeds", columns, rows)
    return [ends_table, _routes(starts)]


def _routes(starts: Sequence[Mapping[str, Any]]) -> NumberTable:
    rows = []
    for s in starts:
        if s["R"] is not None:
            error, off = s["R_lanczos_error"], s["R_lanczos"] - s["R"]
            estimate = f"{s['R_lanczos']:.3f} +- {error:.2g}"
            rows.append([f"{s['start']}, seed {s['seed']}", f"{s['R']:.3f}", estimate, f"{off / error:+.1f}"])
    columns = ["start", "R, Gram matrix", "stochastic Lanczos quadrature", "off, errors"]
    return NumberTable("R at the starts by two routes", columns, rows)


def _cells(records: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = []
    for key, (unit, digits) in _COLUMNS.items():
        values = np.array([r[key] * unit for r in records if r[key] is not None])
        lost = len(records) - len(values)
        spread = f" +- {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        text = f"{values.mean():.{digits}f}{spread}" if len(values) else "none"
        cells.append(text + (f" ({lost} without)" if lost and len(values) else ""))
    return cells
