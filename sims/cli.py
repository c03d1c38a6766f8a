"""The command line: verify, derive, simulate, claims.

Everything heavy is imported where it is used, so that help is at once there.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .signals import interruptible

if TYPE_CHECKING:
    from flatmin.theory.study import Study

    from .results import Verdict

__all__ = ["main"]

# Exit statuses of spec.md.
_SUPPORTED, _REFUTED, _INVALID, _OPEN, _BROKEN = range(5)


class _Commands(click.Group):
    """Turns exceptions at the edge into messages and documented exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is no reason to stop
                stream.reconfigure(errors="backslashreplace")
        try:
            with interruptible():
                try:
                    return super().invoke(ctx)
                finally:
                    sys.stdout.flush()
        except KeyboardInterrupt:
            _fail("interrupted", _BROKEN)
        except OSError as error:
            _lost_output(error)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None or ctx.resilient_parsing:
            return command
        return command


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose own exceptions become messages; kept apart from the group, which must not import them."""

    def run(*args: Any, **options: Any) -> None:
        import warnings

        from flatmin.theory.errors import InvalidInput, NotApplicable

        from .jsonfile import CannotWrite
        from .replay import KernelMismatch
""" 
