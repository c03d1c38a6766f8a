"""The text of a generated module that does not depend on its layout: what it imports and what it offers.

Upper-case words in angle brackets are filled in by `codegen`. State is in structures of arrays, flattened to one
row of `LANES` replicas after the other, so that a row starts at a constant offset and the compiler sees that rows
do not overlap.
"""

from __future__ import annotations

__all__ = ["ACCUMULATE", "ADVANCE", "CHECK", "DESCEND", "HEADER", "IMPORTS", "ROWS"]

HEADER = '''\
"""Label noise SGD, generated for one model.

parameters  <PARAMETERS>
prediction  <PREDICTION>
layout      <LAYOUT>

Arrays over replicas are flat, row after row of LANES replicas: theta has one row per parameter, words five
(state of xoshiro256++ and the last word), order one per sample (the permutation drawn from without replacement).
"""
'''

IMPORTS = """\
import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

inlined = njit(
    nogil=True,
    error_model="numpy",
    fastmath={"contract"},
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
allocating = njit(
    nogil=True, error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
# Without counting references to its arrays, which takes longer than a loop over the replicas does.
called = njit(
    nogil=True,
    error_model="numpy",
    fastmath={"contract"},
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
)

"""

# Loops, because Numba takes a second to compile an assignment to a slice, and np.ones and np.zeros nearly as long. So
# most modules have no min and max either, and numbers of rows are of one type: a literal makes a new function.
ROWS = '''\
@called
def fill(array, value):
    """Set every entry."""
    for k in range(array.size):
        array[k] = value


@called
def copy(array, to):
    """Copy every entry."""
    for k in range(array.size):
        to[k] = array[k]


@allocating
def rows(count):
    """So many rows of LANES zeros that begin at a cache line: a vector that crosses one is loaded twice."""
    array = np.empty(count * LANES + 8)
    first = np.uint64((64 - array.ctypes.data % 64) // 8 % 8)
    aligned = array[first : first + np.uint64(count * LANES)]
    fill(aligned, 0.0)
    return aligned
'''

CHECK = '''\
@called
def check(theta, status, bound, step):
    """Note the step in the status of each replica that is seen out of bounds for the first time."""
    hot()
    outside = False
    for k in range(D * LANES):
        outside |= not abs(theta[k]) < bound  # true for nan
    if not outside:
        return
    for j in range(D):
        for k in range(LANES):
            inside = abs(theta[j * LANES + k]) < bound  # false for nan
            status[k] = status[k] if inside or status[k] >= 0 else step
'''

# What every module offers, whatever its layout.
ADVANCE = '''\
@njit(
    "void(f8[::1], u8[::1], u8[::1], i8[::1], i8, i8[::1], f8[:, ::1],"
    " f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8, f8)",
    nogil=True,
    error_model="numpy",
    cache=True,
)
def advance(theta, words, order, status, first, schedule, out, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` through the increasing step counts of `schedule`.

    theta after schedule[m] steps goes to out[m]. theta, words, order and status hold the whole state: a run may be
    cut wherever the step count is a multiple of max(1, 64 // n), or is in its schedule. There, and only there, each
    replica is checked: status is the step at which some abs(theta_j) < bound was first seen to fail, -1 if never.
    """
    rate = lr / batch
    scratch = make_scratch(x, y)
    step = first
    for m in range(schedule.size):
        run(
            theta, words, order, status, scratch, step, schedule[m], x, y, sigma, rate, batch, sampling, law, bound
        )
        step = schedule[m] if schedule[m] > step else step
        check(theta, status, bound, step)
        copy(theta, out[m])
'''

DESCEND = '''\
@njit(
    "i8(f8[::1], b1[::1], f8[:, ::1], f8[::1], f8, f8, f8, i8)", nogil=True, error_model="numpy", cache=True
)
def descend(theta, settled, x, y, lr, tolerance, bound, max_steps):
    """Full-batch steps without label noise, until no replica moves by `tolerance` in a step or `max_steps` are taken.

    Every 16th step is looked at, so that the steps taken are a multiple of 16. A replica out of bounds is not waited
    for. Returns the number of steps; `settled` says which replicas came to rest.
    """
    rate = lr / y.size
    scratch = make_scratch(x, y)
    before = rows(np.int64(D))
    steps, moving = 0, True
    while moving and steps < max_steps:
        for _ in range(15):
            noiseless_step(theta, scratch, x, y, rate)
        copy(theta, before)
        noiseless_step(theta, scratch, x, y, rate)
        steps += 16
        fill(settled, True)
        moving = False
        for j in range(D):
            for k in range(LANES):
                now = theta[j * LANES + k]
                still = abs(now - before[j * LANES + k]) < tolerance
                settled[k] = settled[k] and still
                moving = moving or (abs(now) < bound and not still)
    return steps
'''

# In a module of its own: first and second moments over all steps.
ACCUMULATE = '''\
@called
def flush(raw, columns, held, sums, shift):
    """Add the raw sums over `held` steps to the shifted ones, and clear them.

    So few steps are held that a second moment is right to about one ulp of theta^2, however many steps there are.
    `columns` is COLUMNS: loops of a known number of turns, when it is small, are unrolled and not made of vectors.
    """
    hot()
    held *= LANES // columns
    lanes = np.uint64(LANES)
    row = np.uint64(PARAMETERS) * lanes
    for j in range(PARAMETERS):
        first, mean_j = np.uint64(j) * lanes, shift[j]
        for k in range(columns):
            at = first + np.uint64(k)
            sums[at] += raw[at] - held * mean_j
        for i in range(j, PARAMETERS if ALL_PAIRS else j + 1):
            second, mean_i = np.uint64(i) * lanes, shift[i]
            for k in range(columns):
                a, b = raw[first + np.uint64(k)], raw[second + np.uint64(k)]
                product = raw[row + np.uint64(k)] - mean_i * a - mean_j * (b - held * mean_i)
                sums[row + np.uint64(k)] += product
            row += lanes
    fill(raw, 0.0)


@njit(
    "void(f8[::1], u8[::1], u8[::1], i8[::1], i8, i8, f8[::1], f8[::1],"
    " f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8, f8)",
    nogil=True,
    error_model="numpy",
    cache=True,
)
def accumulate(theta, words, order, status, first, last, sums, shift, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` to `last`, and add moments of theta before each step to `sums`.

    Row j < PARAMETERS of `sums` holds the sum of theta_j - shift_j, the rows that follow those of (theta_j - shift_j)
    (theta_i - shift_i), i >= j, or of the squares alone where there are more than MOST_PAIRED parameters. Replicas k,
    k + COLUMNS, k + 2 COLUMNS and so on share entry k of a row. State and cuts as in `advance`.
    """
    scratch, raw = make_scratch(x, y), rows(np.int64(STATISTICS))
    run(
        theta, words, order, status, scratch, raw, sums, shift, first, last, x, y, sigma, lr / batch, batch, sampling,
        law, bound,
    )
    check(theta, status, bound, last)
'''
