"""Experiments: statements about whole runs of models of real size, each a short script made of library parts.

A script has a function `run(laboratory, seeds, ...)` that returns a `Findings`; `flatmin experiment NAME` calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["EXPERIMENTS", "Entry", "load"]


@dataclass(frozen=True)
class Entry:
    """What the list of experiments says of one.

    Attributes
    ----------
    module : str
        Its script, a module of this package.
    summary : str
        What it shows, in a line.
    source : str
        Where the statements come from.
    """

    module: str
    summary: str
    source: str


EXPERIMENTS = {
    "digits": Entry(
        "digits",
        "flipped labels repair bad zero-loss networks while R falls, in slow time eta^2 k/B; without flips they stay",
        "Damian, Ma, Lee (2021), Section 4, arXiv:2106.06530",
    ),
    "sparse-recovery": Entry(
        "sparse_recovery",
        "label noise finds a sparse truth from few samples; gradient descent, SGD and isotropic noise do not",
        "HaoChen, Wei, Lee, Ma (2021), arXiv:2006.08680; Damian, Ma, Lee (2021), Section 1",
    ),
}


def load(name: str) -> Any:
    """The script of an experiment, imported when it is asked for."""
    return import_module(f".{EXPERIMENTS[name].module}", __name__)
