"""The text of a generated module around the model's formulas: loops over replicas, steps and samples.

Upper-case words in angle brackets are filled in by `codegen`; a line that holds nothing else and is filled with nothing
disappears. With <RAW> a step also adds the moments of theta before it to rows of sums.
"""

from __future__ import annotations

__all__ = ["INDEXED", "INDEXED_NOISELESS", "SCATTER", "SIGNS", "UNROLLED", "UNROLLED_NOISELESS", "UNROLLED_SCRATCH"]

# One sample's formulas, evaluated for the sample that each replica drew.
INDEXED = '''\
@called
def gather(drawn, index, table, n):
    """Copy the inputs and the target of the sample that each replica drew into rows."""
    hot()
    if n <= 4:
        # Selections among so few are faster than loads from lane to lane.
        for c in range(INPUTS + 1):
            first = np.uint64(c) * n
            last = first + n - np.uint64(1)
            a, b = table[first], table[min(first + np.uint64(1), last)]
            c2, d = table[min(first + np.uint64(2), last)], table[last]
            for k in range(LANES):
                i = index[k]
                low, high = (a if i == 0 else b), (c2 if i == 2 else d)
                drawn[c * LANES + k] = low if i < 2 else high
    else:
        for c in range(INPUTS + 1):
            first = np.uint64(c) * n
            for k in range(LANES):
                drawn[c * LANES + k] = table[first + index[k]]


@called
def step_drawn(theta, drawn, noise, rate<RAW>):
    """One step with the one sample that each replica drew."""
    hot()
    for k in range(LANES):
        residual, <GRADIENT> = sample(<THETA_K>, <DRAWN_K>)
        residual -= noise[k]
<ADD_RAW>
        <THETA_K> = update(
            <THETA_K>,
            <TIMES_RESIDUAL>,
            rate,
        )


@called
def add_drawn(theta, total, drawn, noise):
    """Add (f_i - y_i - noise) grad f_i of the sample that each replica drew to its total."""
    hot()
    for k in range(LANES):
        residual, <GRADIENT> = sample(<THETA_K>, <DRAWN_K>)
        residual -= noise[k]
<ADD_TOTALS>


@called
def add_sample(theta, total, noise, i, x, y):
    """Add (f_i - y_i - noise) grad f_i of the same sample i to every replica's total."""
    hot()
    <DATA> = <DATA_I>
    for k in range(LANES):
        residual, <GRADIENT> = sample(<THETA_K>, <DATA>)
        residual -= noise[k]
<ADD_TOTALS>


@called
def apply(theta, total, rate<RAW>):
    """Update every replica by its total, and clear the total."""
    hot()
    for k in range(LANES):
<ADD_RAW>
        <THETA_K> = update(
            <THETA_K>,
            <TOTAL_K>,
            rate,
        )
<CLEAR_TOTALS>


@allocating
def make_scratch(x, y):
    """Total gradient, label noise, index, the data of the drawn sample, and all data column by column."""
    n = y.size
    table = np.empty((INPUTS + 1) * n)
    for i in range(n):
        for c in range(INPUTS):
            table[c * n + i] = x[i, c]
        table[INPUTS * n + i] = y[i]
    index = np.empty(LANES, dtype=np.uint64)
    return rows(np.int64(D)), rows(np.int64(1)), index, rows(np.int64(INPUTS + 1)), table


@called
def run(theta, words, order, status, scratch<SUMS>, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`."""
    total, noise, index, drawn, table = scratch
    n = y.size
    period = 64 // n if n < 64 else 1
<HELD>
    while step < stop:
        if sampling == FULL:
            for i in range(n):
                full_noise(words, noise, np.uint64(0), sigma[i], law, step % period * n + i)
                add_sample(theta, total, noise, np.uint64(i), x, y)
            apply(theta, total, rate<RAW>)
        else:
            for b in range(batch):
                draw(words, order, index, noise, sigma, b, turn_of(b, batch, step), sampling, law)
                gather(drawn, index, table, np.uint64(n))
                if batch > 1:
                    add_drawn(theta, total, drawn, noise)
            if batch > 1:
                apply(theta, total, rate<RAW>)
            else:
                step_drawn(theta, drawn, noise, rate<RAW>)
        step += 1
<HOLD>
        if step % period == 0:
            check(theta, status, bound, step)
'''

