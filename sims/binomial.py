"""Tables from which kernels draw binomial and multinomial numbers exactly, at a cost that does not grow with them.

Binomial(N, p) is a sum of Binomial(2^k, p) over the bits k of N, and each of those is one look-up in an alias table.
How often each of n samples is drawn is found by halves: of the N draws in a range of samples, Binomial(N, left/all)
fall into its left half; ranges of one depth have at most two sizes, so that there are few tables. So is which of the
other classes each flipped label of a class becomes.

References
----------
Walker, *An efficient method for generating discrete random variables with general distributions*, ACM TOMS 1977.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["alias_table", "halves", "noise_tables"]

Array = NDArray[np.float64]

# Probability of both tails together that a table leaves out.
_TAILS = 1e-12


@lru_cache(maxsize=512)
def alias_table(trials: int, p: float) -> tuple[int, Array]:
    """The first value of Binomial(trials, p) in the table, and its columns, shape (width, 2).

    A column is chosen uniformly; its own number is the result where a number below 2^32 is less than its first
    entry, and its second entry is the result elsewhere; both count from the first value.
    """
    begin, mass = _masses(trials, p)
    # One value more than the quantiles on each side.
    low = max(0, int(np.searchsorted(np.cumsum(mass), _TAILS / 2)) - 1)
    above = np.append(np.cumsum(mass[::-1])[::-1][1:], 0.0)
    high = min(len(mass) - 1, int(np.argmax(above <= _TAILS / 2)) + 1)
    first, mass = begin + low, mass[low : high + 1]
    left = mass / mass.sum() * len(mass)
    columns = np.stack([np.full(len(mass), 2.0**32), np.arange(len(mass), dtype=np.float64)], axis=1)
    small = [k for k, m in enumerate(left) if m < 1]
    large = [k for k, m in enumerate(left) if m >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        columns[low] = np.rint(left[low] * 2.0**32), high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            small.append(large.pop())
    return first, columns


def _masses(trials: int, p: float) -> tuple[int, Array]:
    """The first value, and the probabilities from there on, of all that is not too rare for a number.

    Products of ratios from the most probable value on, right to rounding; scipy.stats takes half a second to import.
    """
    mode, reach = int((trials + 1) * p), int(9 * np.sqrt(trials * p * (1 - p))) + 60
    up, down = np.arange(mode, min(trials, mode + reach)), np.arange(mode, max(0, mode - reach), -1)
    rising = np.cumprod((trials - up) / (up + 1) * (p / (1 - p)))
    falling = np.cumprod(down / (trials - down + 1) * ((1 - p) / p))
    mass = np.concatenate([falling[::-1], [1.0], rising])
    return mode - len(falling), mass / mass.sum()


def halves(n: int) -> Iterator[tuple[int, int, int]]:
    """First sample, middle and end of each range of more than one sample, a range before its parts."""
    waiting = [(0, n)]
    while waiting:
        first, last = waiting.pop()
        if last - first > 1:
            middle = first + (last - first) // 2
            yield first, middle, last
            waiting += [(middle, last), (first, middle)]


def noise_tables(n: int, batch: int, *, flip: float | None = None, amplitude: float = 0.0, others: int = 1) -> Array:
    """What a kernel needs to draw batches of counts, as one array.

    Entries: the amplitude; where the heads of the table of flips begin; where the list of ranges begins; heads; n - 1
    ranges of samples, and those of the `others` that a class can become; tables. There is a head for each probability
    and bit: where the table begins, its width and its first value. A range is its first sample, its middle and where
    the heads of its probability begin.
    """
    ranges = [*halves(n), *halves(others)]
    probabilities = sorted({(m - a) / (b - a) for a, m, b in ranges})
    wanted = [0.5 if flip is None else flip, *probabilities]
    bits = batch.bit_length()
    begin = 3 + 3 * bits * len(wanted)
    heads_of = {p: 3 + 3 * bits * (1 + k) for k, p in enumerate(probabilities)}
    listed = [[a, m, heads_of[(m - a) / (b - a)]] for a, m, b in ranges]
    heads, tables, at = [], [], begin + 3 * len(ranges)
    for p in wanted:
        for k in range(bits):
            first, columns = alias_table(1 << k, p)
            heads.append([at, len(columns), first])
            tables.append(columns.ravel())
            at += columns.size
    parts = [[amplitude, 3, begin], *heads, *listed, *tables]
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
