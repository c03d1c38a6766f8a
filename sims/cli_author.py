"""Commands for whoever writes study files: a first file, the schemas of files, completion in the shell."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["COMMANDS"]


@click.command(short_help="Write a commented study file to begin with.")
@click.argument("path", metavar="[FILE]", type=click.Path(path_type=Path), default="study.toml")
def init(path: Path) -> None:
    """Write a study file with a word on every key to FILE (study.toml by default); it can be verified as it is.

    A file that exists is left alone: exit status 2.
    """
    from flatmin.theory.errors import InvalidInput

    from .jsonfile import check_writable, write_whole
    from .template import TEMPLATE

    if path.exists():
        raise InvalidInput("FILE", f"={str(path)!r} exists; give another name, or remove it first")
    check_writable("FILE", path)
    write_whole("FILE", path, TEMPLATE.format(name=path.name).encode())
    click.echo(f"wrote {path}\nnext: flatmin verify {path}")


@click.command(short_help="Print the JSON Schema of study files, or of results.")
@click.option("--results", is_flag=True, help="Of the files of `flatmin verify --json`.")
def schema(results: bool) -> None:
    """Print the JSON Schema of study files, for editors that complete and check TOML by one; or that of results."""
    if results:
        from .result_keys import json_schema
    else:
        from flatmin.theory.file_schema import json_schema
    click.echo(json.dumps(json_schema(), indent=1))


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script for SHELL that completes commands, options and names of studies.

    For example in ~/.bashrc: eval "$(flatmin completion bash)"
    """
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(ctx.find_root().command, {}, "flatmin", "_FLATMIN_COMPLETE").source())


COMMANDS = (init, schema, completion)
