"""Binomial and multinomial draws of the generated kernels, from the tables of `binomial`.

Each replica takes as many words of its stream as it needs, one for each look-up: the upper 32 bits choose a column,
the lower 32 are compared with its threshold. The source text is copied into generated modules; `replay` repeats it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-overload"

from __future__ import annotations

import numpy as np

from .kernel_math import inlined
from .kernel_random import called
from .lanes import LANES

__all__ = ["binomial", "draw_counts", "draw_flips", "draw_labels"]


@inlined
def lane_word(words, k):
    """The next word of one lane."""
    a, b = words[k], words[np.uint64(LANES) + k]
    c, d = words[np.uint64(2 * LANES) + k] ^ a, words[np.uint64(3 * LANES) + k] ^ b
    total = a + words[np.uint64(3 * LANES) + k]
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
    words[k] = a ^ d
    words[np.uint64(LANES) + k] = b ^ c
    words[np.uint64(2 * LANES) + k] = c ^ (b << np.uint64(17))
    words[np.uint64(3 * LANES) + k] = (d << np.uint64(45)) | (d >> np.uint64(19))
    words[np.uint64(4 * LANES) + k] = word
    return word


@inlined
def binomial(words, k, trials, tables, heads):
    """Binomial(trials, p) in lane k: the sum of one look-up for each bit of the number of trials."""
    total, head, left = 0.0, np.uint64(heads), np.uint64(trials)
    while left > np.uint64(0):
        if left & np.uint64(1):
            word = lane_word(words, k)
            column = ((word >> np.uint64(32)) * np.uint64(tables[head + np.uint64(1)])) >> np.uint64(32)
            at = np.uint64(tables[head]) + np.uint64(2) * column
            own = np.float64(word & np.uint64(0xFFFFFFFF)) < tables[at]
            total += tables[head + np.uint64(2)] + (np.float64(column) if own else tables[at + np.uint64(1)])
        left >>= np.uint64(1)
        head += np.uint64(3)
    return total


@inlined
def halved(words, lane, rows, begin, parts, tables, ranges):
    """Split the number in row `begin` over so many rows from there on, by halves."""
    lanes = np.uint64(LANES)
    for r in range(parts - 1):
        at = np.uint64(ranges) + np.uint64(3 * r)
        first = (begin + np.uint64(tables[at])) * lanes + lane
        middle = (begin + np.uint64(tables[at + np.uint64(1)])) * lanes + lane
        left = binomial(words, lane, rows[first], tables, tables[at + np.uint64(2)])
        rows[middle] = rows[first] - left
        rows[first] = left


@called
def draw_counts(words, count, tables, n, batch):
    """How often each sample is among `batch` draws with replacement, row by row."""
    for k in range(LANES):
        lane = np.uint64(k)
        count[lane] = batch
        halved(words, lane, count, np.uint64(0), n, tables, tables[2])


@called
def draw_flips(words, count, noise, tables, n):
    """How many of the draws of each sample have a flipped label."""
    for i in range(n):
        for k in range(LANES):
            at = np.uint64(i * LANES + k)
            noise[at] = binomial(words, np.uint64(k), count[at], tables, tables[1])


@called
def draw_labels(words, count, noise, tables, y, n, classes):
    """How many of the draws of each sample have each class: a row for each, those of a sample together."""
    lanes, ranges = np.uint64(LANES), tables[2] + 3 * (n - 1)
    for i in range(n):
        begin, own = np.uint64(i * classes), np.uint64(y[i])
        for k in range(LANES):
            lane = np.uint64(k)
            drawn = count[np.uint64(i) * lanes + lane]
            flipped = binomial(words, lane, drawn, tables, tables[1])
            noise[begin * lanes + lane] = flipped
            halved(words, lane, noise, begin, classes - 1, tables, ranges)
            # The other classes, in order, make room for the sample's own.
            row = begin + np.uint64(classes - 1)
            while row > begin + own:
                noise[row * lanes + lane] = noise[(row - np.uint64(1)) * lanes + lane]
                row -= np.uint64(1)
            noise[row * lanes + lane] = drawn - flipped
