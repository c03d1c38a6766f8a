"""Options that commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["run_options", "selection"]


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that override a study's [run] table."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
        click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results to this file."),
        click.option(
            "--threads", type=click.IntRange(1, 1024), help="Default: all cores; results do not depend on it."
        ),
        click.option("--budget", type=float, help="Seconds of wall time a claim may use."),
        click.option("--confidence", type=float, help="Of each verdict, after correction for how many there are."),
        click.option("--margin", type=float, help="Equivalence margin, relative."),
        click.option("--seed", type=int, help="Seed of all random numbers."),
    ):
        command = option(command)
    return command


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose among the studies of the catalogue."""
    for option in (
        click.option("--paper-section", metavar="N", help="Only studies of this section of the paper."),
        click.option("--only", metavar="PART", help="Only studies whose name, or a claim's, holds this text."),
        click.option("--quick", is_flag=True, help="Only the quick studies: under a minute."),
    ):
        command = option(command)
    return command
