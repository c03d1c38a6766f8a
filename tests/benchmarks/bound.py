"""How fast one core could run a work at most, by its multiplications alone: the yardstick that no engine reaches.

A model: the operations of the fused multiply-add pipes (fused ones and products) and the divisions of one replica-step
that no way of writing it can do without, at the rates that the processor reaches when it does nothing else. A division
keeps the pipes busy for half of its time. The rates are measured in each round, as the engines are: whatever else the
machine does slows down both.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from statistics import harmonic_mean

from .engines.c import library
from .protocol import Unavailable

__all__ = ["OPERATIONS", "bound_of"]

# Operations and divisions of a replica-step, counted in the best loops: two tanh take 2 divisions, and in W3 and W4 all
# is linear in d and B.
OPERATIONS = {
    "W1": (6, 0),
    "W2a": (62, 2),
    "W2b": (151, 6),
    "W3a": (8 * 143, 0),
    "W3b": (8 * 1079, 0),
    "W4": (8 * 19785, 0),
}
_CHAIN = 500_000  # steps of the loops of rates.c; with ten chains of vectors some milliseconds


def bound_of(work: str, cores: list[int], seconds: float) -> Callable[[], float] | None:
    """What measures replica-steps per second in about so many seconds; None for several cores, or without C."""
    if len(cores) > 1:
        return None
    try:
        rates = library("rates.c")
    except Unavailable:
        return None
    for function in (rates.fused, rates.divisions):
        function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
    operations, divisions = OPERATIONS[work]

    def measured() -> float:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            needed = operations / _rate(rates.fused, _CHAIN, seconds / 2)
            return 1 / (needed + 0.5 * divisions / _rate(rates.divisions, _CHAIN // 10, seconds / 2))
        finally:
            os.sched_setaffinity(0, before)

    return measured


def _rate(function: Callable[[int], float], steps: int, seconds: float) -> float:
    """Operations per second over about so many seconds."""
    rates, end = [], time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        rates.append(function(steps))
    return harmonic_mean(rates)  # the calls do equally much