# A batch as counts and sums of noise, whatever takes the step with them.
SCATTER = '''\
@called
def scatter(count, noise, index, eps):
    """Add one draw of each replica to the rows of the sample that it drew."""
    for k in range(LANES):
        row = index[k] * np.uint64(LANES) + np.uint64(k)
        count[row] += 1.0
        noise[row] += eps[k]


'''

UNROLLED_SCRATCH = (
    SCATTER
    + '''\
@allocating
def make_scratch(x, y):
    """Count and label noise, one row per sample, index and noise of one draw, and targets with their noise."""
    count = rows(np.int64(N))
    fill(count, 1.0)
    index, noisy = np.empty(LANES, dtype=np.uint64), rows(np.int64(2 * N // LANES + 1))
    return count, rows(np.int64(N)), index, rows(np.int64(1)), noisy


'''
)

# All samples' formulas in one expression; a batch is a count and a sum of label noise for each sample.
UNROLLED = (
    '''\
@called
def step_rows(theta, count, noise, y, rate<RAW>):
    """One step, with row i of `count` and `noise`: how often sample i was drawn, and the sum of its label noise."""
    hot()
    target = (<Y>)
    for k in range(LANES):
        <THETA_K><STATISTICS> = step(
            <THETA_K>,
            (<COUNT_K>),
            (<NOISE_K>),
            target,
            rate,
        )
<ADD_RAW>


'''
    + UNROLLED_SCRATCH
    + '''\
@called
def run(theta, words, order, status, scratch<SUMS>, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`, several at once where one word holds their signs."""
    count, noise, index, eps, noisy = scratch
    in_words = sampling == FULL and law == RADEMACHER and N <= 64
    for i in range(N):
        noisy[i], noisy[N + i] = y[i] + sigma[i], y[i] - sigma[i]
<HELD>
    while step < stop:
        phase = step % PERIOD
        if in_words:
            if phase == 0:
                next_words(words)
            passes = min(PERIOD - phase, stop - step) // STRIDE
            if passes > 0:
                step_signs_<STRIDE>(theta, words, phase, passes, noisy, rate<RAW>)
                step += passes * STRIDE
            else:
                step_signs_1(theta, words, phase, 1, noisy, rate<RAW>)
                step += 1
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
            step_rows(theta, count, noise, y, rate<RAW>)
            step += 1
<HOLD>
        if step % PERIOD == 0:
            check(theta, status, bound, step)
'''
)

SIGNS = '''\
@called
def step_signs_<STRIDE>(theta, words, phase, passes, noisy, rate<RAW>):
    """So many passes of <STRIDE> full-batch steps, with the signs in the last word from step `phase` on.

    `noisy` holds all y_i + sigma_i, then all y_i - sigma_i.
    """
    hot()
    above, below = (<ABOVE>), (<BELOW>)
    for p in range(passes):
        bit = np.uint64((phase + p * <STRIDE>) * N)
        for k in range(LANES):
            word = words[4 * LANES + k] >> bit
            <THETA> = <THETA_K>
<LOAD_RAW>
            for s in range(<STRIDE>):
                <THETA><STATISTICS> = step(
                    <THETA>,
                    (<ONES>),
                    (<ZEROS>),
                    (<TARGETS>),
                    rate,
                )
<ADD_RAW_DEEPER>
            <THETA_K> = <THETA>
<STORE_RAW>
'''

INDEXED_NOISELESS = '''\
@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise."""
    total, zeros = scratch[0], scratch[1]
    for i in range(y.size):
        add_sample(theta, total, zeros, np.uint64(i), x, y)
    apply(theta, total, rate)
'''

UNROLLED_NOISELESS = '''\
@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise."""
    step_rows(theta, scratch[0], scratch[1], y, rate)
'''
