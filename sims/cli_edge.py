"""The edge of the command line: exceptions become messages and the exit statuses of docs/results.md."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from .signals import interruptible

__all__ = ["BROKEN", "INVALID", "OPEN", "REFUTED", "SUPPORTED", "Commands", "fail", "loading"]

SUPPORTED, REFUTED, INVALID, OPEN, BROKEN = range(5)


class Commands(click.Group):
    """Turns exceptions at the edge into messages and documented exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; leave with the documented status when it raises."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a letter that the terminal cannot show stops nothing
                stream.reconfigure(errors="backslashreplace")
        try:
            with interruptible(), warnings.catch_warnings():
                # Overflow far from the zero-loss set is seen by the checks of the theory and of the simulation.
                warnings.simplefilter("ignore", RuntimeWarning)
                warnings.showwarning = lambda message, *_, **__: click.echo(f"flatmin: {message}", err=True)
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            fail(f"interrupted: {error}" if str(error) else "interrupted", BROKEN)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            with suppress(ImportError):  # in a broken installation: most likely the error to be explained
                _explain(error)
            _report_bug(error)


@contextmanager
def loading(quiet: bool = False) -> Iterator[None]:
    """Say on a terminal that it has begun, while slow imports go on; the word is gone when they are done.

    What they make stays: to look again and again for what of it can go takes a tenth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    shown = sys.stderr.isatty() and not quiet
    if shown:
        click.echo("loading ...", err=True, nl=False)
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)


def _explain(error: Exception) -> None:
    """Leave with a message and a status when the error is one that a user can cause."""
    from flatmin.theory.errors import InvalidInput, NotApplicable

    from .jsonfile import CannotWrite
    from .replay import KernelMismatch

    if isinstance(error, InvalidInput):
        fail(str(error), INVALID)
    if isinstance(error, NotApplicable):
        fail(f"not-applicable: {error}", OPEN)
    if isinstance(error, (CannotWrite, KernelMismatch)):
        fail(str(error), BROKEN)
    if isinstance(error, MemoryError):
        fail(f"out of memory: {error}", BROKEN)
    if isinstance(error, OSError):
        if error.errno != errno.EPIPE:
            fail(f"could not write: {error}", BROKEN)
        _silence()
        sys.exit(BROKEN)


def _report_bug(error: Exception) -> NoReturn:
    """Leave with one line about an error that nobody foresaw, never with Python's own status 1: that is a verdict."""
    if os.environ.get("FLATMIN_TRACEBACK") == "1":
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    message = " ".join(str(error).split())
    fail(f"internal error: {type(error).__name__}" + (f": {message}" if message else ""), BROKEN)


def _silence() -> None:
    """Nobody reads any more: what is still in the buffers goes nowhere, without complaint at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue  # a stream without a file


def fail(message: str, status: int) -> NoReturn:
    """Leave with a message on standard error and an exit status."""
    click.echo(f"flatmin: {message}", err=True)
    sys.exit(status)
