"""Random draws of the generated kernels: one xoshiro256++ stream per replica, replicas in the innermost loop.

`words` holds five rows of `LANES` unsigned words: four of state and the word drawn last. A draw is one of

- sign: the label noise is +sigma when the bit is 0 and -sigma when it is 1;
- index: the upper 32 bits times n, shifted right by 32 (bias below n/2**32); without replacement its sign is bit 0 of
  the same word;
- index and sign at once: half a word times 2n, shifted right by 32, is twice the index plus the sign's bit (bias of
  both below 2n/2**32). Draws with replacement and label noise of two values take turns: the upper half of a new word,
  then its lower half. A draw's turn is its place in the batch, or, for batches of one, the number of the step;
- normal: sqrt(-2 log(u)) cos(2 pi v), u and v from the upper 53 bits of two words, u in (0, 1], v in [0, 1).

When every sample is taken once per step (full batch), a word serves `max(1, 64 // n)` steps: in step t sample i
has position p = (t mod that) * n + i, a new word is drawn where p mod 64 = 0, and the sign is bit p mod 64.

The source text of these functions is copied into every generated module; `replay` repeats it in NumPy.

References
----------
Blackman, Vigna, *Scrambled linear pseudorandom number generators*, ACM TOMS 2021.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-overload"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .kernel_hints import hot
from .kernel_math import cos_turns, inlined, log
from .lanes import GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT

__all__ = ["next_words"]

called = njit(nogil=True, error_model="numpy", fastmath={"contract"}, _nrt=False)


@called
def next_words(words):
    """Advance every lane's xoshiro256++ by one word, which goes to row 4."""
    hot()
    for k in range(LANES):
        a, b = words[k], words[LANES + k]
        c, d = words[2 * LANES + k] ^ a, words[3 * LANES + k] ^ b
        total = a + words[3 * LANES + k]
        words[4 * LANES + k] = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
        words[k] = a ^ d
        words[LANES + k] = b ^ c
        words[2 * LANES + k] = c ^ (b << np.uint64(17))
        words[3 * LANES + k] = (d << np.uint64(45)) | (d >> np.uint64(19))


@inlined
def flip(value, word, bit):
    """`value`, negated when the bit of the word is set."""
    sign = (word >> np.uint64(bit)) << np.uint64(63)
    return np.uint64(np.float64(value).view(np.uint64) ^ sign).view(np.float64)


@called
def normals(words, noise, row):
    """Fill a row of `noise` with one standard normal per lane (Box-Muller, two words each)."""
    hot()
    next_words(words)
    for k in range(LANES):
        u = np.float64((words[4 * LANES + k] >> np.uint64(11)) + np.uint64(1)) * 2.0**-53
        noise[row + np.uint64(k)] = math.sqrt(-2.0 * log(u))
    next_words(words)
    for k in range(LANES):
        v = np.float64(words[4 * LANES + k] >> np.uint64(11)) * 2.0**-53 - 0.5
        noise[row + np.uint64(k)] *= -cos_turns(v)  # half a turn back


@called
def gaussian_noise(words, noise, row, sigma):
    """Fill a row with the Gaussian label noise of one sample of a full batch."""
    hot()
    normals(words, noise, row)
    for k in range(LANES):
        noise[row + np.uint64(k)] *= sigma


@called
def turn_of(b, batch, step):
    """Whether a draw takes the upper half of a new word, 0, or the lower half of the last one, 1."""
    return np.uint64(b if batch > 1 else step) & np.uint64(1)


@inlined
def code_of(word, turn, n):
    """Twice the index plus the sign's bit, by the upper half of a word in turn 0, the lower half in turn 1."""
    half = (word >> (np.uint64(32) - (turn << np.uint64(5)))) & np.uint64(0xFFFFFFFF)
    return (half * (n + n)) >> np.uint64(32)


@called
def draw(words, order, index, noise, sigma, b, turn, sampling, law):
    """Draw number `b` of a batch: the index of a sample and its fresh label noise, for each lane.

    Without replacement it is step `b` of a Fisher-Yates shuffle of `order`, which is never put back in order. `turn` is
    that of `turn_of`.
    """
    hot()
    n = np.uint64(sigma.size) & np.uint64(0x7FFFFFFF)  # so that products of halves are seen as such
    in_halves = sampling == WITH_REPLACEMENT and law == RADEMACHER
    if not in_halves or turn == np.uint64(0):
        next_words(words)
    if in_halves:
        for k in range(LANES):
            code = code_of(words[4 * LANES + k], turn, n)
            index[k] = code >> np.uint64(1)
            noise[k] = flip(1.0, code, 0)
    elif sampling == WITHOUT_REPLACEMENT:
        first = np.uint64(b)
        for k in range(LANES):
            lane = np.uint64(k)
            other = first + (((words[4 * LANES + k] >> np.uint64(32)) * (n - first)) >> np.uint64(32))
            chosen = order[other * np.uint64(LANES) + lane]
            order[other * np.uint64(LANES) + lane] = order[first * np.uint64(LANES) + lane]
            order[first * np.uint64(LANES) + lane] = chosen
            index[k] = chosen
    else:
        for k in range(LANES):
            index[k] = ((words[4 * LANES + k] >> np.uint64(32)) * n) >> np.uint64(32)
    if law == GAUSSIAN:
        normals(words, noise, np.uint64(0))
    elif not in_halves:
        for k in range(LANES):
            noise[k] = flip(1.0, words[4 * LANES + k], 0)
    # One size for all is the usual case, and loads from lane to lane are slow.
    size, equal = sigma[0], True
    for i in range(sigma.size):
        equal &= sigma[i] == size  # looks at all of them, eight at a time
    if equal:
        for k in range(LANES):
            noise[k] *= size
    else:
        for k in range(LANES):
            noise[k] *= sigma[index[k]]
