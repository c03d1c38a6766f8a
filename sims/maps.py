"""The map of linear scaling: how wrong the limit of small learning rates is, over eta h_max and n/B.

At the start of a study, for each learning rate and batch size: R against its limit R0 = tr(H)/4, and the slow drift of
that limit against the derived one and against the measured one. Errors of a drift are over the norm of the limit's.
References: Damian, Ma, Lee (2021), Section 2; the finite batch: `flatmin.theory.derived.Derived`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from flatmin.theory import Algorithm, Claim, InvalidInput
from flatmin.theory.effective import effective
from flatmin.theory.errors import NotApplicable
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point
from flatmin.theory.noise import LabelNoise
from flatmin.theory.rules import SGD, HeavyBall
from flatmin.theory.slow import Paper, SmallLearningRate
from flatmin.theory.study import Study
from numpy.typing import NDArray

from .experiments.store import Laboratory, Setting
from .kernel import Kernel
from .plots.style import headed, new_grid
from .verification import verify_each

__all__ = ["COLUMNS", "STEEPNESS", "as_csv", "batch_sizes", "drawn", "mapped"]

Batch = int | Literal["full"]

# eta h_max of the map, if nobody says otherwise; 2 is the limit.
STEEPNESS = (0.05, 0.2, 0.5, 0.8, 1.1, 1.4, 1.7)
COLUMNS = (
    "eta_h",
    "n_over_b",
    "lr",
    "batch_size",
    "regularizer_error",
    "predicted",
    "measured",
    "standard_error",
    "derived_error",
    "verdict_small_lr",
    "verdict_derived",
    "reason",
)


def batch_sizes(n: int) -> tuple[Batch, ...]:
    """From no minibatch noise to one sample per step."""
    return ("full", *sorted({4 * n, 2 * n, n, max(1, n // 2), 1}, reverse=True))


def mapped(
    study: Study, laboratory: Laboratory, steepness: Sequence[float], batches: Sequence[Batch], budget: float
) -> list[dict[str, Any]]:
    """One row of `COLUMNS` for each learning rate and batch size; finished ones are read from the laboratory.

    Parameters
    ----------
    study : Study
        Its model, rule, noise, start, margin, confidence and seed; its claims are not looked at.
    laboratory : Laboratory
    steepness : sequence of float
        Values of eta h_max.
    batches : sequence of int or "full"
        Drawn with replacement.
    budget : float
        Seconds for each.

    Raises
    ------
    InvalidInput
        For another noise than label noise, or another rule than SGD and the heavy ball; for a bad value.
    NotApplicable
        Without a zero-loss point.
    """
    algorithm = study.algorithm
    if type(algorithm.noise) is not LabelNoise or not algorithm.strength(study.model):
        raise InvalidInput("algorithm.noise.kind", " must be label noise for a map: with flips the batch is the noise")
    if not isinstance(algorithm.update_rule, (SGD, HeavyBall)):
        raise InvalidInput("algorithm.rule", f"={algorithm.update_rule} must be SGD or the heavy ball, which have an R")
    model, _ = effective(study.model, algorithm)
    start = nearest_zero_loss_point(model, study.start)
    largest = float(LocalGeometry.at(model, start).curvatures[0])
    settings = []
    for batch in batches:
        for value in steepness:
            one = _cell(algorithm, value / largest, batch)
            one.check(model)
            settings.append({"study": _digest(study, budget), "eta_h": value, "batch_size": batch})
    Kernel.for_algorithm(model, algorithm)  # once, before many threads ask for it

    def cell(setting: Setting, should_stop: Callable[[], bool]) -> dict[str, Any]:
        one = _cell(algorithm, setting["eta_h"] / largest, setting["batch_size"])
        return _row(study, one, start, budget) | {"eta_h": setting["eta_h"]}

    rows = laboratory.finish(cell, settings, name=lambda s: f"eta h = {s['eta_h']:g}, B = {s['batch_size']}")
    return [{name: row.get(name) for name in COLUMNS} for row in rows]


def _cell(algorithm: Algorithm, lr: float, batch: Batch) -> Algorithm:
    return replace(algorithm, lr=lr, batch_size=batch, sampling="with-replacement")


def _digest(study: Study, budget: float) -> str:
    """What a cell depends on besides its place on the map."""
    model = study.model
    parts = (
        model.parameters,
        model.inputs,
        model.prediction,
        model.loss_name,
        model.x.tolist(),
        model.y.tolist(),
        study.start.tolist(),
    )
    text = repr((*parts, study.algorithm, replace(study.run, budget=budget)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _row(study: Study, algorithm: Algorithm, start: NDArray[np.float64], budget: float) -> dict[str, Any]:
    model = study.model
    local = LocalGeometry.at(model, start)
    full = algorithm.batch_size == "full"
    row: dict[str, Any] = {
        "n_over_b": 0.0 if full else model.n / algorithm.batch(model),
        "lr": algorithm.lr,
        "batch_size": algorithm.batch_size,
    }
    limit = SmallLearningRate(model, algorithm)
    try:
        r, r0 = Paper(model, algorithm).regularizer(local), limit.regularizer(local)
        assert r is not None
        assert r0 is not None
        row["regularizer_error"] = (r - r0) / r0
    except NotApplicable as error:
        return row | {"reason": str(error)}
    claims = (Claim("drift", "small-lr"), Claim("drift"))
    options = replace(study.run, budget=budget)
    small, derived = verify_each(model, algorithm, start, claims, options, threads=1)
    row["verdict_small_lr"], row["verdict_derived"] = small.verdict, derived.verdict
    if derived.predicted is None or small.predicted is None:
        return row | {"reason": derived.reason or small.reason}
    scale = float(np.linalg.norm(small.predicted))
    row["predicted"] = float(np.linalg.norm(derived.predicted - small.predicted)) / scale
    if derived.measured is None or derived.standard_error is None:
        return row | {"reason": derived.reason}
    row["measured"] = float(np.linalg.norm(derived.measured - small.predicted)) / scale
    row["standard_error"] = float(np.linalg.norm(derived.standard_error)) / scale
    row["derived_error"] = derived.relative_error
    return row | {"reason": derived.reason or small.reason}


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """The rows as CSV with a header; what was not measured is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def drawn(rows: Sequence[dict[str, Any]], title: str) -> Any:
    """The figure: (R - R0)/R0, and the error of the small-lr drift, predicted and measured; numbers in percent.

    "-": not applicable or not measured; "?": measured with errors that cannot be trusted.
    """
    panels = (
        ("regularizer_error", "(R - R0)/R0, %"),
        ("predicted", "drift of small-lr against derived, %"),
        ("measured", "drift of small-lr against measured, %"),
    )
    steepness = sorted({row["eta_h"] for row in rows})
    batches = list(dict.fromkeys(row["n_over_b"] for row in sorted(rows, key=lambda row: row["n_over_b"])))
    figure, axes = new_grid(1, len(panels), width=0.55 * len(steepness) + 1.2, height=0.4 * len(batches) + 1.4)
    for axis, (name, heading) in zip(axes[0], panels):
        values = np.full((len(batches), len(steepness)), np.nan)
        doubts = np.full(values.shape, "", dtype=object)
        for row in rows:
            place = batches.index(row["n_over_b"]), steepness.index(row["eta_h"])
            if row[name] is not None:
                values[place] = 100 * row[name]
                doubts[place] = "?" if name == "measured" and row["verdict_derived"] == "inconclusive" else ""
        shades = np.log10(np.clip(values, 0.1, 1000))
        axis.imshow(shades, cmap="viridis", vmin=-1, vmax=3, origin="lower", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            # Black on the bright half of the colours, and where nothing is.
            text = "-" if np.isnan(value) else f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            axis.text(j, i, text + doubts[i, j], ha="center", va="center", color="white" if value < 10 else "black")
        axis.set_xticks(range(len(steepness)), [f"{v:g}" for v in steepness])
        axis.set_yticks(range(len(batches)), ["full" if b == 0 else f"{b:g}" for b in batches])
        axis.set_xlabel("eta h_max")
        axis.set_ylabel("n/B")
        axis.set_title(heading)
    headed(figure, title)
    return figure
