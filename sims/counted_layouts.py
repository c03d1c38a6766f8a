"""The text of a generated module whose steps go over all samples, with counts and noise in rows.

Upper-case words in angle brackets are filled in by `counted_codegen`. The passes over replicas are intrinsics
(`vector_counted`) or, for functions that only a library has, the loops that stand here.
"""

from __future__ import annotations

from .layouts import SCATTER

__all__ = ["COUNTS", "DRAW", "NOISELESS", "RUN", "SCALAR_INDEXED", "SCALAR_UNROLLED"]

COUNTS = (
    SCATTER
    + '''\
@called
def without_replacement(words, order, count, noise, index, eps, none, batch):
    """Count the draws of a batch without replacement."""
    fill(count, 0.0)
    for b in range(batch):
        draw(words, order, index, eps, none, b, np.uint64(0), WITHOUT_REPLACEMENT, RADEMACHER)
        scatter(count, noise, index, eps)
'''
)

RUN = (
    COUNTS
    + '''

@allocating
def make_scratch(x, y):
    """Count and noise, rows for each sample, normal numbers, total gradient; index and noise of one draw; zeros."""
    n, index = y.size, np.empty(LANES, dtype=np.uint64)
    count = rows(n)
    fill(count, 1.0)
    kick, total = rows(np.int64(KICKS)), rows(np.int64(PARAMETERS))
    return count, rows(n * OUTPUTS), kick, total, index, rows(np.int64(1)), rows(n // LANES + 1)[:n]


@called
def run(theta, words, order, status, scratch<SUMS>, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`."""
    count, noise, kick, total, index, eps, none = scratch
    n, amplitude = y.size, 0.0
    period = 64 // n if n < 64 else 1
    if sampling == FULL:
        fill(count, np.float64(batch // n))
<HELD>
    while step < stop:
<DRAW>
<STEP>
        step += 1
<HOLD>
        if step % period == 0:
            check(theta, status, bound, step)
'''
)

_LABEL_NOISE = """\
        if sampling == FULL:
            for i in range(n):
                full_noise(words, noise, np.uint64(i * LANES), sigma[i], law, step % period * n + i)
        else:
            fill(count, 0.0)
            fill(noise, 0.0)
            for b in range(batch):
                draw(words, order, index, eps, sigma, b, turn_of(b, batch, step), sampling, law)
                scatter(count, noise, index, eps)"""

# For other noise `sigma` is what `noise_tables` gives.
_COUNTS = """\
        if sampling == WITH_REPLACEMENT:
            draw_counts(words, count, sigma, n, batch)
        elif sampling == WITHOUT_REPLACEMENT:
            without_replacement(words, order, count, noise, index, eps, none, batch)
"""

_KICKS = """\
        for j in range(KICKS):
            normals(words, kick, np.uint64(j * LANES))
        amplitude = sigma[0] * batch"""

# By the noise of the form.
DRAW = {
    "label": _LABEL_NOISE,
    "flip": _COUNTS + "        draw_flips(words, count, noise, sigma, n)",
    "class": _COUNTS + "        draw_labels(words, count, noise, sigma, y, n, OUTPUTS)",
    "gradient": _COUNTS + _KICKS,
}

# What a step without noise has in the place of flips, and of classes: their means.
MEAN_FLIPS = """\
    for i in range(y.size):
        for k in range(LANES):
            noise[np.uint64(i * LANES + k)] = theta[<FLIP>]"""

MEAN_CLASSES = """\
    for i in range(y.size):
        for c in range(OUTPUTS):
            for k in range(LANES):
                flip = theta[<FLIP>]
                mean = 1.0 - flip if c == y[i] else flip / (OUTPUTS - 1)
                noise[np.uint64((i * OUTPUTS + c) * LANES + k)] = mean"""

NOISELESS = '''\
@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without noise; with flips as many as there are in the mean."""
    count, noise, kick, total, _, _, _ = scratch
    amplitude = 0.0
<FLIPS>
<STEP>
'''

SCALAR_INDEXED = '''\
@called
def samples_pass(theta, total, count, noise, x, y, n):
    """The total gradient of all samples."""
    hot()
    fill(total, 0.0)
    for i in range(n):
        row, first = i * LANES, i * OUTPUTS * LANES
        <DATA> = <DATA_I>
        for k in range(LANES):
            <PARTS> = sample(<THETA_K>, <DATA>, count[np.uint64(row + k)], <NOISE_K>)
<ADD_TOTALS>


@called
def kicked_pass(theta, total, kick, amplitude, rate, raw):
    """Update every replica by its total."""
    hot()
    for k in range(LANES):
<ADD_RAW>
        <THETA_K> = update(<THETA_K>, <ARGUMENTS>)
'''

SCALAR_UNROLLED = '''\
@called
def batch_pass(theta, count, noise, kick, x, y, amplitude, rate, raw):
    """One step with all samples' formulas in one list."""
    hot()
    for k in range(LANES):
<ADD_RAW>
        <THETA_K> = step(
            <THETA_K>,
            <ARGUMENTS>,
        )
'''
