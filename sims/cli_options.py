"""Options that commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import click.shell_completion

__all__ = ["run_options", "selection", "study_argument"]


def study_argument(required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument STUDY; a shell completes it by the names of the catalogue and by files."""
    return click.argument("study", required=required, shell_complete=_studies)


def _studies(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[click.shell_completion.CompletionItem]:
    from . import catalogue

    names = [name for name in catalogue.names() if name.startswith(begun)]
    files = click.shell_completion.CompletionItem(begun, type="file")
    return [*(click.shell_completion.CompletionItem(name) for name in names), files]


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that override a study's [run] table."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
        click.option("--verbose", is_flag=True, help="Print how each verdict came about: hypotheses, runs, rivals."),
        click.option("--latex", type=click.Path(path_type=Path), help="Write LaTeX tables of the verdicts."),
        click.option("--report", type=click.Path(path_type=Path), help="Write a page with figures to this folder."),
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
