"""The layouts of a generated module whose formulas are statements for one replica: loops over replicas and samples.

Upper-case words in angle brackets are filled in by `codegen`; a line that holds nothing else and is filled with nothing
disappears. With sums, `raw`, a step also adds the moments of theta before it to their rows.
"""

from __future__ import annotations

from .kernel_frame import Layout
from .kernel_text import indented

__all__ = ["BY_ROWS_ARRAYS", "BY_ROWS_BEGIN", "FULL_NOISE", "INDEXED", "NOISE_ROWS", "SCATTER", "SIGNS", "STEP_ROWS"]
__all__ += ["UNROLLED"]

# One sample's formulas, evaluated for the sample that each replica drew.
_INDEXED_LOOPS = '''\
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
def step_drawn(theta, drawn, noise, rate, raw):
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
def apply(theta, total, rate, raw):
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
'''

# The label noise of sample i of a full batch in a row.
FULL_NOISE = """\
if law == GAUSSIAN:
    gaussian_noise(words, noise, np.uint64({row}), sigma[i])
else:
    sign_noise(words, noise, {row}, sigma[i], phase * n + i)"""

INDEXED = Layout(
    functions=_INDEXED_LOOPS,
    arrays={
        "total": "D * LANES",
        "noise": "LANES",
        "drawn": "(INPUTS + 1) * LANES",
        "table": "(INPUTS + 1) * n",
        "index": "LANES",
    },
    # All data column by column.
    begin="""\
for i in range(n):
    for c in range(INPUTS):
        table[c * n + i] = x[i, c]
    table[INPUTS * n + i] = y[i]""",
    steps=f"""\
if sampling == FULL:
    for i in range(n):
{indented(2, FULL_NOISE.format(row="0"))}
        add_sample(theta, total, noise, np.uint64(i), x, y)
    apply(theta, total, rate, <RAW>)
else:
    for b in range(batch):
        draw(words, order, index, noise, sigma, b, turn_of(b, batch, step), sampling, law)
        gather(drawn, index, table, np.uint64(n))
        if batch > 1:
            add_drawn(theta, total, drawn, noise)
    if batch > 1:
        apply(theta, total, rate, <RAW>)
    else:
        step_drawn(theta, drawn, noise, rate, <RAW>)""",
    # The row of label noise holds zeros.
    noiseless="""\
for i in range(n):
    add_sample(theta, total, noise, np.uint64(i), x, y)
apply(theta, total, rate, <RAW>)""",
)

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

NOISE_ROWS = f"""\
if sampling == FULL:
    for i in range(n):
{indented(2, FULL_NOISE.format(row="i * LANES"))}
else:
    clear(count)
    clear(noise)
    for b in range(batch):
        draw(words, order, index, eps, sigma, b, turn_of(b, batch, step), sampling, law)
        scatter(count, noise, index, eps)"""

BY_ROWS_ARRAYS = {"count": "N * LANES", "noise": "N * LANES", "eps": "LANES", "index": "LANES"}

BY_ROWS_BEGIN = """\
for k in range(N * LANES):
    count[k] = 1.0"""

# All samples' formulas in one expression; a batch is a count and a sum of label noise for each sample.
STEP_ROWS = '''\
@called
def step_rows(theta, count, noise, y, rate, raw):
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

SIGNS = '''\
@called
def step_signs_<STRIDE>(theta, words, phase, passes, noisy, rate, raw):
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

UNROLLED = Layout(
    functions=SCATTER,
    arrays={**BY_ROWS_ARRAYS, "noisy": "2 * N"},
    begin=f"""\
in_words = sampling == FULL and law == RADEMACHER and N <= 64
{BY_ROWS_BEGIN}
for i in range(N):
    noisy[i], noisy[N + i] = y[i] + sigma[i], y[i] - sigma[i]""",
    # Several steps at once where one word holds their signs.
    steps=f"""\
if in_words:
    if phase == 0:
        next_words(words)
    passes = left // STRIDE
    if passes > 0:
        step_signs_<STRIDE>(theta, words, phase, passes, noisy, rate, <RAW>)
        taken = passes * STRIDE
    else:
        step_signs_1(theta, words, phase, 1, noisy, rate, <RAW>)
else:
{indented(1, NOISE_ROWS)}
    step_rows(theta, count, noise, y, rate, <RAW>)""",
    noiseless="step_rows(theta, count, noise, y, rate, <RAW>)",
)
