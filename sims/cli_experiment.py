"""`flatmin experiment NAME`: one command for each experiment, all with the same options and exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .cli_edge import loading

__all__ = ["experiment", "experiment_options", "run_experiment"]

# Exit statuses of docs/experiments.md, by verdict.
_STATUS = {"supported": 0, "refuted": 1, "inconclusive": 3}


@click.group()
def experiment() -> None:
    """Run an experiment: many runs of a model of real size, statements about them with verdicts, figures.

    Finished runs are kept in the folder: the same command goes on where it was stopped, with the same numbers. Exit
    status: 0 all statements supported, 1 any refuted, 2 invalid input, 3 any inconclusive (and none refuted), 4
    interrupted, could not write its results, or an error of flatmin itself.
    """


def experiment_options(name: str, seeds: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that all experiments have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--quiet", is_flag=True, help="Print nothing but errors."),
            click.option("--threads", type=click.IntRange(1, 1024), help="Runs at the same time. Default: all cores."),
            click.option(
                "--out",
                type=click.Path(path_type=Path, file_okay=False),
                default=name,
                show_default=True,
                help="Folder of finished runs, results and figures.",
            ),
            click.option(
                "--seeds",
                type=click.IntRange(1, 10_000),
                default=seeds,
                show_default=True,
                help="Independent draws of data and noise.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def run_experiment(name: str, out: Path, threads: int | None, quiet: bool, **options: Any) -> None:
    """Run an experiment, print its findings and leave with the status of its verdicts.

    Parameters
    ----------
    name : str
    out, threads, quiet
        As on the command line.
    **options
        For the experiment's `run`.
    """
    with loading(quiet):
        from .display import progress_display
        from .experiments import load
        from .experiments.findings import print_findings, write_findings
        from .experiments.store import Laboratory
        from .extras import require

        require("experiments", "an experiment", "matplotlib", "sklearn", "threadpoolctl")  # before minutes of runs
        script = load(name)
    with progress_display(quiet) as progress:
        laboratory = Laboratory(out, threads, progress)
        findings = script.run(laboratory, **options)
        written = write_findings(laboratory, name, findings)
    if not quiet:
        print_findings(name, findings, written)
    found = {decision.verdict for decision in findings.decisions}
    sys.exit(next((_STATUS[v] for v in ("refuted", "inconclusive") if v in found), 0))


@experiment.command("digits", short_help="Flipped labels repair bad minimizers of a network.")
@experiment_options("digits", seeds=5)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Other samples: an .npz with X and y, or a CSV with a header and a column y; classes 0 to K-1.",
)
def digits(**options: Any) -> None:
    """A two-layer network from two bad zero-loss starts: label noise against SGD without, R and accuracy along it."""
    run_experiment("digits", **options)


@experiment.command("sparse-recovery", short_help="Label noise finds a sparse truth; its rivals do not.")
@experiment_options("sparse-recovery", seeds=40)
def sparse_recovery(**options: Any) -> None:
    """Sparse regression with f = <theta*theta, x>: label noise against gradient descent, SGD and isotropic noise."""
    run_experiment("sparse-recovery", **options)
