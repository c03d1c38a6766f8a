"""How long the runs that are left will take, from those that are done."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["Remaining"]


class Remaining:
    """Keeps the time of runs.

    Parameters
    ----------
    costs : mapping
        Of each run, in any unit, in the order in which they begin.
    threads : int
        Runs at the same time.
    """

    def __init__(self, costs: Mapping[Hashable, float], threads: int) -> None:
        self.costs, self.threads = dict(costs), threads
        self.begun: dict[Hashable, float] = {}
        self.took: dict[Hashable, float] = {}

    @contextmanager
    def running(self, run: Hashable) -> Iterator[None]:
        """While a run is under way, in a thread of its own."""
        self.begun[run] = time.monotonic()
        yield
        self.took[run] = time.monotonic() - self.begun[run]

    def seconds(self) -> float:
        """Until all are done; of runs under way what is left of them counts.

        Raises
        ------
        ValueError
            Before any is done: nothing is known.
        """
        took = dict(self.took)
        if not took:
            raise ValueError("no run is done yet")
        rate = sum(took.values()) / (sum(self.costs[run] for run in took) or 1.0)
        now = time.monotonic()
        left = [
            max(0.0, rate * cost - (now - self.begun.get(run, now)))
            for run, cost in self.costs.items()
            if run not in took
        ]
        return max(sum(left) / self.threads, max(left, default=0.0))
