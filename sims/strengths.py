"""Which noise strengths an algorithm can have: all, unless whole batches make them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from flatmin.theory import Algorithm, Model

__all__ = ["MOST_DRAWS", "reachable", "smallest_reachable"]

# Draws of a step that still weigh 10^-6 each.
MOST_DRAWS = 10**6
# How much lower a strength may be taken so that the schedule fits it.
_SEARCHED = 0.03


def reachable(admissible: Callable[[float], float], model: Model, algorithm: Algorithm, strength: float) -> float:
    """The strength nearest to `strength`, or a little below, that the algorithm can have and the schedule fits.

    Parameters
    ----------
    admissible : callable
        From a strength to the nearest at which a schedule is exact.
    model : Model
    algorithm : Algorithm
    strength : float
    """
    if not algorithm.noise.falls_with_batch:
        return admissible(strength)
    # With flips lambda times the number of draws is constant, and all samples are drawn equally often for "full".
    product, unit = _product(model, algorithm)
    fewest = max(1, round(product / strength / unit))
    fewest = min(fewest, MOST_DRAWS // unit)
    most = min(max(fewest, int(fewest * (1 + _SEARCHED))), MOST_DRAWS // unit)
    candidates = product / (unit * np.unique(np.linspace(fewest, most, 200).astype(np.int64)))
    misfits = [abs(admissible(float(s)) / s - 1) for s in candidates]
    return float(candidates[int(np.argmin(misfits))])


def smallest_reachable(model: Model, algorithm: Algorithm) -> float:
    """The smallest strength, 0 where all can be had."""
    if not algorithm.noise.falls_with_batch:
        return 0.0
    product, unit = _product(model, algorithm)
    return product / (MOST_DRAWS // unit * unit)


def _product(model: Model, algorithm: Algorithm) -> tuple[float, int]:
    unit = model.n if algorithm.batch_size == "full" else 1
    return algorithm.strength(model) * algorithm.batch(model), unit
