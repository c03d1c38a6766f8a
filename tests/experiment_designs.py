"""Sparse recovery so small that the whole of it takes seconds."""

from __future__ import annotations

from flatmin.sims.experiments.sparse_recovery import Design

# eta d = 0.1: at this size eta |grad f_i|^2 spreads widely, and its largest must stay below 2.
TINY = Design(
    d=20, n=7, sparsities=(1,), signs=(False,), rate=0.1, sigma=4.0, steps=40_000, kicks=(1e-3,), hard=None, sizes=()
)
# Every part of it, but too short to find anything.
SHORT = Design(
    d=20, n=7, sparsities=(1,), signs=(False,), rate=0.1, steps=2000, kicks=(1e-3,), hard=(4, 3), longer=2,
    sizes=(20,), counts=(1, 2, 3), multiples=(1.0, 2.0),
)  # fmt: skip
