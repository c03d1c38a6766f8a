"""What the generated kernels and their callers agree on: lanes, and the numbers of samplings and of laws of noise."""

from __future__ import annotations

__all__ = [
    "CONSTANTS",
    "FULL",
    "GAUSSIAN",
    "GROUPS",
    "LANES",
    "RADEMACHER",
    "WITHOUT_REPLACEMENT",
    "WITH_REPLACEMENT",
]

LANES = 64
# So many vectors stand side by side; replicas so far apart as LANES / GROUPS share their sums.
GROUPS = 4
FULL, WITH_REPLACEMENT, WITHOUT_REPLACEMENT = 0, 1, 2
RADEMACHER, GAUSSIAN = 0, 1
CONSTANTS = ("LANES", "GROUPS", "FULL", "WITH_REPLACEMENT", "WITHOUT_REPLACEMENT", "RADEMACHER", "GAUSSIAN")
