"""The text of a generated module for a model over indexed parameters: replicas one at a time, vectors over the index.

Upper-case words in angle brackets are filled in by `indexed_codegen`; a line that holds nothing else and is filled with
nothing disappears. The numbers of a replica stand together ("state"): rows of `ROW` entries, one for each vector of
parameters and, of a matrix W[k, j], one for each j. They fill `SPACE` entries; in the state there are theta (with sums,
also after the first of two steps), what is computed from theta alone (`VALUES`), and sums of theta and of its squares
(`SUMS`). What fills a row up has no slope and so never changes.
"""

from __future__ import annotations

__all__ = ["ACCUMULATE", "CHECK", "COMMON", "DRIVERS", "RUN"]

# NumPy where nothing is to be gained: each function costs Numba a tenth of a second.
COMMON = '''\
def numbers(kind, *counts):
    """Arrays of zeros, each of which begins at a cache line."""
    begins = np.cumsum([0, *(-(-count // 8) * 8 for count in counts)]).tolist()
    array = room(begins[-1], kind)
    return [array[begin : begin + count] for count, begin in zip(counts, begins)]


def draw_stride(batch):
    """From the draws of one replica to those of the next: an odd number of cache lines, so that they do not collide."""
    return ((max(DRAWS, batch) // 8 + 2) | 1) * 8


def entries(theta, state, first):
    """Rows of replicas, and what is the same in `state`, beginning at `first` in that of each replica."""
    theta, rows = theta.reshape(D, -1), state.reshape(-1, STATE)[:, first : first + SPACE]
    rows = rows.reshape(-1, SPACE // ROW, ROW)[:, :, :SIZE].transpose(1, 2, 0)
    for m, begin in enumerate(VECTORS_AT):
        yield theta[begin : begin + SIZE], rows[m]
    if MATRIX_AT >= 0:
        matrix = theta[MATRIX_AT : MATRIX_AT + SIZE * INPUTS].reshape(SIZE, INPUTS, -1)
        yield matrix.transpose(1, 0, 2), rows[len(VECTORS_AT) : len(VECTORS_AT) + INPUTS]


def workspace(theta, y, batch):
    """State, data and what else `run` needs; allocated here, because Numba takes a second to compile it."""
    replicas = theta.size // D
    # Codes are put down for whole vectors of replicas.
    drawn, scratch = draw_stride(batch) * -(-replicas // 8) * 8, TURNS * SCRATCH + (batch + 8) * SCRATCH_EACH
    labels = 2 * y.size
    space = numbers(np.float64, replicas * STATE, y.size * WIDTH, scratch, TURNS * 8, LANES, drawn, labels)
    for outside, inside in entries(theta, space[0], 0):
        inside[:] = outside
    if REPEATED:
        rows = space[0].reshape(-1, STATE)[:, :SPACE].reshape(-1, ROW)
        rows[:, SIZE:] = rows[:, SIZE - 1 : SIZE]
    return (*space, *numbers(np.uint64, LANES, drawn))


def check(theta, status, bound, step):
    """Note the step in the status of each replica that is seen out of bounds for the first time."""
    outside = ~np.all(np.abs(theta.reshape(D, -1)) < bound, axis=0)  # true for nan
    seen = status[: outside.size]
    seen[outside & (seen < 0)] = step
'''

