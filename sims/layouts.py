"""The layouts of a generated module with replicas side by side: what it calls for a step, and in which order.

The passes over replicas are intrinsics (`vector_steps`, `vector_signs`, `vector_batches`).
"""

from __future__ import annotations

from .kernel_frame import Layout
from .kernel_text import indented

__all__ = ["INDEXED", "NOISE_ROWS", "SCATTER", "unrolled"]

# The label noise of sample i of a full batch in a row.
FULL_NOISE = """\
if law == GAUSSIAN:
    gaussian_noise(words, noise, np.uint64({row}), sigma[i])
else:
    sign_noise(words, noise, {row}, sigma[i], phase * n + i)"""

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

INDEXED = Layout(
    functions='''\
@called
def gather(drawn, index, pairs, width):
    """Copy the inputs and the target of the sample that each replica drew into rows."""
    hot()
    for c in range(INPUTS + 1):
        first = np.uint64(c) * width
        for k in range(LANES):
            drawn[c * LANES + k] = pairs[first + np.uint64(2) * index[k]]
''',
    # All data twice, column after column, eight samples in two vectors; targets as y + sigma and y - sigma of each.
    arrays={
        "total": "D * LANES",
        "noise": "LANES",
        "drawn": "(INPUTS + 1) * LANES",
        "pairs": "(INPUTS + 1) * (2 * n if n > 8 else 16)",
        "index": "LANES",
    },
    begin="""\
width, in_words, size = np.uint64(2 * n if n > 8 else 16), n <= 64, 0.0
if law == RADEMACHER:
    if sampling != FULL or in_words:
        size = 1.0
doubled_pass(pairs, x, y, sigma, n, width, size)""",
    # Branches on the sampling and the law alone, so that what another way takes is not compiled.
    steps=f"""\
if sampling == FULL:
    done = False
    if law == RADEMACHER:
        if in_words:
            taken, done = left, True
            if phase == 0:
                next_words(words)
            full_pass(theta, words, pairs, n, width, rate, phase, taken, <RAW>)
    if not done:
        for i in range(n):
{indented(3, FULL_NOISE.format(row="0"))}
            same_pass(theta, total, noise, pairs, width, i)
        update_pass(theta, total, rate, <RAW>)
elif law == RADEMACHER:
    taken = left
    if sampling == WITH_REPLACEMENT:
        drawn_pass(theta, words, None, pairs, n, width, rate, batch, step, taken, <RAW>)
    else:
        drawn_pass(theta, words, order, pairs, n, width, rate, batch, step, taken, <RAW>)
else:
    for b in range(batch):
        draw(words, order, index, noise, sigma, b, turn_of(b, batch, step), sampling, law)
        gather(drawn, index, pairs, width)
        rows_pass(theta, total, drawn, noise)
    update_pass(theta, total, rate, <RAW>)""",
    # All signs are zero, and so are all sizes.
    noiseless="full_pass(theta, words, pairs, n, width, rate, 0, 1, <RAW>)",
)

# As many samples as have their counts, noise and permutation in registers; where four vectors are side by side fewer.
FEW, FEW_TOGETHER = 8, 4

_BY_ROWS = f"""\
{NOISE_ROWS}
counts_pass(theta, count, noise, y, rate, <RAW>)"""

_SIGNS = """\
if phase == 0:
    next_words(words)
taken = left
signs_pass(theta, words, labels, rate, phase, taken, <RAW>)"""

_LABELS = """\
if sampling == FULL:
    if law == RADEMACHER:
        label_pass(labels, y, sigma, rate)"""

_BATCHES = """\
taken = left
batches_pass(theta, words, {order}, sigma, y, batch, rate, step, taken, <RAW>)"""


def unrolled(n: int, alone: bool) -> Layout:
    """The layout of a list of so many samples; `alone`: `batches_pass` takes one vector after the other."""

    in_words = n <= 64
    drawn = [
        _BATCHES.format(order=order) if n <= (FEW if alone else FEW_TOGETHER) else _BY_ROWS
        for order in ("None", "order")
    ]
    return Layout(
        functions=SCATTER,
        # At most 64 numbers of each sample: `CHOICES` of `vector_signs`.
        arrays={**BY_ROWS_ARRAYS, "labels": "64 * N"} if in_words else BY_ROWS_ARRAYS,
        begin=BY_ROWS_BEGIN,
        begin_noise=_LABELS if in_words else "",
        # Branches on the sampling and the law alone, so that what another way takes is not compiled.
        steps=f"""\
if law == RADEMACHER:
    if sampling == FULL:
{indented(2, _SIGNS if in_words else _BY_ROWS)}
    elif sampling == WITH_REPLACEMENT:
{indented(2, drawn[0])}
    else:
{indented(2, drawn[1])}
else:
{indented(1, _BY_ROWS)}""",
        noiseless="counts_pass(theta, count, noise, y, rate, <RAW>)",
    )
