"""The text of a generated module around the model's formulas: loops over replicas, steps and samples.

Upper-case words in angle brackets are filled in by `codegen`. State is in structures of arrays, flattened to one
row of `LANES` replicas after the other, so that a row starts at a constant offset and the compiler sees that rows
do not overlap.
"""

from __future__ import annotations

__all__ = ["DRIVERS", "HEADER", "INDEXED", "ROWS", "UNROLLED"]

HEADER = '''\
"""Label noise SGD, generated for one model.

parameters  <PARAMETERS>
prediction  <PREDICTION>
layout      <LAYOUT>

Arrays over replicas are flat, row after row of LANES replicas: theta has one row per parameter, words five
(state of xoshiro256++ and the last word), order one per sample (the permutation drawn from without replacement).
"""

import math

import numpy as np
from numba import njit

inlined = njit(
    nogil=True,
    error_model="numpy",
    fastmath={"contract"},
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
called = njit(
    nogil=True, error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True
)

'''

# One sample's formulas, evaluated for the sample that each replica drew.
INDEXED = '''\
@called
def gather(drawn, index, x, y):
    """Copy the inputs and the target of the sample that each replica drew into rows."""
    for k in range(LANES):
        i = index[k]
<GATHER>


@called
def add_drawn(theta, total, drawn, noise):
    """Add (f_i - y_i - noise) grad f_i of the sample that each replica drew to its total."""
    for k in range(LANES):
        residual, <GRADIENT> = sample(<THETA_K>, <DRAWN_K>)
        residual -= noise[k]
<ADD_TOTALS>


@called
def add_sample(theta, total, noise, i, x, y):
    """Add (f_i - y_i - noise) grad f_i of the same sample i to every replica's total."""
    i = np.uint64(i)
    for k in range(LANES):
        residual, <GRADIENT> = sample(<THETA_K>, <DATA_I>)
        residual -= noise[k]
<ADD_TOTALS>


@called
def apply(theta, total, rate):
    """Update every replica by its total, and clear the total."""
    for k in range(LANES):
        <THETA_K> = update(
            <THETA_K>,
            <TOTAL_K>,
            rate,
        )
    fill(total, 0.0)


@called
def make_scratch(n):
    """Total gradient, label noise, index, and the data of the drawn sample."""
    total, noise = np.empty(D * LANES), np.empty(LANES)
    fill(total, 0.0)
    fill(noise, 0.0)
    return total, noise, np.empty(LANES, dtype=np.uint64), np.empty((INPUTS + 1) * LANES)


@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise."""
    total, zeros, _, _ = scratch
    for i in range(y.size):
        add_sample(theta, total, zeros, i, x, y)
    apply(theta, total, rate)


@called
def run(theta, words, order, status, scratch, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`."""
    total, noise, index, drawn = scratch
    n = y.size
    period = max(1, 64 // n)
    while step < stop:
        if sampling == FULL:
            for i in range(n):
                full_noise(words, noise, np.uint64(0), sigma[i], law, step % period * n + i)
                add_sample(theta, total, noise, i, x, y)
        else:
            for b in range(batch):
                draw(words, order, index, noise, sigma, b, sampling, law)
                gather(drawn, index, x, y)
                add_drawn(theta, total, drawn, noise)
        apply(theta, total, rate)
        step += 1
        if step % period == 0:
            check(theta, status, bound, step)
'''

