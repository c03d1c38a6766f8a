"""Steps with batches that are drawn from few samples whose formulas are in one list.

How often each sample is drawn stays in registers, and so do the generator and, without replacement, the permutation;
`kernel_random` says how numbers are made of words. What stands below `__all__` is copied into every generated module
that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from numba.core import cgutils

from .kernel_vector import VECTOR
from .vector_draws import half_of, takes_upper
from .vector_list import (
    COLUMNS,
    GROUPS,
    INDEX,
    Cells,
    D,
    each_group,
    evaluate,
    load_rows,
    place,
    polynomial,
    spread,
    store_rows,
)
from .vector_math import WORDS
from .vector_moments import take_steps
from .vector_pass import vector_pass
from .vector_words import multiply_shift, next_word

# Each module has its own.
N, STEP = 1, ""

__all__ = ["batches_pass"]


def fresh(v, generator):
    """The next words of the generator, whose last row they are then."""
    word, after = next_word(v, generator.get()[:4])
    generator.put([*after, word])
    return word


def half_drawn(v, generator, turn):
    """Index and sign of a draw with replacement, halves of words in turns."""
    builder = v.builder
    upper = takes_upper(v, turn)
    with builder.if_then(upper):
        fresh(v, generator)
    code = multiply_shift(v, half_of(v, generator.get()[4], upper), 2 * N)
    return v.right(code, 1), v.left(code, 63)


def shuffled_out(v, generator, permutation, first):
    """Index and sign of draw `first` without replacement, a number that is known: a step of a Fisher-Yates shuffle."""
    builder, rows = v.builder, permutation.get()
    word = fresh(v, generator)
    other = v.each(builder.add, multiply_shift(v, v.right(word, 32), N - first), first)
    before = found = rows[first]
    for j in range(first + 1, N):
        here = v.each(lambda a, b: builder.icmp_unsigned("==", a, b), other, j)
        found = v.each(builder.select, here, rows[j], found)
        rows[j] = v.each(builder.select, here, before, rows[j])
    rows[first] = found
    permutation.put(rows)
    return found, v.left(word, 63)


def tally(v, counts, noises, sizes, drawn):
    """Add a draw to the count and to the sum of label noise of its sample; `sizes` are words, the bits of sigma."""
    builder, (index, signs) = v.builder, drawn
    for i in range(N):
        here = v.each(lambda a, b: builder.icmp_unsigned("==", a, b), index, i)
        noise = v.doubles(v.each(builder.xor, sizes[i], signs))
        for cells, value in ((counts[i], 1.0), (noises[i], noise)):
            cells.put([v.add(cells.get()[0], v.each(builder.select, here, value, 0.0))])


@vector_pass
def batches_pass(v, theta, words, order, sigma, y, batch, rate, step, steps, raw):
    """`steps` steps from number `step` on; without replacement from the permutations `order`, else None."""
    builder = v.builder
    # A vector by itself, with its draws, takes all registers; functions need others beside it that fill the time.
    width = 1 if polynomial(STEP) else GROUPS
    rate = spread(v, rate)[:width]
    sizes, targets = ([spread(v, builder.load(place(v, data, i)))[:width] for i in range(N)] for data in (sigma, y))
    sizes = [v.words(row) for row in sizes]

    def drawn(counts, noises, generator, permutation, turn):
        if permutation is None:
            with cgutils.for_range(builder, batch) as loop:
                own = builder.select(builder.icmp_unsigned("==", batch, INDEX(1)), turn, loop.index)
                tally(v, counts, noises, sizes, half_drawn(v, generator, own))
            return
        for b in range(N):
            with builder.if_then(builder.icmp_signed(">", batch, INDEX(b))):
                tally(v, counts, noises, sizes, shuffled_out(v, generator, permutation, b))

    def group(base):
        def cells(data, count, kind=WORDS):
            return Cells(v, load_rows(v, data, base, count, kind, width))

        state, generator = cells(theta, D, VECTOR), cells(words, 5)
        permutation = None if order is None else cells(order, N)
        nothing = [[v.number(0.0)] * width]
        counts, noises = ([Cells(v, nothing) for _ in range(N)] for _ in range(2))
        taken = cgutils.alloca_once_value(builder, step)

        def some(count, keep):
            now, turn = state.get(), builder.load(taken)
            keep(now)
            builder.store(builder.add(turn, INDEX(1)), taken)
            for tallied in (*counts, *noises):
                tallied.put(nothing)
            drawn(counts, noises, generator, permutation, turn)
            entries = [row for i in range(N) for row in (counts[i].get()[0], noises[i].get()[0], targets[i])]
            state.put(evaluate(v, STEP, [*now, *entries, rate]))

        # Replicas that share sums are COLUMNS apart.
        take_steps(v, steps, 1, some, raw, builder.and_(base, INDEX(COLUMNS - 1)), width)
        store_rows(v, theta, base, state.get())
        store_rows(v, words, base, generator.get())
        if permutation is not None:
            store_rows(v, order, base, permutation.get())

    each_group(v, group, width)
