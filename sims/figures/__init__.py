"""Figures of the paper's central statements, each from simulations of a small model and each a script of its own.

For example `python -m flatmin.sims.figures.coupling --help`; `flatmin figures DIR` makes all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from .script import Drawn

__all__ = ["Drawn", "drawer"]


def drawer(name: str) -> Callable[[int], Drawn]:
    """What draws the figure of this module from a seed."""
    draw: Callable[[int], Drawn] = import_module(f".{name}", __name__).draw
    return draw
