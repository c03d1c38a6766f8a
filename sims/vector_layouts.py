"""The text of a generated module whose passes over replicas are intrinsics (`vector_steps`): its loop over steps.

Upper-case words in angle brackets are filled in by `codegen`.
"""

from __future__ import annotations

from .layouts import UNROLLED_SCRATCH

__all__ = ["INDEXED", "INDEXED_NOISELESS", "UNROLLED"]

INDEXED = '''\
@called
def gather(drawn, index, pairs, width):
    """Copy the inputs and the target of the sample that each replica drew into rows."""
    hot()
    for c in range(INPUTS + 1):
        first = np.uint64(c) * width
        for k in range(LANES):
            drawn[c * LANES + k] = pairs[first + np.uint64(2) * index[k]]


@called
def set_targets(pairs, y, sigma, width):
    """Targets with label noise: y + sigma and y - sigma of each sample."""
    first = np.uint64(INPUTS) * width
    for i in range(np.uint64(y.size)):
        pairs[first + np.uint64(2) * i] = y[i] + sigma[i]
        pairs[first + np.uint64(2) * i + np.uint64(1)] = y[i] - sigma[i]


@allocating
def make_scratch(x, y):
    """Total gradient, label noise, index, the data of the drawn sample, and all data twice, column after column."""
    n = y.size
    width = 2 * n if n > 8 else 16  # eight samples are looked up in two vectors
    pairs = rows(np.int64((INPUTS + 1) * width // LANES + 1))
    none = rows(np.int64(n // LANES + 1))
    for i in range(2 * n):
        for c in range(INPUTS):
            pairs[c * width + i] = x[i // 2, c]
    set_targets(pairs, y, none, np.uint64(width))
    index, no_words = np.empty(LANES, dtype=np.uint64), np.empty(5 * LANES, dtype=np.uint64)
    for k in range(5 * LANES):
        no_words[k] = 0
    return rows(np.int64(D)), rows(np.int64(1)), index, rows(np.int64(INPUTS + 1)), pairs, no_words


@called
def run(theta, words, order, status, scratch<SUMS>, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`, all at once until the next check where signs come from words."""
    hot()
    total, noise, index, drawn, pairs, _ = scratch
    n = y.size
    width, period = np.uint64(2 * n if n > 8 else 16), 64 // n if n < 64 else 1
    in_words = n <= 64
    if law == RADEMACHER:
        if sampling != FULL or in_words:
            set_targets(pairs, y, sigma, width)
<HELD>
    while step < stop:
        # Branches on the sampling and the law alone, so that what another way takes is not compiled.
        phase, taken = step % period, 0
        left = stop - step if stop - step < period - phase else period - phase
        if sampling == FULL:
            if law == RADEMACHER:
                if in_words:
                    taken = left
                    if phase == 0:
                        next_words(words)
                    full_pass(theta, words, pairs, n, width, rate, phase, taken, <RAW>)
            if taken == 0:
                taken = 1
                for i in range(n):
                    full_noise(words, noise, np.uint64(0), sigma[i], law, phase * n + i)
                    same_pass(theta, total, noise, pairs, width, i)
                update_pass(theta, total, rate, <RAW>)
        elif law == RADEMACHER:
            taken = left
            if sampling == WITH_REPLACEMENT:
                drawn_pass(theta, words, None, pairs, n, width, rate, batch, step, taken, <RAW>)
            else:
                drawn_pass(theta, words, order, pairs, n, width, rate, batch, step, taken, <RAW>)
        else:
            taken = 1
            for b in range(batch):
                draw(words, order, index, noise, sigma, b, turn_of(b, batch, step), sampling, law)
                gather(drawn, index, pairs, width)
                rows_pass(theta, total, drawn, noise)
            update_pass(theta, total, rate, <RAW>)
        step += taken
<HOLD>
        if step % period == 0:
            check(theta, status, bound, step)
'''

INDEXED_NOISELESS = '''\
@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise: all signs are zero, and so are all sizes."""
    hot()
    width = 2 * y.size if y.size > 8 else 16
    full_pass(theta, scratch[5], scratch[4], y.size, width, rate, 0, 1, None)
'''

UNROLLED = (
    UNROLLED_SCRATCH
    + '''\
@called
def run(theta, words, order, status, scratch<SUMS>, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`, all at once until the next check where one word holds their signs."""
    hot()
    count, noise, index, eps, noisy = scratch
    in_words = sampling == FULL and law == RADEMACHER and N <= 64
    for i in range(N):
        noisy[i], noisy[N + i] = y[i] + sigma[i], y[i] - sigma[i]
    period = 64 // N if N < 64 else 1
<HELD>
    while step < stop:
        phase, taken = step % period, 1
        if in_words:
            if phase == 0:
                next_words(words)
            taken = stop - step if stop - step < period - phase else period - phase
            signs_pass(theta, words, noisy, rate, phase, taken, <RAW>)
        else:
            if sampling == FULL:
                for i in range(N):
                    full_noise(words, noise, np.uint64(i * LANES), sigma[i], law, phase * N + i)
            else:
                fill(count, 0.0)
                fill(noise, 0.0)
                for b in range(batch):
                    draw(words, order, index, eps, sigma, b, turn_of(b, batch, step), sampling, law)
                    scatter(count, noise, index, eps)
            counts_pass(theta, count, noise, y, rate, <RAW>)
        step += taken
<HOLD>
        if step % period == 0:
            check(theta, status, bound, step)
'''
)

UNROLLED_NOISELESS = '''\
@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise."""
    hot()
    counts_pass(theta, scratch[0], scratch[1], y, rate, None)
'''
