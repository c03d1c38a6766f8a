"""Whether replicas part: where some end elsewhere, their mean is no power series in lambda, however smooth it looks.

Noise takes some replicas across a border between basins if the start is near to one, or on the way a saddle: as lambda
falls ever fewer, and none once the noise is small beside that distance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["parted"]

Array = NDArray[np.float64]

# The variance of a replica falls as lambda, and as its root where the slow flow is singular: with an exponent below
# this replicas part. By chance it is as many standard errors off.
_LEAST_FALL, _ERRORS = 0.4, 2.0
# So they do with a coefficient of Sarle, (1 + skewness^2) / kurtosis, above this: it is 1 of two points, 0.33 of a
# normal distribution, 0.56 of a uniform or an exponential one, 0.6 of squares of normal numbers. It is larger of few
# replicas by chance: of 128 squares above 0.8 once in a hundred times.
_TWO_SIDES, _OF_FEW = 0.7, 1.1
# Replicas for each direction that is looked at: with fewer, directions in which they spread less say nothing, and what
# parts there is small beside the error of the mean.
_PER_DIRECTION = 32
# How many spreads of a replica the limit may then be away: replicas of which p are at distance g move the mean by p g,
# and spread by g sqrt(p (1 - p)).
_CAUTION = 3.0


def parted(strengths: Array, tables: list[Array]) -> float:
    """How far a mean may be from its limit where replicas go apart; 0 where they stay together.

    The principal directions of each strength are looked at: what parts in one can be small beside what spreads in
    another, and crossings that are frequent at one strength turn the directions there alone.

    Parameters
    ----------
    strengths : ndarray, shape (J,)
        Increasing.
    tables : list of ndarray, shape (N, D)
        Rows of the replicas at each, less their mean.
    """
    covariances = [rows.T @ rows / len(rows) for rows in tables]
    sizes = [float(np.trace(covariance)) for covariance in covariances]
    if not np.all(np.isfinite(sizes)):
        return np.inf
    if not max(sizes) > 0:
        return 0.0
    leading = (max(1, len(rows) // _PER_DIRECTION) for rows in tables)
    parts = zip(covariances, sizes, leading)
    bases = [np.linalg.eigh(covariance / size)[1][:, -few:] for covariance, size, few in parts if size > 0]
    return max(_away(strengths, [rows @ basis for rows in tables]) for basis in bases)


def _away(strengths: Array, tables: list[Array]) -> float:
    """The same for columns that do not depend on each other."""
    spreads = np.array([rows.std(axis=0) for rows in tables])
    widest = spreads.max(axis=0)
    moves = widest > 1e-9 * widest.max()  # others hold rounding
    widest, spreads = widest[moves], spreads[:, moves]
    # Where replicas are all alike there are no sides.
    alike = spreads < 1e-30 * widest
    spreads = np.maximum(spreads, 1e-30 * widest)
    third, fourth = np.empty_like(spreads), np.empty_like(spreads)
    for j, (rows, spread) in enumerate(zip(tables, spreads)):
        unit = rows[:, moves] / spread
        square = unit * unit
        third[j], fourth[j] = np.mean(square * unit, axis=0), np.maximum(np.mean(square * square, axis=0), 1.0)
    counts = np.array([[len(rows)] for rows in tables])
    x = np.log(strengths)[:, None]
    x = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    fall = np.sum(x * 2 * np.log(spreads), axis=0)
    # The logarithm of a variance from N rows has the variance (kurtosis - 1)/N.
    error = np.sqrt(np.sum(x**2 * (fourth - 1) / counts, axis=0))
    sarle = np.where(alike, 0.0, (1 + third**2) / fourth - _OF_FEW / np.sqrt(counts))
    apart = (fall + _ERRORS * error < _LEAST_FALL) | np.any(sarle > _TWO_SIDES, axis=0)
    return _CAUTION * float(np.linalg.norm(widest[apart]))
