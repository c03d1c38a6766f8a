"""The text of a generated module for a model over indexed parameters: replicas one at a time, vectors over the index.

Upper-case words in angle brackets are filled in by `indexed_codegen`; a line that holds nothing else and is filled with
nothing disappears. Numbers of a replica stand together ("state"): rows of `ROW` entries, one for each vector of
parameters and, of a matrix W[k, j], one for each j; then, with sums, as many rows of sums and of sums of squares; then
what is computed from the parameters alone. What fills a row up repeats its last entry and has no slope.
"""

from __future__ import annotations

__all__ = ["ACCUMULATE", "COMMON", "DRIVERS", "LINEAR", "MATRIX_STEP", "NOISELESS", "POINTWISE", "RUN", "VECTOR_STEP"]

COMMON = '''\
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
def numbers(count):
    """So many zeros that begin at a cache line: a vector that crosses one is loaded twice."""
    array = np.empty(count + 8)
    first = np.uint64((64 - array.ctypes.data % 64) // 8 % 8)
    aligned = array[first : first + np.uint64(count)]
    fill(aligned, 0.0)
    return aligned


@inlined
def draw_stride(batch):
    """From the draws of one replica to those of the next: an odd number of cache lines, so that they do not collide."""
    return ((max(DRAWS, batch) // 8 + 1) | 1) * 8


@called
def load(theta, state, stride):
    """From rows of replicas to the state of each; `stride` is from one to the next."""
    replicas = np.uint64(theta.size // D)
    for r in range(replicas):
        for row in range(ROWS):
            at = r * stride + np.uint64(row * ROW)
            first, step = np.uint64(FIRST[row]), np.uint64(STEP[row])
            for k in range(ROW):
                entry = (first + np.uint64(min(k, SIZE - 1)) * step) * replicas + r
                filled = first < np.uint64(D) and (k < SIZE or REPEATED)
                state[at + np.uint64(k)] = theta[entry] if filled else 0.0


@called
def unload(theta, state, stride, offset):
    """From what is `offset` after the state of each, added to rows of replicas; theta itself is replaced."""
    replicas = np.uint64(theta.size // D)
    for r in range(replicas):
        for row in range(ROWS):
            at = r * stride + np.uint64(row * ROW) + offset
            first, step = np.uint64(FIRST[row]), np.uint64(STEP[row])
            if first < np.uint64(D):
                for k in range(SIZE):
                    entry, value = (first + np.uint64(k) * step) * replicas + r, state[at + np.uint64(k)]
                    theta[entry] = theta[entry] + value if offset else value


@called
def check(theta, status, bound, step):
    """Note the step in the status of each replica that is seen out of bounds for the first time."""
    replicas = theta.size // D
    for j in range(D):
        for r in range(replicas):
            inside = abs(theta[np.uint64(j * replicas + r)]) < bound  # false for nan
            status[r] = status[r] if inside or status[r] >= 0 else step


@inlined
def move(state, at, offset, total, first, count, rate, bound<SHIFT>):
    """Update entries from `offset` on by their total gradient; whether one is out of bounds."""
    wide()
    outside = False
    for e in range(count):
        i = at + offset + np.uint64(e)
        before = state[i]
<ADD_SUMS>
        after = update(before, total[first + np.uint64(e)], rate)
        state[i] = after
        outside |= not abs(after) < bound
    return outside
'''

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


@inlined
def prepare(state, at):
    """Values of the parameters of one replica, for all samples."""
    for k in range(ROW):
        i = at + np.uint64(k)
        <VALUES> = values(<THETA>)


@inlined
def take_step(state, at, scratch, places, target, draw, residual, data, batch, rate, bound<SHIFT>):
    """One step of one replica; whether it is out of bounds."""
    wide()
    values_at, full = at + np.uint64(VALUES), batch & ~7
    for b in range(0, full, 8):
        dots(state, values_at, data, places, draw + b, target, residual, b, VECTORS, 8)
    for b in range(full, batch, 4):
        dots(state, values_at, data, places, draw + b, target, residual, b, VECTORS, 4)
    for q in range(3):
        residual[np.uint64(batch + q)] = 0.0  # of rows that fill a four up
    if full:
        combine(scratch, data, places, draw, residual, 0, VECTORS, 8, 0)
        for b in range(8, full, 8):
            combine(scratch, data, places, draw + b, residual, b, VECTORS, 8, 1)
        for b in range(full, batch, 4):
            combine(scratch, data, places, draw + b, residual, b, VECTORS, 4, 1)
    else:
        combine(scratch, data, places, draw, residual, 0, VECTORS, 4, 0)
        if batch > 4:
            combine(scratch, data, places, draw + 4, residual, 4, VECTORS, 4, 1)
    outside = False
    for k in range(ROW):
        i = at + np.uint64(k)
        <TOTAL> = slopes(<THETA>, <COMBINED>)
<MOVE>
        <VALUES> = values(<THETA>)
    return outside
