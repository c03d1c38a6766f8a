"""The text of one step of one replica, for the three kinds of models over indexed parameters.

Where moments are summed up, steps of the linear kind come in pairs, so that sums are loaded and stored half as often.
"""

from __future__ import annotations

__all__ = ["LINEAR", "LINEAR_STEP", "MATRIX_STEP", "MOMENTS", "POINTWISE", "POINTWISE_STEP", "VECTOR_STEP"]

# f = sum_s sum_k value_s(parameters[k]) feature_s(x[k]): two products of the features, with values and with residuals.
LINEAR = '''\
@called
def fill_table(x, data):
    """The features of each sample, one row of entries for each."""
    for i in range(x.shape[0]):
        for k in range(SIZE):
            at = np.uint64(i * WIDTH + k)
            <FEATURES> = features(x[i, k])


@called
def prepare(state):
    """Values of all replicas' parameters."""
    for r in range(state.size // STATE):
        set_values(state, np.uint64(r * STATE))


@inlined
def fill_up(residual, first, count):
    """No residuals of draws that only fill up."""
    if count & 3:
        for q in range(count, 8):
            residual[np.uint64(first + q)] = 0.0


@inlined
def begin_samples(state, at, places, target, number, residual, first, data, count):
    """Residuals of one replica, up to eight from `first` on, of the draws from `number` on."""
    wide()
    if count > 4:
        dots(state, at, data, places, number, target, residual, first, 8)
    else:
        dots(state, at, data, places, number, target, residual, first, 4)
    fill_up(residual, first, count)


@inlined
def end_samples(scratch, begin, places, number, residual, first, data, count, more):
    """The features of these samples, combined by their residuals."""
    wide()
    if count > 4 and more:
        combine(scratch, begin, data, places, number, residual, first, 8, 1)
    elif count > 4:
        combine(scratch, begin, data, places, number, residual, first, 8, 0)
    elif more:
        combine(scratch, begin, data, places, number, residual, first, 4, 1)
    else:
        combine(scratch, begin, data, places, number, residual, first, 4, 0)
'''

# One step of a few replicas. The samples of a small batch are begun where the step before ends, if it is at hand.
LINEAR_STEP = """\
few = batch <= 4
for b in range(0, batch, 8):
    samples = min(8, batch - b)
    # Residuals of one replica are on their way while those of the next are begun.
    if not few or t + u == 0:
        for r in range(first, last):
            at, number = np.uint64(r) * np.uint64(STATE), r * stride + (t + u) * batch + b
            begin_samples(state, at, places, target, number, residual, (r - first) * 8, data, samples)
    if not few or t + u == steps - 1:
        for r in range(first, last):
            begin, number = (r - first) * SCRATCH, r * stride + (t + u) * batch + b
            end_samples(scratch, begin, places, number, residual, (r - first) * 8, data, samples, b > 0)
for r in range(first, last):
    at, begin = np.uint64(r) * np.uint64(STATE), np.uint64((r - first) * SCRATCH)
    if few and t + u < steps - 1:
        number, to = r * stride + (t + u) * batch, (r - first) * 8
<TURN>
        fill_up(residual, to, batch)
    else:
<END>
"""

MOMENTS = '''\
@inlined
def end_pair(state, at, shift):
    """Add up theta of a first step that has no second, and put what is after it in its place."""
    wide()
    for e in range(SPACE):
        i = at + np.uint64(e)
        away = state[i] - shift[e]
        state[i + np.uint64(SUMS)] += away
        state[i + np.uint64(SUMS + SPACE)] += away * away
        state[i] = state[i + np.uint64(SPACE)]
'''

