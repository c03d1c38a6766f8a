"""The text of one step of one replica, for the three kinds of models over indexed parameters.

With <THEN> a step keeps the theta that it begins with, and moments are summed over several of them at once.
"""

from __future__ import annotations

__all__ = ["LINEAR", "MATRIX_STEP", "MOMENTS", "POINTWISE", "VECTOR_STEP"]

# f = sum_s sum_k value_s(parameters[k]) feature_s(x[k]): two products of the features, with values and with residuals.
LINEAR = '''\
@allocating
def table(x):
    """The features of each sample, one row of entries for each."""
    n = x.shape[0]
    data = numbers(n * WIDTH)
    for i in range(n):
        for k in range(SIZE):
            at = np.uint64(i * WIDTH + k)
            <FEATURES> = features(x[i, k])
    return data


@called
def prepare(state):
    """Values of all replicas' parameters."""
    for r in range(state.size // STATE):
        at = np.uint64(r * STATE)
        for k in range(ROW):
            i = at + np.uint64(k)
            <VALUES> = values(<PARAMETERS>)


@inlined
def take_step(state, at<SLOT>, scratch, places, target, number, residual, data, batch, rate<SHIFT>):
    """One step of one replica, with the draws from `number` on."""
    wide()
    values_at, full = at + np.uint64(VALUES), batch & ~7
    for b in range(0, full, 8):
        dots(state, values_at, data, places, number + b, target, residual, b, VECTORS, 8)
    for b in range(full, batch, 4):
        dots(state, values_at, data, places, number + b, target, residual, b, VECTORS, 4)
    for q in range(3):
        residual[np.uint64(batch + q)] = 0.0  # of rows that fill a four up
    if full:
        combine(scratch, data, places, number, residual, 0, VECTORS, 8, 0)
        for b in range(8, full, 8):
            combine(scratch, data, places, number + b, residual, b, VECTORS, 8, 1)
        for b in range(full, batch, 4):
            combine(scratch, data, places, number + b, residual, b, VECTORS, 4, 1)
    else:
        combine(scratch, data, places, number, residual, 0, VECTORS, 4, 0)
        if batch > 4:
            combine(scratch, data, places, number + 4, residual, 4, VECTORS, 4, 1)
    for k in range(ROW):
        i = at + np.uint64(k)
        p = <NOW> + np.uint64(k)
        <TOTAL> = slopes(<BEFORE>, <COMBINED>)
        <AFTER> = <UPDATED>
        <STORED> = <AFTER>
        <VALUES> = values(<AFTER>)
'''

MOMENTS = '''\
@inlined
def add_moments(state, at, count, shift):
    """Add up theta before each of `count` steps, and put theta after them first."""
    wide()
    last = at + np.uint64(count * SPACE)
    for e in range(SPACE):
        i = at + np.uint64(e)
        if count == GROUP:
            a, b = state[i] - shift[e], state[i + np.uint64(SPACE)] - shift[e]
            c, d = state[i + np.uint64(2 * SPACE)] - shift[e], state[i + np.uint64(3 * SPACE)] - shift[e]
            state[i + np.uint64(SUMS)] += (a + b) + (c + d)
            state[i + np.uint64(SUMS + SPACE)] += (a * a + b * b) + (c * c + d * d)
        else:
            for u in range(count):
                away = state[i + np.uint64(u * SPACE)] - shift[e]
                state[i + np.uint64(SUMS)] += away
                state[i + np.uint64(SUMS + SPACE)] += away * away
        state[i] = state[last + np.uint64(e)]
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


@allocating
def table(x):
    """The inputs of each sample, one row of entries for each."""
    n = x.shape[0]
    data = numbers(n * WIDTH)
    for i in range(n):
        for k in range(x.shape[1]):
            data[np.uint64(i * WIDTH + k)] = x[i, k]
    return data


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
def take_step(state, at<SLOT>, scratch, places, target, number, residual, data, batch, rate<SHIFT>):
    """One step of one replica, with the draws from `number` on."""
    wide()
    clear(scratch, 0, SLOPE_VECTORS)
<STEP>
'''

# Several samples before the first of them needs its residual, so that none waits for the sum of its terms.
VECTOR_STEP = '''\
    for b in range(0, batch, TOGETHER):
        count = min(TOGETHER, batch - b)
        for q in range(count):
            i = np.uint64(number + b + q)
            f = terms(state, at, scratch, np.uint64(SLOPES + q * SPACE), data, places[i])
            residual[np.uint64(q)] = f - target[i]
        for q in range(count):
            weighted(scratch, 0, residual[np.uint64(q)], scratch, SLOPES + q * SPACE, SLOPE_VECTORS, 1)
    move(state, at, np.uint64(0), scratch, np.uint64(0), SPACE, rate<SHIFT>)'''

# z = W x, and dL/dW = sum_b (dL/dz)_b x_b, in tiles of TILE rows and up to 32 columns.
MATRIX_STEP = '''\
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
        move(state, at, offset, scratch, np.uint64(CHANGE), TILE * ROW, rate<SHIFT>)'''