'''

# f = sum_k phi(parameters[k], x[k]): one sample after the other, with the slopes of phi in `scratch`.
POINTWISE = '''\
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
def prepare(state, at):
    """Nothing is computed from the parameters alone."""


@inlined
def add_sample(state, at, scratch, argument, row, target):
    """Add (f - target) grad f of one sample to the gradient; what phi depends on is in a row of `argument`."""
    wide()
    f = 0.0
    for k in range(SIZE):
        i, s = at + np.uint64(k), np.uint64(SLOPES + k)
        phi, <SLOPES> = point(<THETA>, argument[row + np.uint64(k)])
        f = plus(f, phi)
        <SLOPES_K> = <SLOPES>
    residual = f - target
    for e in range(VECTOR_SPACE):
        scratch[np.uint64(e)] += residual * scratch[np.uint64(SLOPES + e)]
    return residual
<STEP>
'''

VECTOR_STEP = '''

@inlined
def take_step(state, at, scratch, places, target, draw, residual, data, batch, rate, bound<SHIFT>):
    """One step of one replica; whether it is out of bounds."""
    wide()
    for e in range(VECTOR_SPACE):
        scratch[np.uint64(e)] = 0.0
    for b in range(batch):
        add_sample(state, at, scratch, data, places[np.uint64(draw + b)], target[np.uint64(draw + b)])
    return move(state, at, np.uint64(0), scratch, np.uint64(0), SPACE, rate, bound<SHIFT>)
'''

# z = W x and dL/dW = sum_b (dL/dz)_b x_b in tiles of TILE rows and up to 32 columns.
MATRIX_STEP = '''

@inlined
def take_step(state, at, scratch, places, target, draw, residual, data, batch, rate, bound<SHIFT>):
    """One step of one replica; whether it is out of bounds."""
    wide()
    for e in range(VECTOR_SPACE):
        scratch[np.uint64(e)] = 0.0
    matrix = at + np.uint64(VECTOR_SPACE)
    for b in range(0, batch, TILE):
        z = np.uint64(Z) + np.uint64(b) * np.uint64(ROW)
<FORWARD>
    for b in range(batch):
        z = np.uint64(Z) + np.uint64(b) * np.uint64(ROW)
        r = add_sample(state, at, scratch, scratch, z, target[np.uint64(draw + b)])
        for k in range(ROW):
            scratch[z + np.uint64(k)] *= r
    outside = move(state, at, np.uint64(0), scratch, np.uint64(0), VECTOR_SPACE, rate, bound<SHIFT>)
    for j in range(0, WIDTH, TILE):
<BACKWARD>
        offset = np.uint64(VECTOR_SPACE) + np.uint64(j) * np.uint64(ROW)
        outside |= move(state, at, offset, scratch, np.uint64(CHANGE), TILE * ROW, rate, bound<SHIFT>)
    return outside
'''

RUN = '''\
@called
def put(index, noise, y, places, target, number, stride):
    """Put one draw of all replicas, where the sample stands and its noisy target, where those of each are together."""
    hot()
    for k in range(LANES):
        i = np.uint64(k) * stride + number
        places[i] = index[k] * np.uint64(WIDTH)
        target[i] = y[index[k]] + noise[k]


