"""Whether all engines computed the same statistic: time and replica averages over the same window, own random numbers.

Compared are the first moments and the second moments around a point that is the same for all engines (the mean of all).
With many parameters the second moments are summed over blocks of them, whose sums are closer to normal than the few
squares of one. The standard error of an average is that of the spread over the groups of replicas, pooled over the
engines, for which the law is the same. Each engine is compared with the mean of the others; six standard errors are
a failure. With the usual nine engines there are 63 degrees of freedom, and a false alarm has a probability of 1e-7 for
each number compared, below 1 % for the 20 000 of the largest work, which are far from independent. Seeds are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .protocol import Array, Sums
from .works import GROUPS, Work

__all__ = ["LIMIT", "Agreement", "compare"]

LIMIT = 6.0
BLOCKS = 16
FEW = 10  # parameters, of which every second moment is compared


@dataclass(frozen=True)
class Agreement:
    """Largest distance of each engine from the others, in standard errors, and in what."""

    worst: dict[str, float]
    where: dict[str, str]

    @property
    def failed(self) -> list[str]:
        """Engines beyond the limit, the farthest first; NaN is beyond every limit."""
        far = [name for name, z in self.worst.items() if not z < LIMIT]
        return sorted(far, key=lambda name: -np.nan_to_num(self.worst[name], nan=np.inf))


def compare(work: Work, sums: dict[str, Sums]) -> Agreement:
    """Compare the sums of at least two engines over the work's window."""
    count = work.window * work.replicas // GROUPS
    first = np.stack([np.asarray(s[0]) for s in sums.values()]) / count
    second = np.stack([np.asarray(s[1]) for s in sums.values()]) / count
    rows, columns = work.pairs
    point = first.mean(axis=(0, 1))
    around = (
        second - first[..., rows] * point[columns] - first[..., columns] * point[rows] + point[rows] * point[columns]
    )
    labels = [f"mean of theta[{j}]" for j in range(work.d)]
    if work.d <= FEW:
        labels += [f"second moment of theta[{i}], theta[{j}]" for i, j in zip(rows, columns)]
    else:
        blocks = np.array_split(np.arange(work.d), BLOCKS)
        around = np.stack([around[..., b].sum(axis=-1) for b in (*blocks, np.arange(work.d))], axis=-1)
        labels += [f"second moments of theta[{b[0]}..{b[-1]}]" for b in blocks] + ["sum of second moments"]
    z = np.abs(_distances(np.concatenate([first, around], axis=-1)))
    at = np.argmax(np.nan_to_num(z, nan=np.inf), axis=1)
    return Agreement(
        worst={name: float(z[k, at[k]]) for k, name in enumerate(sums)},
        where={name: labels[at[k]] for k, name in enumerate(sums)},
    )


def _distances(values: Array) -> Array:
    """Each engine's mean less the others', in standard errors; values of shape (engines, groups, numbers)."""
    engines, groups, _ = values.shape
    mean = values.mean(axis=1)
    variance = values.var(axis=1, ddof=1).mean(axis=0) / groups
    others = (mean.sum(axis=0) - mean) / (engines - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (mean - others) / np.sqrt(variance * engines / (engines - 1))
