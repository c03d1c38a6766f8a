"""The sample size: what a pilot run showed, and how many replicas each strength needs for a planned error."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .confidence import noise_radius
from .extrapolate import polynomial_weights
from .lanes import LANES
from .measurement import Measurement

__all__ = ["TAIL_LIMIT", "Pilot", "kurtosis", "relative_costs", "sample_sizes", "tail_inflation", "whole_blocks"]

Array = NDArray[np.float64]

_FEWEST = 128
# Sample kurtosis over the number of replicas: above this, a few replicas carry the mean, and no correction of the
# normal approximation at four or five standard errors is to be trusted.
TAIL_LIMIT = 0.2
# What the sizes are planned for; with more room where runs are short, because the kurtosis of a sample varies.
_PLANNED_TAILS = 0.05
_PLANNED_TAILS_PAIRED = 0.01
# Share of the weight that a strength gets at least, so that the fit can be checked.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Pilot:
    """What the pilot run at the largest strength showed.

    Attributes
    ----------
    largest : float
        That strength.
    covariance : ndarray, shape (D, D)
        Of one replica's row.
    kurtosis : float
    replicas : int
    seconds_per_replica : float
    """

    largest: float
    covariance: Array
    kurtosis: float
    replicas: int
    seconds_per_replica: float


def relative_costs(measurement: Measurement, strengths: Array) -> Array:
    """Steps of a replica at each strength over those at the last.

    Lengths, not seconds: sample sizes that depend on a clock could not be reproduced.
    """
    lengths = np.array([float(measurement.schedule(s)[-1]) for s in strengths])
    return np.asarray(lengths / lengths[-1])


def sample_sizes(
    pilot: Pilot, measurement: Measurement, strengths: Array, half_width: float, level: float, variances: Array
) -> tuple[NDArray[np.int64], float]:
    """Replicas per strength for a planned half width at the least cost, and that cost in replicas of the pilot.

    They are whole blocks of `LANES` replicas, since a part of a block takes as long as all of it.

    Parameters
    ----------
    pilot : Pilot
    measurement : Measurement
    strengths : ndarray, shape (J,)
    half_width : float
        Of the interval of the limit, in the units of a row.
    level : float
        Error rate of the interval.
    variances : ndarray, shape (J,)
        Of a row at each strength, over that of the pilot.
    """
    costs = relative_costs(measurement, strengths)
    shares = np.ones(len(strengths))
    for _ in range(10):
        weights = np.abs(polynomial_weights(strengths, variances / shares, measurement.degree)[0])
        weights = np.maximum(weights, _LEAST_SHARE * weights.max())
        shares = weights * np.sqrt(variances / costs)
    weights = polynomial_weights(strengths, variances / shares, measurement.degree)[0]
    values = len(pilot.covariance) - measurement.residual_columns
    # One half of the level for the part along the prediction, one for the rest; the latter's radius covers both.
    radius = noise_radius(pilot.covariance[:values, :values], level / 2, pilot.replicas)
    factor = float(np.sum(weights**2 * variances / shares)) * (radius / half_width) ** 2
    # More replicas than components, so that the covariance of a row can be estimated.
    planned = _PLANNED_TAILS_PAIRED if measurement.paired else _PLANNED_TAILS
    fewest = min(max(_FEWEST, 2 * len(pilot.covariance), pilot.kurtosis / planned), 1e9)
    # Whole blocks are up to one block less.
    tails = pilot.kurtosis / max(fewest, float(np.min(factor * shares)) - LANES)
    factor *= tail_inflation(tails, level / 2) ** 2
    wanted, least = np.clip(factor * shares, 1e-9, 1e9) / LANES, float(np.ceil(fewest / LANES))
    if measurement.paired:
        # Pairs are of the same replicas at all strengths.
        blocks = np.full(len(strengths), max(np.ceil(wanted.max()), least))
    else:
        blocks = whole_blocks(wanted, least, weights**2 * variances, costs)
    sizes = LANES * blocks.astype(np.int64)
    return sizes, float(costs @ sizes)


def whole_blocks(wanted: Array, fewest: float, variances: Array, costs: Array) -> Array:
    """Whole numbers of blocks that are as precise together as `wanted`, at about the least cost.

    Each is rounded up or down; then the strength whose blocks cost least has the smallest number with which the
    variance of the limit is not above that for `wanted`.

    Parameters
    ----------
    wanted : ndarray, shape (J,)
        Numbers at each strength.
    fewest : float
        Whole, and for all.
    variances : ndarray, shape (J,)
        What one block at each strength adds to the variance of the limit; with b of them a part 1/b of it.
    costs : ndarray, shape (J,)
        Of a block.
    """
    allowed, cheapest = float(np.sum(variances / wanted)), int(np.argmin(costs))
    others = [j for j in range(len(wanted)) if j != cheapest]
    plans = [np.maximum(np.ceil(wanted), fewest)]
    for up in product((0, 1), repeat=len(others)):
        blocks = plans[0].copy()
        blocks[others] = np.maximum(np.floor(wanted[others]) + up, fewest)
        if (left := allowed - float(np.sum(variances[others] / blocks[others]))) > 0:
            blocks[cheapest] = max(np.ceil(variances[cheapest] / left), fewest)
            plans.append(blocks)
    return min(plans, key=lambda blocks: float(costs @ blocks))


def tail_inflation(tails: float, level: float) -> float:
    """Factor by which a mean's error may exceed the normal one at such a level.

    The first two corrections of Cornish and Fisher for the mean of N replicas, the skewness taken at its largest for
    the kurtosis k: skewness^2 <= k - 1.

    Parameters
    ----------
    tails : float
        k/N.
    level : float
        Two-sided error rate.
    """
    z = -float(scipy.special.ndtri(level / 2))
    return 1.0 + np.sqrt(tails) * (z**2 - 1) / (6 * z) + tails * (z**2 - 3) / 24


def kurtosis(centred: Array) -> float:
    """Largest kurtosis of the components that carry most of the variance; rows have mean zero, shape (N, D)."""
    variances = np.mean(centred**2, axis=0)
    if not variances.max(initial=0.0) > 0:
        return 3.0
    main = centred[:, variances > 0.01 * variances.max()]
    return float(np.max(np.mean(main**4, axis=0) / np.mean(main**2, axis=0) ** 2))
