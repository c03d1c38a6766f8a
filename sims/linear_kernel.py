"""The kernel of the linear SGD that runs beside the replicas on the same draws; the same for every model.

z <- z - (lr/B) sum_b (g_b . z - eps_b) g_b in coordinates of the normal space, with the sum of (g_b . z - eps_b)
(F_b z) beside it, whose multiples are the second-order motion along the zero-loss set. For other rules z also holds
their memory: z <- carried z - (lr/B) gain (the same sum) + kick (normal numbers), with y = seen z in the place of z in
the sum. The loops over coordinates are loops over memory: the text knows neither a model nor its dimensions.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from . import counted_layouts, templates
from .cache import load_module
from .kernel_frame import cut, space
from .kernel_text import below_all, fill, function_sources
from .kernel_ways import Way, way_text
from .vector_codegen import common_sources

__all__ = ["linear_module", "linear_text"]

_HEADER = '''\
"""Linear SGD on given gradients, with its second-order motion along the zero-loss set.

Arrays over replicas are flat, row after row of LANES replicas. g holds row after row of sample gradients, second for
each sample the rows of its F.
"""
'''

_ARRAYS = {
    "change": "r * LANES",
    "noise": "LANES",
    "index": "LANES",
    "seen_rows": "r * LANES",
    "before": "s * LANES",
    "count": "n * LANES",
    "flips": "n * classes * LANES",
    "normal": "d * LANES",
    "none": "n",
}

_LINEAR = '''\
@exported(
    "void(f8[::1], f8[::1], u8[::1], u8[::1], i8, i8[::1], f8[:, ::1], f8[:, ::1],"
    " f8[::1], f8[::1], f8[::1], f8, i8, i8, i8, f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], i8,"
    " f8[::1], f8[::1])"
)
def run(
    z, t, words, order, step, schedule, out_z, out_t, g, second, sigma, rate, batch, sampling, law,
    carried, gain, seen, kick, bent, forces, labels, per, flip, space,
):
    """`advance`, in given memory."""
    hot()
    s, m, n = z.size // LANES, t.size // LANES, labels.size
    r, d, classes = g.size // (n * per), kick.size // s, forces.size // (n * per)
    period = 64 // n if n < 64 else 1
<ARRAYS>
    y = z if PLAIN else seen_rows
    for k in range(n * LANES):
        count[k] = batch // n
    for q in range(schedule.size):
        while step < schedule[q]:
            if not PLAIN:
                clear(y)
                add_product(y, seen, z, r, s, 1.0)
            if COUNTED:
                if sampling == WITH_REPLACEMENT:
                    draw_counts(words, count, sigma, n, batch)
                elif sampling == WITHOUT_REPLACEMENT:
                    without_replacement(words, order, count, flips, index, noise, none, batch)
                if classes > 1:
                    draw_labels(words, count, flips, sigma, labels, n, classes)
                elif flip[0] > 0:
                    draw_flips(words, count, flips, sigma, n)
                for j in range(d):
                    normals(words, normal, np.uint64(j * LANES))
                    add_bent(t, y, normal, bent, j, d, r, m)
                for i in range(n):
                    for row in range(i * per, (i + 1) * per):
                        add_counted(
                            y, t, change, count, flips, i, row, g, second, r, m, forces, classes, flip
                        )
            elif sampling == FULL:
                for i in range(n):
                    if law == GAUSSIAN:
                        gaussian_noise(words, noise, np.uint64(0), sigma[i])
                    else:
                        sign_noise(words, noise, 0, sigma[i], step % period * n + i)
                    add_same(y, t, change, noise, i, g, second, r, m)
            else:
                for b in range(batch):
                    draw(words, order, index, noise, sigma, b, turn_of(b, batch, step), sampling, law)
                    add_drawn(y, t, change, noise, index, g, second, r, m)
            if PLAIN:
                apply(z, change, rate, r)
            else:
                copy(z, before, 0)
                clear(z)
                add_product(z, carried, before, s, s, 1.0)
                add_product(z, gain, change, s, r, -rate)
                add_product(z, kick, normal, s, d, 1.0)
                clear(change)
            step += 1
        copy(z, out_z, q)
        copy(t, out_t, q)
'''

_ADVANCE = '''\
def advance(
    z, t, words, order, first, schedule, out_z, out_t, g, second, sigma, rate, batch, sampling, law,
    carried, gain, seen, kick, bent, forces, labels, per, flip,
):
    """Run one block of replicas from step `first` through the increasing step counts of `schedule`.

    z and t after schedule[q] steps go to out_z[q] and out_t[q]. The draws are those of every other kernel. If
    PLAIN the rule is plain SGD; if COUNTED samples have counts and numbers of flips, and `sigma` holds tables. A sample
    has `per` rows of g, and with K classes numbers of draws of each.
    """
    n, s = labels.size, z.size // LANES
    r, d, classes = g.size // (n * per), kick.size // max(s, 1), forces.size // (n * per)
    space = room(
        <SPACE>
    )
    given = (sigma, rate, batch, sampling, law, carried, gain, seen, kick, bent, forces, labels, per, flip)
    run(z, t, words, order, first, schedule, out_z, out_t, g, second, *given, space)
'''


def linear_text(way: Way, plain: bool, counted: bool) -> str:
    """The text of the module for one way; `plain`: the rule is SGD; `counted`: samples are counted."""
    passes = (
        *map(below_all, ("vector_lookup", "vector_linear")),
        counted_layouts.COUNTS,
        fill(_LINEAR, ARRAYS=cut(_ARRAYS)),
    )
    functions = (*common_sources(), *function_sources("kernel_binomial").values(), *passes)
    text = templates.module(_HEADER, {}, [fill(_ADVANCE, SPACE=space(_ARRAYS))], functions)
    return way_text(text, way, PLAIN=plain, COUNTED=counted)


@cache
def linear_module(way: Way, plain: bool, counted: bool) -> ModuleType:
    """The module, compiled or taken from the cache."""
    return load_module(linear_text(way, plain, counted))
