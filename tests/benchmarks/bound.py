"""How fast one core could run a work at most, by its multiplications alone: the yardstick that no engine reaches.

A model: the operations of the fused multiply-add pipes (fused ones and products) and the divisions of one replica-step
that no way of writing it can do without, at the rates that the processor reaches when it does nothing else. A division
keeps the pipes busy for half of its time.
"""

from __future__ import annotations

import ctypes

from .engines.c import library

__all__ = ["OPERATIONS", "bounds"]

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
_STEPS = 10_000_000


def bounds() -> dict[str, float]:
    """Replica-steps per second of each work; raises `Unavailable` where there is no C."""
    rates = library("rates.c")
    for function in (rates.fused, rates.divisions):
        function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
    # The fastest of a few: whatever else the machine does only slows it down.
    fused = max(rates.fused(_STEPS) for _ in range(5))
    divisions = max(rates.divisions(_STEPS // 10) for _ in range(5))
    return {work: 1 / (a / fused + 0.5 * b / divisions) for work, (a, b) in OPERATIONS.items()}
