"""`flatmin map STUDY`: where linear scaling holds and where it breaks, as a table and a figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .cli_edge import loading
from .cli_options import study_argument

__all__ = ["map_command"]


@click.command("map", short_help="Map where the limit of small learning rates breaks.")
@study_argument()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="map",
    show_default=True,
    help="Folder of finished cells, map.json, map.csv and map.svg.",
)
@click.option("--eta-h", "steepness", help="Values of eta h_max, with commas between. Default: seven from 0.05 to 1.7.")
@click.option("--batches", help='Batch sizes or "full", with commas between. Default: full and 4n to 1.')
@click.option(
    "--budget", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Seconds for each cell."
)
@click.option("--no-figure", is_flag=True, help="Without map.svg, which needs matplotlib.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Cells at the same time. Default: all cores.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def map_command(study: str, out: Path, no_figure: bool, quiet: bool, threads: int | None, **grid: Any) -> None:
    """Map over eta h_max and n/B, at the start of STUDY, how wrong the limit of small learning rates is.

    Of each learning rate and batch size: (R - R0)/R0 with R0 = tr(H)/4, and the error of the small-lr drift against the
    derived and against the measured one. Finished cells are kept in the folder: the same command goes on where it was
    stopped. Exit status: 0 done, 2 invalid input, 3 no zero-loss point, 4 interrupted or could not write.
    """
    with loading(quiet):
        from . import catalogue
        from .display import progress_display
        from .experiments.store import Laboratory
        from .extras import require
        from .jsonfile import finite
        from .maps import STEEPNESS, as_csv, batch_sizes, drawn, mapped
        from .plots.style import svg

    one = catalogue.named(study)
    steepness = STEEPNESS if grid["steepness"] is None else _numbers("--eta-h", grid["steepness"])
    batches = batch_sizes(one.model.n) if grid["batches"] is None else _batches("--batches", grid["batches"])
    if not no_figure:
        require("report", "flatmin map without --no-figure", "matplotlib")
    with progress_display(quiet) as progress:
        laboratory = Laboratory(out, threads, progress)
        rows = mapped(one, laboratory, steepness, batches, grid["budget"])
    document = {"study": study, "rows": finite(rows)}
    written = [
        laboratory.write("map.json", (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()),
        laboratory.write("map.csv", as_csv(rows)),
    ]
    if not no_figure:
        written.append(laboratory.write("map.svg", svg(drawn(rows, one.name)).encode()))
    if not quiet:
        decided = [row["verdict_derived"] for row in rows]
        counts = ", ".join(f"{decided.count(v)} {v}" for v in dict.fromkeys(decided) if v)
        click.echo(f"{len(rows)} cells; the derived drift: {counts}\nwrote {', '.join(map(str, written))}")


def _numbers(option: str, text: str) -> list[float]:
    from flatmin.theory.checks import real_number
    from flatmin.theory.errors import InvalidInput

    values = []
    for part in text.split(","):
        try:
            number = float(part)
        except ValueError:
            raise InvalidInput(option, f"={part!r} must be a number") from None
        value = real_number(option, number)
        if value <= 0:
            raise InvalidInput(option, f"={value:g} must be positive")
        values.append(value)
    return list(dict.fromkeys(values))


def _batches(option: str, text: str) -> list[Any]:
    from flatmin.theory.errors import InvalidInput

    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part != "full" and not (part.isascii() and part.isdigit() and 1 <= int(part) <= 10**6):
            raise InvalidInput(option, f'={part!r} must be "full" or a whole number from 1 to 10^6')
    return list(dict.fromkeys("full" if part == "full" else int(part) for part in parts))
