"""Tails of weighted sums of chi-squares, and the confidence region of a vector error.

Functions of scipy.special in place of scipy.stats, whose import takes half a second.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

__all__ = ["clopper_pearson", "noise_radius", "student_quantile", "weighted_chi2_tail"]

Array = NDArray[np.float64]


def weighted_chi2_tail(value: float, weights: Array) -> float:
    """P(sum_i w_i Z_i^2 > value) for independent standard normal Z_i and positive weights.

    Exact for one weight; otherwise the saddlepoint formula of Lugannani and Rice, good to a few percent of the tail.

    References
    ----------
    R. Lugannani, S. Rice, *Saddle point approximation for the distribution of the sum of independent random
    variables*, Adv. Appl. Probab. 12 (1980); D. Kuonen, Biometrika 86 (1999).
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.size == 0:
        return 1.0 if value < 0 else 0.0
    w, value = w / w.max(), value / float(w.max())
    if np.ptp(w) <= 1e-9:
        return float(scipy.special.chdtrc(w.size, value))
    mean, total = float(w.sum()), float(np.sum(w**2))
    # Of two terms or more, so little has a probability below 1e-5; at the rounding of exact data no root is found.
    if value <= 1e-10 * mean:
        return 1.0
    # Nor is one where even equal weights leave nothing, as of residuals that are not random.
    if scipy.special.chdtrc(w.size, value) == 0:
        return 0.0
    if abs(value - mean) < 1e-3 * np.sqrt(2 * total):
        # At the mean the formula is 0/0; two moments are good there.
        shape = mean**2 / total
        return float(scipy.special.chdtrc(shape, value * mean / total))

    def slope(t: float) -> float:
        return float(np.sum(w / (1 - 2 * w * t))) - value

    low = 0.0 if value > mean else -0.5 * w.size / value - 1.0
    high = 0.5 * (1 - 1e-14) if value > mean else 0.0
    t = float(scipy.optimize.brentq(slope, low, high, xtol=1e-15, rtol=1e-13))
    cumulant = -0.5 * float(np.sum(np.log1p(-2 * w * t)))
    signed = np.sign(t) * np.sqrt(max(2 * (t * value - cumulant), 0.0))
    curvature = t * np.sqrt(float(np.sum(2 * w**2 / (1 - 2 * w * t) ** 2)))
    return float(np.clip(scipy.special.ndtr(-signed - np.log(curvature / signed) / signed), 0.0, 1.0))


def noise_radius(covariance: Array, level: float, replicas: int) -> float:
    """Radius r with P(|Z| > r) = level for Z ~ N(0, covariance) that was estimated from so many replicas."""
    eigenvalues = np.linalg.eigvalsh(covariance)
    largest = float(eigenvalues.max(initial=0.0))
    if largest <= 0:
        return 0.0
    kept = np.asarray(eigenvalues[eigenvalues > 1e-12 * largest] / largest, dtype=np.float64)

    def excess(value: float) -> float:
        return float(np.log(max(weighted_chi2_tail(value, kept), 1e-300) / level))

    # Laurent and Massart's bound lies above the quantile.
    x = -np.log(level)
    bound = float(kept.sum() + 2 * np.sqrt(np.sum(kept**2) * x) + 2 * x)
    square = float(scipy.optimize.brentq(excess, 1e-9, bound * 1.01, rtol=1e-10))
    inflation = student_quantile(level / 2, replicas) / -float(scipy.special.ndtri(level / 2))
    return float(np.sqrt(square * largest)) * inflation


def clopper_pearson(successes: int, trials: int, tail: float) -> tuple[float, float]:
    """Exact bounds of a probability, each missed with probability `tail` at most.

    References
    ----------
    C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, Biometrika 26 (1934).
    """
    low = float(scipy.special.betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(scipy.special.betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return low, high


def student_quantile(tail: float, replicas: int) -> float:
    """Upper quantile of Student's distribution for a mean over so many replicas."""
    return -float(scipy.special.stdtrit(max(replicas - 1, 1), tail))
