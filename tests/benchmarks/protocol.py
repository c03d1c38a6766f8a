"""What an engine is to the benchmark, and small things that engines share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .works import GROUPS, Work

__all__ = ["Engine", "Sums", "Unavailable", "grouped"]

Array = NDArray[np.float64]

# First moments, shape (GROUPS, d), and second moments, shape (GROUPS, len(pairs)): sums over steps and replicas.
Sums = tuple[Array, Array]


class Unavailable(Exception):
    """This engine cannot run here; the message says why."""


class Engine(Protocol):
    """One way to run a work. Building it compiles what can be compiled before the first call."""

    def __init__(self, work: Work, cores: int) -> None: ...

    def start(self, seed: int) -> None:
        """Put every replica at theta0, with new random numbers."""

    def run(self, steps: int) -> Sums:
        """Go on for `steps` steps, a multiple of `STEP`; the sums are of this call alone."""

    def theta(self) -> Array:
        """Where the replicas are, shape (d, replicas)."""


def grouped(values: Array) -> Array:
    """Sums over the replicas of each group: from shape (..., replicas) to (GROUPS, ...)."""
    values = np.asarray(values, dtype=np.float64)
    return np.moveaxis(values.reshape(*values.shape[:-1], GROUPS, -1).sum(axis=-1), -1, 0)
