"""The results as tables, for the terminal and as Markdown, and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .agreement import LIMIT
from .engines import ENGINES
from .rounds import Result

__all__ = ["as_json", "machine", "tables"]

Row = list[str]


def machine(cores: list[int]) -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    packages = {}
    for name in ("numpy", "numba", "llvmlite", "jax", "torch"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": model, "cores": len(cores), "python": platform.python_version(), "packages": packages}


def tables(results: list[Result], where: dict[str, Any], options: dict[str, Any], reference: str) -> list[tuple]:
    """Titles, headers and rows of everything that was measured."""
    works = [r.work for r in results]
    names = [name for name in ENGINES if any(name in r.ready or name in r.missing for r in results)]
    versions = ", ".join(f"{k} {v}" for k, v in where["packages"].items())
    about = f"{where['cpu']}, {where['cores']} core(s); Python {where['python']}, {versions}; "
    about += f"{options['rounds']} rounds of {options['seconds']:g} s, medians; spread = interquartile range/median"

    def per_work(cell: Callable[[Result, str], str], left_out: str = "") -> list[Row]:
        return [[ENGINES[name], *(cell(r, name) for r in results)] for name in names if name != left_out]

    def speed(r: Result, name: str) -> str:
        return f"{r.median(name):.3g} ({100 * r.spread(name):.0f} %)" if name in r.speeds else "-"

    def ratio(r: Result, name: str) -> str:
        return f"{r.ratio(reference, name):.3g}" if name in r.speeds and reference in r.speeds else "-"

    def start(r: Result, name: str) -> str:
        ready = r.ready.get(name)
        return " / ".join(f"{ready[k]:.2f}" for k in ("import_s", "compile_s", "first_call_s")) if ready else "-"

    def distance(r: Result, name: str) -> str:
        if r.agreement is None or name not in r.agreement.worst:
            return "-"
        z = r.agreement.worst[name]
        return f"{z:.1f}" if z < LIMIT else f"**{z:.1f}** in {r.agreement.where[name]}"

    out = []
    if any(r.speeds for r in results):
        out.append((f"Replica-steps per second ({about})", ["engine", *works], per_work(speed)))
        title = f"Speed of {ENGINES[reference]} over the engine's, median of the ratios within a round"
        out.append((title, ["over", *works], per_work(ratio, left_out=reference)))
    if all(r.bounds for r in results):
        title = "Part of what the multiplications and divisions alone would allow, median of the parts within a round"
        limits = [f"[{np.median(r.bounds):.3g}]" for r in results]
        rows = per_work(lambda r, name: f"{r.part(name):.2f}" if name in r.speeds else "-")
        out.append((title, ["of the bound", *works], [["all of it", *limits], *rows]))
    out.append(("Seconds to import / to build / for the first call", ["engine", *works], per_work(start)))
    title = f"Same statistic: largest distance from the mean of the other engines, in standard errors (limit {LIMIT:g})"
    out.append((title, ["engine", *works], per_work(distance)))
    out += [_drift_table(r) for r in results if r.drift.get("engines")]
    return out


def _drift_table(result: Result) -> tuple:
    drift = result.drift
    title = f"{result.work}: seconds to a relative standard error of the drift ({drift['predicted']:.4g} per step"
    if "order_lambda" in drift:
        part, error = drift["order_lambda"], drift["order_lambda_error"]
        title += f"; O(lambda) part {part:.2g} +- {error:.1g}"
    header = ["engine", "mean/theory", "+-", *(f"{100 * t:g} %" for t in drift["targets"])]
    header.append(f"{100 * drift['targets'][-1]:g} % of the O(lambda) part")
    rows = []
    for name, value in drift["engines"].items():
        relative = [f"{value[k] / abs(drift['predicted']):.4g}" for k in ("mean", "error")]
        if drift["predicted"] < 0:
            relative[0] = f"{value['mean'] / drift['predicted']:.4g}"
        times = [*value["seconds_to"], value["seconds_to_order_lambda"]]
        rows.append([ENGINES[name], *relative, *("-" if t is None else f"{t:.2g}" for t in times)])
    return title + ")", header, rows


def as_text(title: str, header: Row, rows: list[Row]) -> str:
    """A table for the terminal."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (header, *rows)]
    return "\n".join([title, *lines])


def as_markdown(title: str, header: Row, rows: list[Row]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(row) for row in (header, ["---"] * len(header), *rows)]
    return "\n".join([f"{title}:", "", *(f"| {line} |" for line in lines), ""])


def as_json(results: list[Result], where: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Everything, raw."""
    return {"machine": where, "options": options, "works": [asdict(r) for r in results]}
