"""The frame of a generated module for replicas side by side: its loop over steps, and the functions that Python calls.

Upper-case words in angle brackets are filled in from a `Layout`. A run without sums stands apart from the descent
without noise, so that a module of one of them can be made from the text (`kernel_ways`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .kernel_text import below_all, fill, indented

__all__ = ["SECTION", "WITHOUT_NOISE", "WITH_NOISE", "Layout", "cut", "framed", "space"]

SECTION = "# ---- "
WITH_NOISE, WITHOUT_NOISE = f"{SECTION}Steps with noise.\n", f"{SECTION}Steps without noise.\n"


@dataclass(frozen=True)
class Layout:
    """What a layout puts into the frame, as text; in the lines <RAW> is where sums go.

    Attributes
    ----------
    functions : str
        What the lines call.
    arrays : mapping of str to str
        The size of each array that they use, zeros at first: numbers, and of the name "index" words.
    begin, steps, noiseless, begin_noise : str
        Lines, not indented: before the first step, for `taken` steps (one if they do not say it), for one step
        without noise, and before the first step with noise.
    """

    functions: str
    arrays: Mapping[str, str]
    begin: str
    steps: str
    noiseless: str
    begin_noise: str = ""


_RUN = '''\
@exported(
    "void(f8[::1], u8[::1], u8[::1], i8[::1], i8, i8[::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[::1], f8, i8, i8, i8,"
    " f8, f8[::1]<SUM_TYPES>)"
)
def run(
    theta, words, order, status, step, schedule, out, x, y, sigma, rate, batch, sampling, law, bound, space<SUMS>
):
    """`advance`, or `accumulate`, in given memory; where signs come from words all steps until the next check."""
    hot()
    n = <SAMPLES>
    period = 64 // n if n < 64 else 1
<ARRAYS>
<BEGIN>
<BEGIN_NOISE>
<HELD>
    for m in range(schedule.size):
        stop = schedule[m]
        while step < stop:
            phase, taken = step % period, 1
            left = stop - step if stop - step < period - phase else period - phase
<STEPS>
            step += taken
<HOLD>
            if step % period == 0:
                check(theta, status, bound, step)
        check(theta, status, bound, step)
        copy(theta, out, m)
'''

_SPACE = '''\
def space_for(n):
    """How many numbers the arrays of a run need room for."""
    return (
        <SPACE>
    )
'''

_ADVANCE = '''\
def advance(theta, words, order, status, first, schedule, out, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` through the increasing step counts of `schedule`.

    theta after schedule[m] steps goes to out[m]. theta, words, order and status hold the whole state: a run may be
    cut wherever the step count is a multiple of max(1, 64 // n), or is in its schedule. There, and only there, each
    replica is checked: status is the step at which some abs(theta_j) < bound was first seen to fail, -1 if never.
    """
    space = room(space_for(y.size))
    run(theta, words, order, status, first, schedule, out, x, y, sigma, lr / batch, batch, sampling, law, bound, space)
'''

_REST = '''\
@exported("void(f8[::1], b1[::1], f8[:, ::1], f8[::1], f8[::1], f8, f8, f8, i8, f8[::1], i8[::1])")
def rest(theta, settled, x, y, sigma, rate, tolerance, bound, max_steps, space, taken):
    """`descend`, in given memory; the number of steps goes to taken[0]."""
    hot()
    n = <SAMPLES>
    batch, sampling, law = n, FULL, RADEMACHER
<ARRAYS>
    before, end = numbers_at(space, end, D * LANES), end + D * LANES
    words = words_at(space, end, 5 * LANES)
<BEGIN>
    steps, moving = 0, True
    while moving and steps < max_steps:
        for left in range(16, 0, -1):
            if left == 1:
                copy(theta, before, 0)
<NOISELESS>
        steps += 16
        moving = False
        for k in range(LANES):
            settled[k] = True
            for j in range(D):
                now = theta[j * LANES + k]
                still = abs(now - before[j * LANES + k]) < tolerance
                settled[k] = settled[k] and still
                moving = moving or (abs(now) < bound and not still)
    taken[0] = steps
