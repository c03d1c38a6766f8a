"""`flatmin report`: a page from a result, without deciding anything again."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]


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
