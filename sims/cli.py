"""The command line: verify, derive, simulate, map, experiment, claims, doctor.

What is slow to import is imported where it is used, so that help and usage errors come at once.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .cli_author import COMMANDS
from .cli_edge import BROKEN, OPEN, REFUTED, SUPPORTED, Commands, fail, loading
from .cli_experiment import experiment
from .cli_map import map_command
from .cli_options import run_options, selection, study_argument
from .cli_report import COMMANDS as REPORT_COMMANDS

if TYPE_CHECKING:
    from flatmin.theory.study import Study

    from .results import Verdict

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flatmin")
def main() -> None:
    """Does a theorem about where stochastic gradient descent goes hold for your model?

    A STUDY is a TOML file, or the name of a study of the built-in catalogue.
    """


for _command in (*COMMANDS, experiment, map_command, *REPORT_COMMANDS):
    main.add_command(_command)


@main.command(short_help="Decide the claims of a study.")
@study_argument(required=False)
@selection
@run_options
def verify(
    study: str | None,
    json_path: Path | None,
    report: Path | None,
    latex: Path | None,
    threads: int | None,
    quiet: bool,
    verbose: bool,
    quick: bool,
    only: str | None,
    paper_section: str | None,
    **overrides: Any,
) -> NoReturn:
    """Decide the claims of STUDY (a TOML file or a name), or of the whole built-in catalogue without an argument.

    --quick, --only and --paper-section choose among the studies of the catalogue; several choose those that fit all.
    --seed, --margin, --confidence and --budget override the study's [run] table.

    Exit status: 0 all supported, 1 any refuted, 2 invalid input, 3 any inconclusive or not applicable (and none
    refuted), 4 interrupted, could not write its results, or an error of flatmin itself.
    """
    with loading(quiet):
        from . import catalogue
        from .display import progress_display
        from .outputs import Outputs
        from .provenance import origin
        from .verification import verify_each

    if study is None:
        studies = catalogue.chosen(quick, only, paper_section)
    else:
        _refuse_selection(quick, only, paper_section)
        studies = [_named(study)]
    given = {k: v for k, v in overrides.items() if v is not None}
    studies = [replace(s, run=replace(s.run, **given)) for s in studies]
    label = "catalogue" if study is None else study
    asked = dict(quick=quick, only=only, paper_section=paper_section, **given)
    header = (label, studies[0].run.seed, len(studies) > 1)
    results = Outputs(*header, json_path, report, latex, lambda: origin(studies, study, asked))
    rows: list[tuple[str, Verdict]] = []
    problem: BaseException | None = None
    started = time.perf_counter()
    if quiet:
        warnings.simplefilter("ignore")
    try:
        with progress_display(quiet) as progress:
            for one in studies:
                progress.study(one.name if len(studies) > 1 else "")
                parts = (one.model, one.algorithm, one.start, one.claims, one.run)
                for verdict in verify_each(*parts, threads=threads, progress=progress, studies=len(studies)):
                    rows.append((one.name, verdict))
                    progress.finished(verdict)
                    results.write(rows, time.perf_counter() - started)
    except (KeyboardInterrupt, Exception) as error:
        problem = error  # what is finished is shown first
    seconds = time.perf_counter() - started
    if rows and problem is not None:
        results.write(rows, seconds)
    # What cannot be written is shown even so.
    if rows and (not quiet or results.error):
        _show(rows, label, seconds, studies, verbose)
    if isinstance(problem, KeyboardInterrupt):
        kept = f"{len(rows)} of {sum(len(s.claims) for s in studies)} claims finished"
        fail(f"interrupted: {kept}" + (f", kept in {results.kept}" if rows and results.kept else ""), BROKEN)
    if problem is not None:
        raise problem
    results.finish(rows, seconds, (lambda _: None) if quiet else (lambda text: click.echo(text, err=True)))
    if results.error:
        fail(f"{results.error}; the results stand above only", BROKEN)
    sys.exit(_status([v for _, v in rows]))


@main.command(short_help="Print what the theory predicts for a study's model.")
@study_argument()
@click.option("--latex", "form", flag_value="latex", help="Print a LaTeX document.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--text", "form", flag_value="text", default="text", help="Print text (default).")
def derive(study: str, form: str) -> None:
    """Print what the theory predicts for the model of STUDY, derived with SymPy."""
    with loading():
        from flatmin.theory.derivation import derive as derivation
        from flatmin.theory.report import as_json, as_latex, as_text

        from .jsonfile import finite

        one = _named(study)
        derived = derivation(one.model, one.algorithm, one.start.tolist())
    if form == "json":
        click.echo(json.dumps(finite(as_json(derived)), indent=1, allow_nan=False))
    else:
        click.echo(as_latex(derived) if form == "latex" else as_text(derived))


@main.command(short_help="Run a study's algorithm and write moments and paths.")
@study_argument()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .npz to write.")
@click.option("--replicas", type=click.IntRange(1, 10**7), default=1024, show_default=True, help="Independent runs.")
@click.option("--steps", type=click.IntRange(1, 10**9), default=10_000, show_default=True, help="Steps of each.")
@click.option("--records", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Recorded steps.")
@click.option("--paths", type=click.IntRange(0, 10**6), default=16, show_default=True, help="Replicas kept whole.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: all cores; results do not depend on it.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Default: the study's.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def simulate(study: str, out: Path, quiet: bool, **options: Any) -> None:
    """Run STUDY's algorithm at its own noise; write moments and paths to an .npz, and a .json of how it was made."""
    with loading(quiet):
        from .display import progress_display
        from .record import simulate_study

    if quiet:
        warnings.simplefilter("ignore")
    with progress_display(quiet) as progress:
        ensemble = simulate_study(_named(study), study, out, progress, **options)
    if not quiet:
        lost = int(ensemble.failed.sum())
        left = f", {lost} of them left the bounds" if lost else ""
        click.echo(
            f"{ensemble.replicas} replicas of {options['steps']} steps in {ensemble.seconds:.2g} s{left}\n"
            f"wrote {out} and {out.with_suffix('.json')}"
        )


