"""Draws of one replica side by side, for the generated kernels of models over indexed parameters.

Words of all replicas are made at once, and replicas take turns with what they drew: the numbers change places in
registers. What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .kernel_tiles import data_of, filled
from .kernel_vector import LENGTH, shuffled
from .lanes import LANES
from .vector_math import WORDS, Lanes
from .vector_words import multiply_shift, next_word

__all__ = ["four_codes"]


def codes_of(v, word, twice):
    """`code_of` of the upper and of the lower halves of words."""
    for half in (v.right(word, 32), v.each(v.builder.and_, word, 0xFFFFFFFF)):
        yield from multiply_shift(v, half, twice)


def columns(builder, rows):
    """For each place in four vectors the four numbers that stand there."""
    pairs = []
    for side in (0, 1):
        places = [k + side + LENGTH * odd for k in range(0, LENGTH, 2) for odd in (0, 1)]
        pairs.append([shuffled(builder, a, b, places) for a, b in (rows[:2], rows[2:])])
    for k in range(LENGTH):
        first = k - k % 2
        yield shuffled(builder, *pairs[k % 2], [first, first + 1, LENGTH + first, LENGTH + first + 1])


@intrinsic
def four_codes(typing_context, words, at, replicas, size, to, begin, stride):
    """The next two words of a vector of replicas, from number `at` on, and their codes, if `at` is one of the replicas.

    to[begin + k stride + q] is that of draw q < 4 of replica at + k: of each word the upper half, then the lower one.
    There has to be room for the whole vector, also where the replicas end within it.
    """

    def codegen(context, builder, signature, args):
        v, number = Lanes(builder), ir.IntType(64)
        words, to = (data_of(context, builder, signature, args, place) for place in (0, 4))
        rows = [builder.gep(words, [builder.add(args[1], number(LANES * row))]) for row in range(5)]
        rows = [builder.bitcast(row, WORDS.as_pointer()) for row in rows]
        # Products of halves of words are one instruction where both are seen to be halves.
        twice = builder.and_(builder.shl(args[3], number(1)), number(0xFFFFFFFF))
        twice = [filled(builder, twice)]
        state, codes = [[builder.load(row, align=8)] for row in rows[:4]], []
        for _ in range(2):
            word, state = next_word(v, state)
            codes += codes_of(v, word, twice)
        for row, (value,) in zip(rows, [*state, word]):
            builder.store(value, row, align=8)
        with builder.if_then(builder.icmp_signed("<", args[1], args[2])):
            for k, column in enumerate(columns(builder, codes)):
                place = builder.gep(to, [builder.add(args[5], builder.mul(args[6], number(k)))])
                builder.store(column, builder.bitcast(place, column.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.none(words, at, replicas, size, to, begin, stride), codegen
