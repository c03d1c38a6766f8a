"""The command line: verify, derive, simulate, claims."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
from flatmin.theory import InvalidInput
from flatmin.theory.study import Study, read_study
from rich.console import Console
from rich.markup import escape

from . import catalogue
from .display import progress_display, verdict_table
from .jsonfile import ResultFile
from .results import Verdict
from .verify import verify_each

__all__ = ["main"]

# Exit statuses of spec.md.
_SUPPORTED, _REFUTED, _INVALID, _OPEN, _BROKEN = range(5)

_out = Console()
_err = Console(stderr=True)


class _Commands(click.Group):
    """Turns exceptions at the edge into messages and documented exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InvalidInput as error:
            _fail(str(error), _INVALID)
        except OSError as error:
            _fail(f"could not write: {error}", _BROKEN)
        except KeyboardInterrupt:
            _fail("interrupted", _BROKEN)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flatmin")
def main() -> None:
    """Does a theorem about where stochastic gradient descent goes hold for your model?

    Exit status of `verify`: 0 all supported, 1 any refuted, 2 invalid input, 3 any inconclusive or not applicable (and
    none refuted), 4 interrupted or could not write its results.
    """


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that override a study's [run] table."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
        click.option(
            "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write results here."
        ),
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


@main.command()
@click.argument("study", required=False)
@_run_options
def verify(study: str | None, json_path: Path | None, threads: int | None, quiet: bool, **overrides: Any) -> NoReturn:
    """Decide the claims of STUDY (a TOML file), or of the built-in catalogue without an argument."""
    names = catalogue.names() if study is None else ()
    studies = [catalogue.load(name) for name in names] if study is None else [read_study(study)]
    given = {k: v for k, v in overrides.items() if v is not None}
    studies = [replace(s, run=replace(s.run, **given)) for s in studies]
    label = "catalogue" if study is None else study
    results = ResultFile(json_path, label, studies[0].run.seed)
    rows: list[tuple[str, Verdict]] = []
    interrupted = False
    started = time.perf_counter()
    try:
        with progress_display(_err, quiet) as progress:
            for one in studies:
                for verdict in verify_each(
                    one.model,
                    one.algorithm,
                    one.start,
                    one.claims,
                    one.run,
                    threads=threads,
                    progress=progress,
                    studies=len(studies),
                ):
                    rows.append((one.name, verdict))
                    results.write(rows, time.perf_counter() - started)
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.perf_counter() - started
    if not quiet:
        _show(rows, label, seconds, studies)
    if interrupted:
        kept = f"{len(rows)} of {sum(len(s.claims) for s in studies)} claims finished"
        _fail(f"interrupted: {kept}" + (f", kept in {json_path}" if json_path else ""), _BROKEN)
    sys.exit(_status([v for _, v in rows]))


@main.command()
@click.argument("study")
@click.option("--latex", "form", flag_value="latex", help="Print a LaTeX document.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--text", "form", flag_value="text", default="text", help="Print text (default).")
def derive(study: str, form: str) -> None:
    """Print what the theory predicts for the model of STUDY, derived with SymPy."""

    from flatmin.theory.derivation import derive as derivation
    from flatmin.theory.report import as_json, as_latex, as_text

    one = _named(study)
    derived = derivation(one.model, one.algorithm, one.start.tolist())
    if form == "json":
        click.echo(json.dumps(as_json(derived), indent=1, allow_nan=False))
    else:
        click.echo(as_latex(derived) if form == "latex" else as_text(derived))


@main.command()
@click.argument("study")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .npz to write.")
@click.option("--replicas", type=click.IntRange(1, 10**7), default=1024, show_default=True)
@click.option("--steps", type=click.IntRange(1, 10**9), default=10_000, show_default=True)
@click.option("--records", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Recorded steps.")
@click.option("--paths", type=click.IntRange(0, 10**6), default=16, show_default=True, help="Replicas kept whole.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: all cores; results do not depend on it.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of all random numbers.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def simulate(study: str, out: Path, quiet: bool, **options: Any) -> None:
    """Run STUDY's algorithm at its own noise; write moments and paths to an .npz, and a .json of how it was made."""
    from .record import simulate_study

    with progress_display(_err, quiet) as progress:
        ensemble = simulate_study(_named(study), study, out, progress, **options)
    if not quiet:
        click.echo(f"{ensemble!r}\nwrote {out} and {out.with_suffix('.json')}")


@main.command()
def claims() -> None:
    """List the built-in catalogue."""
    for name in catalogue.names():
        one = catalogue.load(name)
        _out.print(
            f"[bold]{name}[/bold]  {escape(repr(one.model))}, lr = {one.algorithm.lr:g}, "
            f"batch_size = {one.algorithm.batch_size}",
            highlight=False,
        )
        for claim in one.claims:
            _out.print(f"  {claim.kind:<12} {claim.theory:<11} {escape(claim.name)}", highlight=False)


def _named(study: str) -> Study:
    """A study file, or the name of one in the catalogue."""
    return catalogue.load(study) if study in catalogue.names() and not Path(study).exists() else read_study(study)


def _show(rows: list[tuple[str, Verdict]], label: str, seconds: float, studies: list[Study]) -> None:
    _out.print(verdict_table(rows, f"{label}: {len(rows)} verdicts in {seconds:.1f} s"))
    for name, verdict in rows:
        prefix = f"{name}: " if len(studies) > 1 else ""
        if len(studies) == 1:
            _out.print(escape(f"{prefix}{verdict}"), highlight=False, soft_wrap=True)
        elif verdict.reason:
            _out.print(escape(f"{prefix}{verdict.claim.title}: {verdict.reason}"), highlight=False, soft_wrap=True)
        for note in verdict.notes if len(studies) == 1 else ():
            _out.print(escape(f"  note: {note}"), highlight=False, soft_wrap=True)


def _status(verdicts: list[Verdict]) -> int:
    names = {v.verdict for v in verdicts}
    if "refuted" in names:
        return _REFUTED
    return _OPEN if names & {"inconclusive", "not-applicable"} else _SUPPORTED


def _fail(message: str, status: int) -> NoReturn:
    _err.print(escape(f"flatmin: {message}"), highlight=False, soft_wrap=True)
    sys.exit(status)