@main.command()
@study_argument(required=False)
def claims(study: str | None) -> None:
    """List the built-in catalogue and the experiments, or explain one: statement, hypotheses, source, refutation."""
    with loading():
        from . import catalogue
        from .experiments import EXPERIMENTS
        from .explain import explained, explained_experiment, listed, listed_experiment

    if study in EXPERIMENTS:
        click.echo(explained_experiment(study), nl=False)
        return
    if study is not None:
        click.echo(explained(_named(study)), nl=False)
        return
    for name in catalogue.names():
        head, *rest = listed(catalogue.load(name))
        click.echo(click.style(name, bold=True) + head.removeprefix(name))
        for line in rest:
            click.echo(line)
    for name in EXPERIMENTS:
        head, *rest = listed_experiment(name)
        click.echo("\n".join((click.style(name, bold=True) + head.removeprefix(name), *rest)))


@main.command()
def doctor() -> None:
    """Say where flatmin runs, and test its kernels: right, vector code, fast, cached.

    Exit status: 0 all well, 4 something is wrong.
    """
    with loading():
        from .doctor import diagnose

    ill = 0
    for finding in diagnose():
        mark = {None: " ", True: "+", False: "!"}[finding.good]
        click.echo(f"{mark} {finding.name:<20} {finding.value}")
        if finding.good is False:
            ill += 1
            click.echo(f"    {finding.advice}")
    if ill:
        fail(f"{ill} of the checks failed", BROKEN)


def _refuse_selection(quick: bool, only: str | None, paper_section: str | None) -> None:
    given = [
        name for name, value in (("--quick", quick), ("--only", only), ("--paper-section", paper_section)) if value
    ]
    if given:
        raise click.UsageError(f"{given[0]} chooses among the studies of the catalogue; leave STUDY out")


def _named(study: str) -> Study:
    """A study file, or the name of one in the catalogue."""
    from . import catalogue

    return catalogue.named(study)


def _show(
    rows: list[tuple[str, Verdict]], label: str, seconds: float, studies: list[Study], verbose: bool = False
) -> None:
    from .account import account
    from .catalogue_table import catalogue_table
    from .display import print_line, print_table, verdict_table
    from .results import INDISTINGUISHABLE

    count = f"{len(rows)} verdict{'s' if len(rows) != 1 else ''}"
    title = f"{label}: {count} in {seconds:.1f} s"
    print_table(verdict_table(rows, title) if len(studies) == 1 else catalogue_table(rows, studies, title))
    for name, verdict in rows:
        if len(studies) > 1 and not verbose:
            if verdict.reason:
                print_line(f"{name}: {verdict.claim.title}: {verdict.reason}")
            continue
        print_line(f"{f'{name}: ' if len(studies) > 1 else ''}{verdict.claim.title}: {verdict}")
        # The table says which rivals predict the same.
        lines = [f"note: {note}" for note in verdict.notes if not note.startswith(INDISTINGUISHABLE)]
        if verdict.variance_reduction:
            lines.append(f"control variate: variance {verdict.variance_reduction:.2g} times smaller")
        for line in (*lines, *(account(verdict) if verbose else ())):
            print_line(f"  {line}", indent=" " * 8)


def _status(verdicts: list[Verdict]) -> int:
    names = {v.verdict for v in verdicts}
    if "refuted" in names:
        return REFUTED
    return OPEN if names & {"inconclusive", "not-applicable"} else SUPPORTED
