"""Passes of a generated module over its replicas: intrinsics around the model's three-address lists.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .lanes import LANES
from .vector_draws import drawn_codes
from .vector_list import (
    GROUPS,
    INDEX,
    Cells,
    D,
    each_group,
    evaluate,
    load_rows,
    place,
    spread,
    store_rows,
)
from .vector_lookup import looked_up, signed_labels
from .vector_math import WORDS
from .vector_moments import add_moments, take_steps
from .vector_pass import vector_pass

# Each module has its own.
INPUTS, N = 1, 1
SAMPLE = UPDATE = STEP = ""

__all__ = ["doubled_pass", "drawn_pass", "full_pass", "rows_pass", "same_pass", "update_pass"]


@vector_pass
def doubled_pass(v, pairs, x, y, sigma, n, width, size):
    """All data twice, column after column; last the targets y + size sigma and y - size sigma of each sample."""
    builder = v.builder
    with cgutils.for_range(builder, n) as loop:
        first, twice = builder.mul(loop.index, INDEX(INPUTS)), builder.mul(loop.index, INDEX(2))
        for c in range(INPUTS + 1):
            at = place(v, pairs, builder.mul(width, INDEX(c)), twice)
            if c < INPUTS:
                both = [builder.load(place(v, x, first, c))] * 2
            else:
                target = builder.load(place(v, y, loop.index))
                noise = v.mul([size], [builder.load(place(v, sigma, loop.index))])
                both = [*v.add([target], noise), *v.sub([target], noise)]
            for k, value in enumerate(both):
                builder.store(value, place(v, at, k))


def add_sample(v, theta, total, inputs, label):
    """Add a sample's part to the total."""
    total.put(evaluate(v, SAMPLE, [*theta, *inputs, label], total.get()))


@vector_pass
def full_pass(v, theta, words, pairs, n, width, rate, phase, steps, raw):
    """Full batches, with the signs in the last word from step `phase` on."""
    builder, rate = v.builder, spread(v, rate)

    def group(base):
        state = Cells(v, load_rows(v, theta, base, D))
        (word,) = load_rows(v, place(v, words, 4 * LANES), base, 1, kind=WORDS)
        start = spread(v, builder.mul(phase, n))
        # Where one word has no sign for each sample it is zero.
        bits = Cells(v, [v.right(word, start)])
        total = Cells(v, [[v.number(0.0)] * GROUPS] * D)

        def some(count, keep):
            now = state.get()
            keep(now)
            total.put([[v.number(0.0)] * GROUPS] * D)
            with cgutils.for_range(builder, n) as loop:
                twice = builder.mul(loop.index, INDEX(2))
                inputs = [
                    spread(v, builder.load(place(v, pairs, builder.mul(width, INDEX(c)), twice))) for c in range(INPUTS)
                ]
                (word,) = bits.get()
                label = signed_labels(v, word, place(v, pairs, builder.mul(width, INDEX(INPUTS))), twice)
                bits.put([v.right(word, 1)])
                add_sample(v, now, total, inputs, label)
            state.put(evaluate(v, UPDATE, [*now, *total.get(), rate]))

        take_steps(v, steps, 1, some, raw, base)
        store_rows(v, theta, base, state.get())

    each_group(v, group)


def asked_again(v, number):
    """The same number, of which LLVM does not know so: it makes no loop twice for one question in it (slower)."""
    return v.builder.asm(ir.FunctionType(INDEX, [INDEX]), "", "=r,0", [number], True)


@vector_pass
def drawn_pass(v, theta, words, order, pairs, n, width, rate, batch, step, steps, raw):
    """Batches of drawn samples, with random signs, from number `step` on."""
    builder, rate = v.builder, spread(v, rate)

    def group(base):
        state = Cells(v, load_rows(v, theta, base, D))
        total = Cells(v, [[v.number(0.0)] * GROUPS] * D)
        taken = cgutils.alloca_once_value(builder, step)

        def draw(number, turn):
            *inputs, label = looked_up(v, pairs, n, width, drawn_codes(v, words, order, base, n, number, turn))
            return inputs, label

        def some(count, keep):
            now, turn = state.get(), builder.load(taken)
            keep(now)
            builder.store(builder.add(turn, INDEX(1)), taken)
            with builder.if_else(builder.icmp_unsigned("==", asked_again(v, batch), INDEX(1))) as (one, more):
                with one:
                    inputs, label = draw(INDEX(0), turn)
                    state.put(evaluate(v, STEP, [*now, *inputs, label, rate]))
                with more:
                    total.put([[v.number(0.0)] * GROUPS] * D)
                    with cgutils.for_range(builder, batch) as loop:
                        inputs, label = draw(loop.index, loop.index)
                        add_sample(v, now, total, inputs, label)
                    state.put(evaluate(v, UPDATE, [*now, *total.get(), rate]))

        take_steps(v, steps, 1, some, raw, base)
        store_rows(v, theta, base, state.get())

    each_group(v, group)


@vector_pass
def rows_pass(v, theta, total, drawn, noise):
    """Add what the sample in rows of its own for each replica contributes to the total."""

    def group(base):
        now, sums = load_rows(v, theta, base, D), Cells(v, load_rows(v, total, base, D))
        *inputs, target = load_rows(v, drawn, base, INPUTS + 1)
        (eps,) = load_rows(v, noise, base, 1)
        add_sample(v, now, sums, inputs, v.add(target, eps))
        store_rows(v, total, base, sums.get())

    each_group(v, group)


@vector_pass
def same_pass(v, theta, total, noise, pairs, width, i):
    """Add what sample i contributes in every replica to the total."""
    at = [place(v, pairs, v.builder.mul(width, INDEX(c)), v.builder.mul(i, INDEX(2))) for c in range(INPUTS + 1)]
    *inputs, target = (spread(v, v.builder.load(p)) for p in at)

    def group(base):
        now, sums = load_rows(v, theta, base, D), Cells(v, load_rows(v, total, base, D))
        (eps,) = load_rows(v, noise, base, 1)
        add_sample(v, now, sums, inputs, v.add(target, eps))
        store_rows(v, total, base, sums.get())

    each_group(v, group)


@vector_pass
def update_pass(v, theta, total, rate, raw):
    """Update every replica by its total, and clear the total."""
    rate = spread(v, rate)

    def group(base):
        if raw is not None:
            add_moments(v, raw, base, load_rows(v, theta, base, D))
        now, sums = load_rows(v, theta, base, D), load_rows(v, total, base, D)
        store_rows(v, theta, base, evaluate(v, UPDATE, [*now, *sums, rate]))
        store_rows(v, total, base, [[v.number(0.0)] * GROUPS] * D)

    each_group(v, group)


@vector_pass
def counts_pass(v, theta, count, noise, y, rate, raw):
    """A batch of all samples' formulas in one list: how often each was drawn, and the sum of its label noise."""
    rate = spread(v, rate)
    targets = [spread(v, v.builder.load(place(v, y, i))) for i in range(N)]

    def group(base):
        if raw is not None:
            add_moments(v, raw, base, load_rows(v, theta, base, D))
        rows = zip(load_rows(v, count, base, N), load_rows(v, noise, base, N), targets)
        entries = [entry for row in rows for entry in row]
        store_rows(v, theta, base, evaluate(v, STEP, [*load_rows(v, theta, base, D), *entries, rate]))

    each_group(v, group)