@called
def draws(words, order, index, noise, y, places, target, stride, step, steps, sigma, batch, sampling, law):
    """All draws of so many steps."""
    n = sigma.size
    period = max(1, 64 // n)
    for t in range(steps):
        for b in range(batch):
            if sampling == FULL:
                full_noise(words, noise, np.uint64(0), sigma[np.uint64(b)], law, (step + t) % period * n + b)
                fill(index, np.uint64(b))
            else:
                draw(words, order, index, noise, sigma, b, sampling, law)
            put(index, noise, y, places, target, np.uint64(t * batch + b), np.uint64(stride))


@called
def run(
    state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, step, stop, rate,
    batch, sampling, law, bound<SHIFT>
):
    """Take steps from number `step` to `stop`."""
    hot()
    replicas = state.size // STATE
    period = max(1, 64 // y.size)
    held = max(1, DRAWS // batch)
    stride = draw_stride(batch)
    while step < stop:
        steps = min(held, stop - step)
        draws(words, order, index, noise, y, places, target, stride, step, steps, sigma, batch, sampling, law)
        for first in range(0, replicas, TURNS):
            for t in range(steps):
                for r in range(first, min(first + TURNS, replicas)):
                    outside = take_step(
                        state,
                        np.uint64(r) * np.uint64(STATE),
                        scratch,
                        places,
                        target,
                        r * stride + t * batch,
                        residual,
                        data,
                        batch,
                        rate,
                        bound<SHIFT>,
                    )
                    if outside and (step + t + 1) % period == 0 and status[np.uint64(r)] < 0:
                        status[np.uint64(r)] = step + t + 1
        step += steps
'''

DRIVERS = '''\
@njit(
    "void(f8[::1], u8[::1], u8[::1], i8[::1], i8, i8[::1], f8[:, ::1],"
    " f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8, f8)",
    nogil=True,
    error_model="numpy",
    cache=True,
)
def advance(theta, words, order, status, first, schedule, out, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` through the increasing step counts of `schedule`.

    theta after schedule[m] steps goes to out[m]; it has theta.size // D replicas, at most LANES. theta, words, order
    and status hold the whole state: a run may be cut wherever the step count is a multiple of max(1, 64 // n), or is in
    its schedule. There, and only there, each replica is checked: status is the step at which some abs(theta_j) < bound
    was first seen to fail, -1 if never.
    """
    rate = lr / batch
    replicas = theta.size // D
    state, data = numbers(replicas * STATE), table(x)
    scratch, residual = numbers(SCRATCH + (batch + 8) * SCRATCH_EACH), numbers(batch + 8)
    index, noise = np.zeros(LANES, dtype=np.uint64), numbers(LANES)
    drawn = draw_stride(batch) * LANES
    places, target = np.zeros(drawn, dtype=np.uint64), numbers(drawn)
    load(theta, state, np.uint64(STATE))
    for r in range(replicas):
        prepare(state, np.uint64(r * STATE))
    step = first
    for m in range(schedule.size):
        run(
            state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, step,
            schedule[m], rate, batch, sampling, law, bound,
        )
        step = max(step, schedule[m])
        fill(theta, 0.0)
        unload(theta, state, np.uint64(STATE), np.uint64(0))
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
    n, replicas = y.size, theta.size // D
    rate = lr / n
    state, data = numbers(replicas * STATE), table(x)
    places, target, residual = np.zeros(n + 8, dtype=np.uint64), numbers(n + 8), numbers(n + 8)
    scratch, before = numbers(SCRATCH + (n + 8) * SCRATCH_EACH), numbers(SPACE)
    for i in range(n):
        places[i], target[i] = np.uint64(i * WIDTH), y[i]
    load(theta, state, np.uint64(STATE))
    for r in range(replicas):
        prepare(state, np.uint64(r * STATE))
    steps, moving = 0, True
    while moving and steps < max_steps:
        moving = False
        for r in range(replicas):
            settled[r] = noiseless(
                state, np.uint64(r * STATE), scratch, places, target, residual, data, before, n, rate, tolerance
            )
            inside = not out_of_bounds(state, np.uint64(r * STATE), bound)
            moving = moving or (inside and not settled[r])
        steps += 16
    fill(theta, 0.0)
    unload(theta, state, np.uint64(STATE), np.uint64(0))
    return steps
'''

NOISELESS = '''\
@called
def noiseless(state, at, scratch, places, target, residual, data, before, n, rate, tolerance):
    """Sixteen full-batch steps of one replica; whether the last one moved it by less than the tolerance."""
    hot()
    for s in range(16):
        if s == 15:
            for e in range(SPACE):
                before[e] = state[at + np.uint64(e)]
        take_step(state, at, scratch, places, target, 0, residual, data, n, rate, np.inf)
    still = True
    for e in range(SPACE):
        still &= abs(state[at + np.uint64(e)] - before[e]) < tolerance
    return still


@called
def out_of_bounds(state, at, bound):
    """Whether one replica is out of bounds."""
    outside = False
    for e in range(SPACE):
        outside |= not abs(state[at + np.uint64(e)]) < bound
    return outside
'''

ACCUMULATE = '''\
@njit(
    "void(f8[::1], u8[::1], u8[::1], i8[::1], i8, i8, f8[::1], f8[::1],"
    " f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8, f8)",
    nogil=True,
    error_model="numpy",
    cache=True,
)
def accumulate(theta, words, order, status, first, last, sums, shift, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` to `last`, and add moments of theta before each step to `sums`.

    Row j < D of `sums` holds the sum of theta_j - shift_j, row D + j that of its square. State and cuts as in
    `advance`.
    """
    replicas = theta.size // D
    state, data = numbers(replicas * STATE), table(x)
    scratch, residual = numbers(SCRATCH + (batch + 8) * SCRATCH_EACH), numbers(batch + 8)
    index, noise, center = np.zeros(LANES, dtype=np.uint64), numbers(LANES), numbers(SPACE)
    drawn = draw_stride(batch) * LANES
    places, target = np.zeros(drawn, dtype=np.uint64), numbers(drawn)
    load(theta, state, np.uint64(STATE))
    load(shift, center, np.uint64(SPACE))
    for r in range(replicas):
        prepare(state, np.uint64(r * STATE))
    run(
        state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, first, last,
        lr / batch, batch, sampling, law, bound, center,
    )
    fill(theta, 0.0)
    unload(theta, state, np.uint64(STATE), np.uint64(0))
    unload(sums[: theta.size], state, np.uint64(STATE), np.uint64(SPACE))
    unload(sums[theta.size :], state, np.uint64(STATE), np.uint64(2 * SPACE))
    check(theta, status, bound, last)
'''