# f = sum_k phi(parameters[k], x[k]): one sample after the other, with the slopes of phi in `scratch`.
POINTWISE = '''\
reordered = njit(
    nogil=True,
    error_model="numpy",
    fastmath={"contract", "reassoc", "nsz"},
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


@reordered
def plus(a, b):
    """One addition of a long sum, whose order is free. No other operation may be reordered."""
    return a + b


@called
def fill_table(x, data):
    """The inputs of each sample, one row of entries for each."""
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            data[np.uint64(i * WIDTH + k)] = x[i, k]


@inlined
def prepare(state):
    """Nothing is computed from the parameters alone."""


@inlined
def terms(state, at, scratch, slopes_at, argument, row):
    """f of one sample, and the slopes of its terms; what phi depends on besides parameters is a row of `argument`."""
    wide()
    f = 0.0
    for k in range(SIZE):
        i, s = at + np.uint64(k), slopes_at + np.uint64(k)
        phi, <SLOPES> = point(<PARAMETERS>, argument[row + np.uint64(k)])
        f = plus(f, phi)
        <SLOPES_K> = <SLOPES>
    return f


@inlined
def move(state, at, offset, total, first, count, rate<SHIFT>):
    """Update entries from `offset` on by their total gradient."""
    wide()
    for e in range(count):
        i = at + offset + np.uint64(e)
<ADD_SUMS>
        state[i] = update(state[i], total[first + np.uint64(e)], rate)


@inlined
def end_step(state, at, scratch, places, target, number, residual, data, batch, rate<SHIFT>):
    """One step of one replica, with the draws from `number` on."""
    wide()
    clear(scratch, 0, SLOPE_VECTORS)
<STEP>
'''

POINTWISE_STEP = """\
for r in range(first, last):
    at, number = np.uint64(r) * np.uint64(STATE), r * stride + (t + u) * batch
    end_step(state, at, scratch, places, target, number, residual, data, batch, rate<SHIFT>)"""

# Several samples before the first of them needs its residual, so that none waits for the sum of its terms.
VECTOR_STEP = """\
    for b in range(0, batch, TOGETHER):
        count = min(TOGETHER, batch - b)
        for q in range(count):
            i = np.uint64(number + b + q)
            f = terms(state, at, scratch, np.uint64(SLOPES + q * SPACE), data, places[i])
            residual[np.uint64(q)] = f - target[i]
        for q in range(count):
            weighted(scratch, 0, residual[np.uint64(q)], scratch, SLOPES + q * SPACE, SLOPE_VECTORS, 1)
    move(state, at, np.uint64(0), scratch, np.uint64(0), SPACE, rate<SHIFT>)"""

# z = W x, and dL/dW = sum_b (dL/dz)_b x_b, in tiles of TILE rows and up to 32 columns.
MATRIX_STEP = """\
    matrix = at + np.uint64(VECTOR_SPACE)
    for b in range(0, batch, TILE):
        z = np.uint64(Z) + np.uint64(b) * np.uint64(ROW)
<FORWARD>
    for b in range(0, batch, TOGETHER):
        count = min(TOGETHER, batch - b)
        for q in range(count):
            i, z = np.uint64(number + b + q), np.uint64(Z) + np.uint64(b + q) * np.uint64(ROW)
            f = terms(state, at, scratch, np.uint64(SLOPES + q * VECTOR_SPACE), scratch, z)
            residual[np.uint64(q)] = f - target[i]
        for q in range(count):
            z, r = np.uint64(Z) + np.uint64(b + q) * np.uint64(ROW), residual[np.uint64(q)]
            weighted(scratch, 0, r, scratch, SLOPES + q * VECTOR_SPACE, SLOPE_VECTORS, 1)
            weighted(scratch, z, r, scratch, z, ROW_VECTORS, 0)
    move(state, at, np.uint64(0), scratch, np.uint64(0), VECTOR_SPACE, rate<SHIFT>)
    for j in range(0, WIDTH, TILE):
<BACKWARD>
        offset = np.uint64(VECTOR_SPACE) + np.uint64(j) * np.uint64(ROW)
        move(state, at, offset, scratch, np.uint64(CHANGE), TILE * ROW, rate<SHIFT>)"""