# All samples' formulas in one expression; a batch is a count and a sum of label noise for each sample.
UNROLLED = '''\
@called
def step_rows(theta, count, noise, y, rate):
    """One step, with row i of `count` and `noise`: how often sample i was drawn, and the sum of its label noise."""
    target = (<Y>)
    for k in range(LANES):
        <TOTAL> = total_gradient(
            <THETA_K>,
            (<COUNT_K>),
            (<NOISE_K>),
            target,
        )
        <THETA_K> = update(
            <THETA_K>,
            <TOTAL>,
            rate,
        )


@called
def step_signs(theta, words, bit, y, sigma, rate):
    """STRIDE full-batch steps with the signs in the last word from `bit` on."""
    target, size = (<Y>), (<SIGMA>)
    for k in range(LANES):
        word = words[4 * LANES + k] >> np.uint64(bit)
        <THETA> = <THETA_K>
        for s in range(STRIDE):
            <TOTAL> = total_gradient(
                <THETA>,
                (<ONES>),
                (<FLIPS>),
                target,
            )
            <THETA> = update(<THETA>, <TOTAL>, rate)
        <THETA_K> = <THETA>


@called
def scatter(count, noise, index, eps):
    """Add one draw of each replica to the rows of the sample that it drew."""
    for k in range(LANES):
        row = index[k] * np.uint64(LANES) + np.uint64(k)
        count[row] += 1.0
        noise[row] += eps[k]


@called
def make_scratch(n):
    """Count and label noise, one row per sample, and index and noise of one draw."""
    count, noise = np.empty(N * LANES), np.empty(N * LANES)
    fill(count, 1.0)
    fill(noise, 0.0)
    return count, noise, np.empty(LANES, dtype=np.uint64), np.empty(LANES)


@called
def noiseless_step(theta, scratch, x, y, rate):
    """One full-batch step without label noise."""
    ones, zeros, _, _ = scratch
    step_rows(theta, ones, zeros, y, rate)


@called
def run(theta, words, order, status, scratch, step, stop, x, y, sigma, rate, batch, sampling, law, bound):
    """Take steps from number `step` to `stop`, several at once where one word holds their signs."""
    count, noise, index, eps = scratch
    in_words = sampling == FULL and law == RADEMACHER and N <= 64
    while step < stop:
        phase = step % PERIOD
        if in_words and phase + STRIDE <= PERIOD and step + STRIDE <= stop:
            if phase == 0:
                next_words(words)
            step_signs(theta, words, phase * N, y, sigma, rate)
            step += STRIDE
        else:
            if sampling == FULL:
                for i in range(N):
                    full_noise(words, noise, np.uint64(i * LANES), sigma[i], law, phase * N + i)
            else:
                fill(count, 0.0)
                fill(noise, 0.0)
                for b in range(batch):
                    draw(words, order, index, eps, sigma, b, sampling, law)
                    scatter(count, noise, index, eps)
            step_rows(theta, count, noise, y, rate)
            step += 1
        if step % PERIOD == 0:
            check(theta, status, bound, step)
'''

# Loops, because Numba takes a second to compile an assignment to a slice, and np.ones nearly as long.
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
'''

DRIVERS = '''\
@called
def check(theta, status, bound, step):
    """Note the step in the status of each replica that is seen out of bounds for the first time."""
    for j in range(D):
        for k in range(LANES):
            inside = abs(theta[j * LANES + k]) < bound  # false for nan
            status[k] = status[k] if inside or status[k] >= 0 else step


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
    scratch = make_scratch(y.size)
    step = first
    for m in range(schedule.size):
        run(
            theta, words, order, status, scratch, step, schedule[m], x, y, sigma, rate, batch, sampling, law, bound
        )
        step = max(step, schedule[m])
        check(theta, status, bound, step)
        copy(theta, out[m])


@njit(
    "i8(f8[::1], b1[::1], f8[:, ::1], f8[::1], f8, f8, f8, i8)", nogil=True, error_model="numpy", cache=True
)
def descend(theta, settled, x, y, lr, tolerance, bound, max_steps):
    """Full-batch steps without label noise, until no replica moves by `tolerance` in a step or `max_steps` are taken.

    Every 16th step is looked at, so that the steps taken are a multiple of 16. A replica out of bounds is not waited
    for. Returns the number of steps; `settled` says which replicas came to rest.
    """
    rate = lr / y.size
    scratch = make_scratch(y.size)
    before = np.empty_like(theta)
    moving = np.empty(LANES, dtype=np.bool_)
    steps = 0
    while steps < max_steps:
        for _ in range(15):
            noiseless_step(theta, scratch, x, y, rate)
        copy(theta, before)
        noiseless_step(theta, scratch, x, y, rate)
        steps += 16
        fill(settled, True)
        fill(moving, False)
        for j in range(D):
            for k in range(LANES):
                now = theta[j * LANES + k]
                still = abs(now - before[j * LANES + k]) < tolerance
                settled[k] = settled[k] and still
                moving[k] = moving[k] or (abs(now) < bound and not still)
        if not moving.any():
            break
    return steps
'''
