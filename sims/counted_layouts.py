"""The text of a generated module whose steps go over all samples, with counts and noise in rows.

Upper-case words in angle brackets are filled in by `counted_codegen`. The passes over replicas are intrinsics
(`vector_counted`).
"""

from __future__ import annotations

from .layouts import NOISE_ROWS, SCATTER

__all__ = ["ARRAYS", "BEGIN", "COUNTS", "DRAW", "MEAN_CLASSES", "MEAN_FLIPS"]

COUNTS = (
    SCATTER
    + '''

@called
def without_replacement(words, order, count, noise, index, eps, none, batch):
    """Count the draws of a batch without replacement."""
    clear(count)
    for b in range(batch):
        draw(words, order, index, eps, none, b, np.uint64(0), WITHOUT_REPLACEMENT, RADEMACHER)
        scatter(count, noise, index, eps)
'''
)

ARRAYS = {
    "count": "n * LANES",
    "noise": "n * OUTPUTS * LANES",
    "kick": "KICKS * LANES",
    "total": "PARAMETERS * LANES",
    "eps": "LANES",
    "none": "n",
    "index": "LANES",
}

# Every sample as often as a full batch has it, where none is drawn.
BEGIN = """\
amplitude = 0.0
for k in range(n * LANES):
    count[k] = batch // n"""

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
    "label": NOISE_ROWS,
    "flip": _COUNTS + "draw_flips(words, count, noise, sigma, n)",
    "class": _COUNTS + "draw_labels(words, count, noise, sigma, y, n, OUTPUTS)",
    "gradient": _COUNTS + _KICKS,
}

# What a step without noise has in the place of flips, and of classes: their means.
MEAN_FLIPS = """\
for i in range(n):
    for k in range(LANES):
        noise[np.uint64(i * LANES + k)] = theta[<FLIP>]
"""

MEAN_CLASSES = """\
for i in range(n):
    for c in range(OUTPUTS):
        for k in range(LANES):
            flip = theta[<FLIP>]
            mean = 1.0 - flip if c == y[i] else flip / (OUTPUTS - 1)
            noise[np.uint64((i * OUTPUTS + c) * LANES + k)] = mean
"""
