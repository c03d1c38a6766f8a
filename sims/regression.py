"""Coefficients of control variates, by least squares on replicas that decide nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Regression", "regress"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """What least squares found.

    Attributes
    ----------
    coefficients : ndarray, shape (C, D)
        Of the columns, for each target.
    columns : int
        How many of the columns are independent.
    left : float
        Part of the variance of the targets that is left, as it is to be expected on other replicas.
    """

    coefficients: Array
    columns: int
    left: float


def regress(columns: Array, targets: Array) -> Regression:
    """Fit targets, shape (N, D), by columns, shape (N, C), and a constant.

    Subtracted from other replicas, with the exact means of the columns, the fit takes variance and adds no bias.
    """
    scale = columns.std(axis=0)
    kept = scale > 1e-12 * max(float(scale.max(initial=0.0)), 1e-300)
    coefficients = np.zeros((columns.shape[1], targets.shape[1]))
    centred = (columns - columns.mean(axis=0))[:, kept] / scale[kept]
    target = targets - targets.mean(axis=0)
    fitted, _, independent, _ = np.linalg.lstsq(centred, target, rcond=1e-6)
    coefficients[kept] = fitted / scale[kept, None]
    # On new data the fit leaves more than on its own, by about (N + p)/(N - p).
    count, p = len(targets), int(independent)
    whole = float(np.sum(target**2))
    left = float(np.sum((target - centred @ fitted) ** 2)) * (count + p) / max(count - p, 1)
    return Regression(coefficients, p, left / whole if whole > 0 else 1.0)