'''

_DESCEND = '''\
def descend(theta, settled, x, y, lr, tolerance, bound, max_steps):
    """Full-batch steps without label noise, until no replica moves by `tolerance` in a step or `max_steps` are taken.

    Every 16th step is looked at, so that the steps taken are a multiple of 16. A replica out of bounds is not waited
    for. Returns the number of steps; `settled` says which replicas came to rest.
    """
    n, taken = y.size, np.zeros(1, dtype=np.int64)
    space = room(space_for(n) + (D + 5) * LANES)
    rest(theta, settled, x, y, np.zeros(n), lr / n, tolerance, bound, max_steps, space, taken)
    return int(taken[0])
'''

# In a module of its own: first and second moments over all steps.
_ACCUMULATE = '''\
def accumulate(theta, words, order, status, first, last, sums, shift, x, y, sigma, lr, batch, sampling, law, bound):
    """Run one block of replicas from step `first` to `last`, and add moments of theta before each step to `sums`.

    Row j < PARAMETERS of `sums` holds the sum of theta_j - shift_j, the rows that follow those of (theta_j - shift_j)
    (theta_i - shift_i), i >= j, or of the squares alone where there are more than MOST_PAIRED parameters. Replicas k,
    k + SUMMED, k + 2 SUMMED and so on share entry k of a row. State and cuts as in `advance`.
    """
    space, own = room(STATISTICS * SUMMED + space_for(y.size)), STATISTICS * SUMMED
    how, schedule, out = (lr / batch, batch, sampling, law, bound), np.array([last]), np.empty((1, theta.size))
    moments = (space[:own], sums, shift)
    run(theta, words, order, status, first, schedule, out, x, y, sigma, *how, space[own:], *moments)
'''

# Where raw sums are flushed depends on the number of the step alone, and not on where a run began.
_HELD = ("flushed, window = step, 64 // period * period", "full = step // window * window + window")
_HOLD = (
    "if step >= full or step >= stop:",
    "    flush(raw, step - flushed, sums, shift)",
    "    flushed, full = step, full + window",
)


def framed(layout: Layout, samples: str, moments: bool) -> tuple[list[str], list[str]]:
    """What Python does in a module with `advance` and `descend`, or with `accumulate`, and what is compiled.

    `samples` is their number, or y.size.
    """
    values = {
        "SAMPLES": samples,
        "ARRAYS": cut(layout.arrays),
        "BEGIN": indented(1, layout.begin),
        "BEGIN_NOISE": indented(1, layout.begin_noise),
        "STEPS": indented(3, fill(layout.steps, RAW="raw" if moments else "None")),
        "NOISELESS": indented(3, fill(layout.noiseless, RAW="None")),
        "HELD": indented(1, _HELD) if moments else "",
        "HOLD": indented(3, _HOLD) if moments else "",
        "SUMS": ", raw, sums, shift" if moments else "",
        "SUM_TYPES": ", f8[::1]" * 3 if moments else "",
        "SPACE": space(layout.arrays),
    }
    needed, run, rest = (fill(text, **values) for text in (_SPACE, _RUN, _REST))
    if moments:
        return [needed, _ACCUMULATE], [layout.functions, below_all("vector_sums"), run]
    return [needed, WITH_NOISE + _ADVANCE, WITHOUT_NOISE + _DESCEND], [
        layout.functions,
        WITH_NOISE + run,
        WITHOUT_NOISE + rest,
    ]


def cut(arrays: Mapping[str, str]) -> str:
    """The lines of a function that cut its arrays out of `space`, each from a cache line on."""
    lines = ["end = 0"]
    for name, size in arrays.items():
        of = "words_at" if name == "index" else "numbers_at"
        lines.append(f"{name}, end = {of}(space, end, {size}), end + {_whole(size)}")
    return indented(1, lines)


def space(arrays: Mapping[str, str]) -> str:
    """How many numbers that takes, as a sum over lines."""
    return "\n        + ".join(map(_whole, arrays.values()))


def _whole(size: str) -> str:
    return f"({size} + 7) // 8 * 8"
