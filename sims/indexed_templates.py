"""The text of a generated module for a model over indexed parameters: replicas one at a time, vectors over the index.

Upper-case words in angle brackets are filled in by `indexed_codegen`; a line that holds nothing else and is filled with
nothing disappears. The numbers of a replica stand together ("state"): rows of `ROW` entries, one for each vector of
parameters and, of a matrix W[k, j], one for each j. They fill `SPACE` entries; in the state there are `SLOTS` of
these, for theta after so many steps, what is computed from theta alone (`VALUES`), and sums of theta and of its squares
(`SUMS`). What fills a row up has no slope and so never changes.
"""

from __future__ import annotations

__all__ = ["ACCUMULATE", "COMMON", "DRIVERS", "RUN"]

COMMON = '''\
@allocating
def numbers(count):
    """So many zeros that begin at a cache line: a vector that crosses one is loaded twice."""
    array = np.empty(count + 8)
    first = np.uint64((64 - array.ctypes.data % 64) // 8 % 8)
    aligned = array[first : first + np.uint64(count)]
    fill(aligned, 0.0)
    return aligned


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


@called
def check_one(state, at, status, r, bound, step):
    """As `check`, for one replica."""
    hot()
    outside = False
    for e in range(SPACE):
        outside |= not abs(state[at + np.uint64(e)]) < bound
    if outside and status[r] < 0:
        status[r] = step
'''

RUN = '''\
@inlined
def draw_stride(batch):
    """From the draws of one replica to those of the next: an odd number of cache lines, so that they do not collide."""
    return ((max(DRAWS, batch) // 8 + 2) | 1) * 8


@called
def put(index, noise, y, places, target, number, stride, replicas):
    """Put one draw of all replicas, where the sample stands and its noisy target, where those of each are together."""
    hot()
    for r in range(replicas):
        i = np.uint64(r) * stride + number
        sample = index[np.uint64(r)]
        places[i] = sample * np.uint64(WIDTH)
        target[i] = y[sample] + noise[np.uint64(r)]


@called
def draws(words, order, index, noise, y, places, target, stride, replicas, step, steps, sigma, batch, sampling, law):
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
            put(index, noise, y, places, target, np.uint64(t * batch + b), np.uint64(stride), np.uint64(replicas))


@called
def run(
    state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, step, stop, rate,
    batch, sampling, law, bound<SHIFT>
):
    """Take steps from number `step` to `stop`."""
    hot()
    replicas = state.size // STATE
    period = CHECKED * max(1, 64 // y.size)
    held = max(1, DRAWS // batch)
    held = held & ~(GROUP - 1) if held >= GROUP else 1
    stride = draw_stride(batch)
    while step < stop:
        steps = min(held, stop - step)
        draws(words, order, index, noise, y, places, target, stride, replicas, step, steps, sigma, batch, sampling, law)
        for first in range(0, replicas, TURNS):
            last = min(first + TURNS, replicas)
            t = 0
            while t < steps:
                count = min(GROUP - (step + t) % GROUP, steps - t)
                for u in range(count):
                    for r in range(first, last):
                        at = np.uint64(r) * np.uint64(STATE)
                        draw_number = r * stride + (t + u) * batch
                        take_step(
                            state, at<SLOT>, scratch, places, target, draw_number, residual, data, batch, rate<SHIFT>
                        )
                t += count
                for r in range(first, last):
                    at = np.uint64(r) * np.uint64(STATE)
<ADD_MOMENTS>
                    if (step + t) % period == 0:
                        check_one(state, at, status, np.uint64(r), bound, step + t)
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
    and status hold the whole state: a run may be cut wherever the step count is a multiple of CHECKED * max(1, 64 // n),
    or is in its schedule. There, and only there, each replica is checked: status is the step at which some abs(theta_j)
    < bound was first seen to fail, -1 if never.
    """
    state, data = numbers(theta.size // D * STATE), table(x)
    scratch, residual = numbers(SCRATCH + (batch + 8) * SCRATCH_EACH), numbers(batch + 8)
    index, noise, drawn = np.zeros(LANES, dtype=np.uint64), numbers(LANES), draw_stride(batch) * LANES
    places, target = np.zeros(drawn, dtype=np.uint64), numbers(drawn)
    load(theta, state, np.uint64(STATE))
    prepare(state)
    step = first
    for m in range(schedule.size):
        run(
            state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, step,
            schedule[m], lr / batch, batch, sampling, law, bound,
        )
        step = max(step, schedule[m])
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
    state, data, before = numbers(replicas * STATE), table(x), numbers(theta.size)
    scratch, residual, sigma = numbers(SCRATCH + (n + 8) * SCRATCH_EACH), numbers(n + 8), numbers(n)
    index, noise, drawn = np.zeros(LANES, dtype=np.uint64), numbers(LANES), draw_stride(n) * LANES
    places, target = np.zeros(drawn, dtype=np.uint64), numbers(drawn)
    words, status = np.zeros(5 * LANES, dtype=np.uint64), np.zeros(LANES, dtype=np.int64)
    load(theta, state, np.uint64(STATE))
    prepare(state)
    steps, moving = 0, True
    while moving and steps < max_steps:
        for stop in (steps + 15, steps + 16):
            copy(theta, before)
            run(
                state, words, words, status, index, noise, places, target, scratch, residual, data, y, sigma, steps,
                stop, lr / n, n, FULL, RADEMACHER, bound,
            )
            unload(theta, state, np.uint64(STATE), np.uint64(0))
            steps = stop
        fill(settled, True)
        moving = False
        for j in range(D):
            for r in range(replicas):
                now = theta[np.uint64(j * replicas + r)]
                still = abs(now - before[np.uint64(j * replicas + r)]) < tolerance
                settled[r] = settled[r] and still
                moving = moving or (abs(now) < bound and not still)
    return steps
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
    state, data = numbers(theta.size // D * STATE), table(x)
    scratch, residual, center = numbers(SCRATCH + (batch + 8) * SCRATCH_EACH), numbers(batch + 8), numbers(SPACE)
    index, noise, drawn = np.zeros(LANES, dtype=np.uint64), numbers(LANES), draw_stride(batch) * LANES
    places, target = np.zeros(drawn, dtype=np.uint64), numbers(drawn)
    load(theta, state, np.uint64(STATE))
    load(shift, center, np.uint64(SPACE))
    prepare(state)
    run(
        state, words, order, status, index, noise, places, target, scratch, residual, data, y, sigma, first, last,
        lr / batch, batch, sampling, law, bound, center,
    )
    unload(theta, state, np.uint64(STATE), np.uint64(0))
    unload(sums[: theta.size], state, np.uint64(STATE), np.uint64(SUMS))
    unload(sums[theta.size :], state, np.uint64(STATE), np.uint64(SUMS + SPACE))
    check(theta, status, bound, last)
'''
