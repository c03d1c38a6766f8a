"""`flatmin report`: a page from a result; `flatmin figures`: the paper's statements, from simulations."""

from __future__ import annotations

from pathlib import Path

import click

from .cli_edge import loading

__all__ = ["COMMANDS"]

_FIGURES = ("mechanism", "coupling", "escape", "momentum", "large_lr")


@click.command(short_help="Make a report from a result file; nothing is run.")
@click.argument("result", metavar="RESULT.json", type=click.Path(path_type=Path))
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--latex", type=click.Path(path_type=Path), help="Write the verdicts as LaTeX tables to this file.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def report(result: Path, folder: Path | None, latex: Path | None, quiet: bool) -> None:
    """Make a page with figures in DIR from RESULT.json, a file of `flatmin verify --json`; nothing is simulated.

    DIR/index.html stands alone: it needs no network and no script. Beside it lie every figure as SVG, its data as CSV,
    the result and the verdicts as LaTeX tables. With --latex alone only the tables are written.
    """
    with loading(quiet):
        from .document import read_result, result_of
        from .jsonfile import check_writable, write_whole

    if folder is None and latex is None:
        raise click.UsageError("give DIR, or --latex FILE")
    document = read_result(result)
    say = (lambda _: None) if quiet else (lambda text: click.echo(text, err=True))
    if latex is not None:
        check_writable("--latex", latex)
    if folder is not None:
        from .report import write_report

        page = write_report(document, folder, say, option="DIR")
        if not quiet:
            click.echo(f"wrote {page}")
    if latex is not None:
        from .latex_table import latex_tables

        write_whole("--latex", latex, latex_tables(result_of(document)).encode())
        if not quiet:
            click.echo(f"wrote {latex}")


@click.command(short_help="Draw the paper's central statements from simulations.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(_FIGURES), multiple=True, help="This figure; can be given several times.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of all random numbers.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def figures(folder: Path, only: tuple[str, ...], seed: int, quiet: bool) -> None:
    """Draw figures of the paper's central statements in DIR (SVG, PDF, and the numbers as CSV), from simulations.

    mechanism: along the valley of zero loss; coupling: how near slow flow and linear process are; escape: from two bad
    starts; momentum; large_lr: large learning rates. Each is a short script: python -m flatmin.sims.figures.coupling
    """
    with loading(quiet):
        from .figures import drawer
        from .figures.script import write
        from .jsonfile import CannotWrite

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite("DIR", folder, error) from None
    for name in only or _FIGURES:
        if not quiet:
            click.echo(f"drawing {name}", err=True)
        paths = write(name, drawer(name), seed, folder, "DIR")
        if not quiet:
            click.echo(f"wrote {', '.join(str(path) for path in paths)}")


COMMANDS = (report, figures)
