"""What each replica draws in a generated module whose passes are intrinsics: a sample and the sign of its noise.

`kernel_random` says how numbers are made of words. What stands below `__all__` is copied into every generated module
that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .kernel_vector import LENGTH
from .lanes import LANES
from .vector_list import (
    COLUMNS,
    INDEX,
    INDEX32,
    Cells,
    each_group,
    load_rows,
    place,
    spread,
    store_rows,
)
from .vector_math import WORDS
from .vector_pass import vector_pass
from .vector_words import multiply_shift, next_word

__all__ = ["drawn_codes", "next_words", "sign_noise"]

HALF = 0xFFFFFFFF
# Rows of a permutation that are gone through in registers; each costs five instructions, an entry of its own eight.
FEW_ROWS = 8


def drawn_codes(v, words, order, base, n, number, turn):
    """Twice the index of a sample plus the bit of its sign: draw `number` of a batch.

    Without replacement it is from the permutations `order`. With replacement `order` is None, and halves of words take
    turns.
    """
    builder = v.builder
    if order is None:
        upper = takes_upper(v, turn)
        with builder.if_then(upper):
            fresh_word(v, words, base)
        (word,) = load_rows(v, place(v, words, 4 * LANES), base, 1, kind=WORDS)
        return multiplied(v, half_of(v, word, upper), builder.shl(n, INDEX(1)))
    word = fresh_word(v, words, base)
    other = multiplied(v, v.right(word, 32), builder.sub(n, number))
    taken = exchanged(v, order, base, n, number, v.each(builder.add, other, spread(v, number)))
    return v.each(builder.or_, v.left(taken, 1), v.each(builder.and_, word, 1))


@vector_pass
def next_words(v, words):
    """The next words of all replicas."""
    each_group(v, lambda base: fresh_word(v, words, base))


@vector_pass
def sign_noise(v, words, noise, row, sigma, position):
    """Fill a row with label noise of two values of one sample of a full batch; `kernel_random` says what `position` is.

    A new word where it is a multiple of 64.
    """
    builder, sizes = v.builder, v.words(spread(v, sigma))
    bit = builder.and_(position, INDEX(63))
    last = spread(v, builder.sub(INDEX(63), bit))
    with builder.if_then(builder.icmp_unsigned("==", bit, INDEX(0))):
        each_group(v, lambda base: fresh_word(v, words, base))

    def group(base):
        (word,) = load_rows(v, place(v, words, 4 * LANES), base, 1, kind=WORDS)
        # The bit of the word, as the highest one.
        sign = v.each(builder.and_, v.left(word, last), -(2**63))
        store_rows(v, place(v, noise, row), base, [v.doubles(v.each(builder.xor, sizes, sign))])

    each_group(v, group)


def fresh_word(v, words, base):
    """The next words, which are kept as the last ones."""
    word, after = next_word(v, load_rows(v, words, base, 4, kind=WORDS))
    store_rows(v, words, base, [*after, word])
    return word


def takes_upper(v, turn):
    """Whether a draw with replacement takes the upper half of a new word, and not the lower half of the last one."""
    return v.builder.icmp_unsigned("==", v.builder.and_(turn, INDEX(1)), INDEX(0))


def half_of(v, word, upper):
    """The upper halves of words, or the lower ones."""
    shift = spread(v, v.builder.select(upper, INDEX(32), INDEX(0)))[: len(word)]
    return v.each(v.builder.and_, v.right(word, shift), HALF)


def multiplied(v, half, count):
    """A whole number below `count` of each half of a word."""
    # Products of halves of words are one instruction where both are seen to be halves.
    count = spread(v, v.builder.and_(count, INDEX(HALF)))
    return multiply_shift(v, half, count)


def exchanged(v, order, base, n, first, other):
    """Exchange two entries of each replica's permutation, the first the same in all; returns what is first then."""
    builder = v.builder
    at_first = place(v, order, builder.mul(first, INDEX(LANES)))
    (before,) = load_rows(v, at_first, base, 1, kind=WORDS)
    found = Cells(v, [before])
    few = builder.icmp_unsigned("<=", n, INDEX(FEW_ROWS))
    with builder.if_else(few) as (all_rows, one_by_one):
        with all_rows, cgutils.for_range(builder, n, start=builder.add(first, INDEX(1))) as loop:
            row = place(v, order, builder.mul(loop.index, INDEX(LANES)))
            (values,) = load_rows(v, row, base, 1, kind=WORDS)
            here = v.each(lambda a, b: builder.icmp_unsigned("==", a, b), other, spread(v, loop.index))
            found.put([v.each(builder.select, here, values, found.get()[0])])
            store_rows(v, row, base, [v.each(builder.select, here, before, values)])
        with one_by_one:
            found.put([exchanged_lanes(v, order, base, before, other)])
    store_rows(v, at_first, base, found.get())
    return found.get()[0]


def exchanged_lanes(v, order, base, before, other):
    """Put `before` where each replica's other entry is, and return that."""
    builder, out = v.builder, []
    for g, (values, places) in enumerate(zip(before, other)):
        result = ir.Constant(WORDS, ir.Undefined)
        for k in range(LENGTH):
            row = builder.mul(builder.extract_element(places, INDEX32(k)), INDEX(LANES))
            entry = place(v, order, row, base, COLUMNS * g + k)
            result = builder.insert_element(result, builder.load(entry), INDEX32(k))
            builder.store(builder.extract_element(values, INDEX32(k)), entry)
        out.append(result)
    return out
