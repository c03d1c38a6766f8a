"""Products of small matrices in registers, for the generated kernels of models over indexed parameters.

LLVM finds such tiles in no loop that Numba can express: it keeps sums in memory, or leaves what does not fill two
vectors to scalar code. Here they are written for it, in vectors of eight. The source text of these functions is copied
into every generated module that needs them.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import inspect

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["SOURCE", "combine", "dots", "product"]

VECTOR = ir.VectorType(ir.DoubleType(), 8)


def vector_at(builder, data, *offsets):
    """Where the eight numbers from the sum of these offsets on are."""
    for offset in offsets:
        data = builder.gep(data, [offset])
    return builder.bitcast(data, VECTOR.as_pointer())


def load_vector(builder, data, *offsets):
    """Eight numbers."""
    return builder.load(vector_at(builder, data, *offsets), align=8)


def spread(builder, number):
    """A number in all eight places."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8)
    )


def multiply_add(builder, a, b, total):
    """total + a b, fused where the processor can."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), total, flags=("contract",))


def shuffled(builder, a, b, places):
    """Entries of two vectors."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def sums_of_four(builder, a, b, c, d):
    """The sum of each of four vectors, as a vector of four."""
    low, high = [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]
    ab = builder.fadd(shuffled(builder, a, b, low), shuffled(builder, a, b, high))
    cd = builder.fadd(shuffled(builder, c, d, low), shuffled(builder, c, d, high))
    even, odd = [0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]
    half = builder.fadd(shuffled(builder, ab, cd, even), shuffled(builder, ab, cd, odd))
    return builder.fadd(shuffled(builder, half, half, [0, 1, 4, 5]), shuffled(builder, half, half, [2, 3, 6, 7]))


def data_of(context, builder, signature, args, place):
    """The numbers of an array among the arguments."""
    return context.make_array(signature.args[place])(context, builder, args[place]).data


def rows_of(builder, data, rows, first, count):
    """Where `count` rows begin, whose offsets are in an array."""
    index = [builder.add(first, ir.IntType(64)(q)) for q in range(count)]
    return [builder.gep(data, [builder.load(builder.gep(rows, [i]))]) for i in index]


def each_vector(builder, count, at_once, body):
    """Call body(offset, place) for each of `count` vectors, `at_once` of them in one pass of a loop."""
    eight = ir.IntType(64)(8)
    if count <= 16:
        for v in range(count):
            body(ir.IntType(64)(8 * v), v % at_once)
        return
    with cgutils.for_range(builder, ir.IntType(64)(count // at_once)) as loop:
        base = builder.mul(loop.index, ir.IntType(64)(8 * at_once))
        for u in range(at_once):
            body(builder.add(base, builder.mul(eight, ir.IntType(64)(u))), u)
    for v in range(count - count % at_once, count):
        body(ir.IntType(64)(8 * v), v % at_once)


@intrinsic(prefer_literal=True)
def dots(typing_context, left, left_at, right, rows, first, target, out, vectors, samples):
    """out[b] = sum_k left[left_at + k] right[rows[b] + k] - target[b], b from `first` on, 4 or 8 of them."""
    length, count = vectors.literal_value, samples.literal_value

    def codegen(context, builder, signature, args):
        a, x, offsets, y, f = (data_of(context, builder, signature, args, place) for place in (0, 2, 3, 5, 6))
        a, begin = builder.gep(a, [args[1]]), rows_of(builder, x, offsets, args[4], count)
        # Of one sum each addition waits for the one before: eight of them at a time keep the processor busy.
        at_once = 8 // count
        totals = [
            [cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * 8)) for _ in begin] for _ in range(at_once)
        ]

        def add(offset, place):
            value = load_vector(builder, a, offset)
            for row, total in zip(begin, totals[place]):
                builder.store(
                    multiply_add(builder, value, load_vector(builder, row, offset), builder.load(total)), total
                )

        each_vector(builder, length, at_once, add)
        sums = [builder.load(t) for t in totals[0]]
        for others in totals[1:]:
            sums = [builder.fadd(s, builder.load(t)) for s, t in zip(sums, others)]
        for q in range(0, count, 4):
            four = sums_of_four(builder, *sums[q : q + 4])
            place = builder.add(args[4], ir.IntType(64)(q))
            to, away = (builder.bitcast(builder.gep(p, [place]), four.type.as_pointer()) for p in (f, y))
            builder.store(builder.fsub(four, builder.load(away, align=8)), to, align=8)
        return context.get_dummy_value()

    return types.none(left, left_at, right, rows, first, target, out, vectors, samples), codegen


@intrinsic(prefer_literal=True)
def combine(typing_context, out, right, rows, first, weights, vectors, samples, more):
    """out[k] = sum_b weights[b] right[rows[b] + k], b from `first` on, 4 or 8 of them; added to it with `more`."""
    length, count, added = vectors.literal_value, samples.literal_value, more.literal_value

    def codegen(context, builder, signature, args):
        total, x, offsets, r = (data_of(context, builder, signature, args, place) for place in (0, 1, 2, 4))
        begin, r = rows_of(builder, x, offsets, args[3], count), builder.gep(r, [args[3]])
        weight = [spread(builder, builder.load(builder.gep(r, [ir.IntType(64)(q)]))) for q in range(count)]

        def add(offset, place):
            value = load_vector(builder, total, offset) if added else ir.Constant(VECTOR, [0.0] * 8)
            for row, w in zip(begin, weight):
                value = multiply_add(builder, w, load_vector(builder, row, offset), value)
            builder.store(value, vector_at(builder, total, offset), align=8)

        each_vector(builder, length, 1, add)
        return context.get_dummy_value()

    return types.none(out, right, rows, first, weights, vectors, samples, more), codegen


@intrinsic(prefer_literal=True)
def product(
    typing_context, out, out_at, out_step, left, rows, first, across, down, right, right_at, right_step, count, shape
):
    """A tile of shape = (rows, vectors) of a product of matrices, in registers: for q < rows, k < 8 vectors,

    out[out_at + q out_step + k] = sum_c left[rows[first + q across + c down] + q (1 - across) + c (1 - down)]
    right[right_at + c right_step + k], c < count: across = 1, down = 0 has a row of `left` for each q, across = 0,
    down = 1 a column, whose entry of the first row is at rows[first]; there `left_at` is part of rows.
    """
    raise NotImplementedError


SOURCE = ""