CHECK = '''\
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
def put_code(words, n, turn, places, number, stride, replicas):
    """The codes of one draw of all replicas, with replacement; `look_up` takes them up."""
    hot()
    if turn == np.uint64(0):
        next_words(words)
    for r in range(replicas):
        places[np.uint64(r) * stride + number] = code_of(words[np.uint64(4 * LANES) + np.uint64(r)], turn, n)


@called
def put_codes(words, n, places, number, stride, replicas):
    """`put_code` of four draws, the first of which begins a word."""
    hot()
    for r in range(0, LANES, LENGTH):
        four_codes(words, r, replicas, n, places, np.uint64(r) * stride + number, stride)


@called
def look_up(labels, places, target, begin, end):
    """Where the samples of codes stand, and their noisy targets."""
    hot()
    for i in range(begin, end):
        code = places[np.uint64(i)]
        target[np.uint64(i)] = labels[code]
        places[np.uint64(i)] = (code >> np.uint64(1)) * np.uint64(WIDTH)


@called
def put_row(words, bit, labels, sample, count, places, target, number, stride, replicas):
    """`put` of samples from `sample` on, each with the sign of its own bit of the last word, from `bit` on."""
    hot()
    for r in range(replicas):
        begin, word = np.uint64(r) * stride + number, words[np.uint64(4 * LANES) + np.uint64(r)] >> bit
        for b in range(count):
            i, k = begin + np.uint64(b), sample + np.uint64(b)
            above, below = labels[np.uint64(2) * k], labels[np.uint64(2) * k + np.uint64(1)]
            places[i] = k * np.uint64(WIDTH)
            target[i] = below if (word >> np.uint64(b)) & np.uint64(1) else above


@called
def draws(
    words, order, index, noise, y, labels, places, target, stride, replicas, step, steps, sigma, batch, sampling, law
):
    """All draws of so many steps; `labels` are y + sigma and y - sigma of each sample."""
    n = sigma.size
    period = max(1, 64 // n)
    apart, used = np.uint64(stride), np.uint64(replicas)
    size = np.uint64(n) & np.uint64(0x7FFFFFFF)  # as in `draw`
    for t in range(steps):
        phase = (step + t) % period
        if sampling == FULL and law == RADEMACHER:
            for b in range(0, n, 64):
                if phase == 0:
                    next_words(words)
                first, count, number = np.uint64(b), np.uint64(min(64, n - b)), np.uint64(t * n + b)
                put_row(words, np.uint64(phase * n), labels, first, count, places, target, number, apart, used)
            continue
        if sampling == WITH_REPLACEMENT and law == RADEMACHER:
            for b in range(0, batch - 3, 4):
                put_codes(words, size, places, np.uint64(t * batch + b), apart, replicas)
            for b in range(batch & ~3, batch):
                put_code(words, size, turn_of(b, batch, step + t), places, np.uint64(t * batch + b), apart, replicas)
            continue
        for b in range(batch):
            number, turn = np.uint64(t * batch + b), turn_of(b, batch, step + t)
            if sampling == FULL:
                gaussian_noise(words, noise, np.uint64(0), sigma[np.uint64(b)])
                for k in range(LANES):
                    index[k] = np.uint64(b)
            else:
                draw(words, order, index, noise, sigma, b, turn, sampling, law)
            put(index, noise, y, places, target, number, apart, used)
    if sampling == WITH_REPLACEMENT and law == RADEMACHER:
        for r in range(replicas):
            look_up(labels, places, target, r * stride, r * stride + steps * batch)


@exported(
    "void(u8[::1], u8[::1], i8[::1], i8, i8, f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8, f8, i8, f8[::1], f8[::1],"
    " f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], u8[::1], u8[::1]<SHIFT_TYPE>)"
)
def run(
    words, order, status, step, stop, x, y, sigma, rate, batch, sampling, law, bound, stride, state, data, scratch,
    residual, noise, target, labels, index, places<SHIFT>
):
    """Take steps from number `step` to `stop`; `x` has no rows when `data` is filled."""
    hot()
    fill_table(x, data)
    prepare(state)
    for i in range(y.size):
        labels[2 * i], labels[2 * i + 1] = y[i] + sigma[i], y[i] - sigma[i]
    replicas = state.size // STATE
    period = CHECKED * max(1, 64 // y.size)
    held = max(1, DRAWS // batch)
    held = held & ~(GROUP - 1) if held >= GROUP else 1
    while step < stop:
        steps = min(held, stop - step)
        draws(words, order, index, noise, y, labels, places, target, stride, replicas, step, steps, sigma, batch,
              sampling, law)
        for first in range(0, replicas, TURNS):
            last = min(first + TURNS, replicas)
            t = 0
            while t < steps:
                count = min(GROUP - (step + t) % GROUP, steps - t)
                for u in range(count):
<STEP>
                t += count
                for r in range(first, last):
                    at = np.uint64(r) * np.uint64(STATE)
<END_GROUP>
                    if (step + t) % period == 0:
                        check_one(state, at, status, np.uint64(r), bound, step + t)
        step += steps
'''

DRIVERS = '''\
def advance(theta, words, order, status, first, schedule, out, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` through the increasing step counts of `schedule`.

    theta after schedule[m] steps goes to out[m]; it has theta.size // D replicas, at most LANES. theta, words, order
    and status hold the whole state: a run may be cut wherever the step count is a multiple of CHECKED * max(1, 64 //
    n), or is in its schedule. There, and only there, each replica is checked: status is the step at which some
    abs(theta_j) < bound was first seen to fail, -1 if never.
    """
    space, stride, step = workspace(theta, y, batch), draw_stride(batch), first
    for m, stop in enumerate(schedule.tolist()):
        if stop > step:
            arguments = (y, sigma, lr / batch, batch, sampling, law, bound, stride, *space)
            run(words, order, status, step, stop, x, *arguments)
            x, step = x[:0], stop
        for outside, inside in entries(theta, space[0], 0):
            outside[:] = inside
        check(theta, status, bound, step)
        out[m] = theta


def descend(theta, settled, x, y, lr, tolerance, bound, max_steps):
    """Full-batch steps without label noise, until no replica moves by `tolerance` in a step or `max_steps` are taken.

    Every 16th step is looked at, so that the steps taken are a multiple of 16. A replica out of bounds is not waited
    for. Returns the number of steps; `settled` says which replicas came to rest.
    """
    words, status = np.zeros(5 * LANES, dtype=np.uint64), np.zeros(LANES, dtype=np.int64)
    out, ends = np.empty((2, theta.size)), np.array([15, 16])
    steps, moving = 0, True
    while moving and steps < max_steps:
        noise = (np.zeros(y.size), lr, y.size, FULL, RADEMACHER, bound)
        advance(theta, words, words, status, 0, ends, out, x, y, *noise)
        steps += 16
        still = np.abs(out[1] - out[0]).reshape(D, -1) < tolerance
        settled[:] = True
        settled[: still.shape[1]] = still.all(axis=0)
        moving = bool(np.any(~still & (np.abs(theta).reshape(D, -1) < bound)))
    return steps
'''

ACCUMULATE = '''\
def accumulate(theta, words, order, status, first, last, sums, shift, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` to `last`, and add moments of theta before each step to `sums`.

    Row j < D of `sums` holds the sum of theta_j - shift_j, row D + j that of its square. State and cuts as in
    `advance`.
    """
    center, space = workspace(shift, y[:0], 1)[0][:SPACE], workspace(theta, y, batch)
    arguments = (x, y, sigma, lr / batch, batch, sampling, law, bound, draw_stride(batch), *space, center)
    moments = [*entries(sums[: theta.size], space[0], SUMS), *entries(sums[theta.size :], space[0], SUMS + SPACE)]
    for outside, inside in moments:  # they go on as they are, wherever a run was cut
        inside[:] = outside
    if last > first:
        run(words, order, status, first, last, *arguments)
    for outside, inside in (*entries(theta, space[0], 0), *moments):
        outside[:] = inside
    check(theta, status, bound, last)
'''
