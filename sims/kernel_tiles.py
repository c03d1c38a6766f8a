"""Products of small matrices in registers, for the generated kernels of models over indexed parameters.

LLVM finds such tiles in no loop that Numba can express: it keeps sums in memory, or leaves what does not fill two
vectors to scalar code. Here they are written for it, in vectors as long as its registers; sizes are given in units of
eight numbers. The source text of these functions is copied into every generated module that needs them.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .kernel_hints import widen
from .kernel_vector import LENGTH, VECTOR, shuffled

__all__ = ["clear", "product", "weighted", "wide"]


def vector_at(builder, data, *offsets):
    """Where the vector from the sum of these offsets on is."""
    for offset in offsets:
        data = builder.gep(data, [offset])
    return builder.bitcast(data, VECTOR.as_pointer())


def load_vector(builder, data, *offsets):
    """A vector."""
    return builder.load(vector_at(builder, data, *offsets), align=8)


def filled(builder, number):
    """A number in all places."""
    nothing = ir.Constant(ir.VectorType(number.type, LENGTH), ir.Undefined)
    one = builder.insert_element(nothing, number, ir.IntType(32)(0))
    return shuffled(builder, one, one, [0] * LENGTH)


def multiply_add(builder, a, b, total):
    """total + a b, fused where the processor can: nothing stands between the two, so that LLVM always does."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), total, flags=("contract",))


def sums(builder, vectors):
    """The sum of each of four or eight vectors, in order, in one or two vectors."""
    low, high = [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]
    even, odd = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    if LENGTH == 4:
        low, high, even, odd = [0, 4, 2, 6], [1, 5, 3, 7], [0, 1, 4, 5], [2, 3, 6, 7]
    for first, second in ((low, high), (even, odd)):
        pairs = zip(vectors[::2], vectors[1::2])
        vectors = [builder.fadd(shuffled(builder, a, b, first), shuffled(builder, a, b, second)) for a, b in pairs]
    if LENGTH == 4:
        return vectors
    # Now the first halves and the second halves of one or two vectors.
    first, second = [0, 1, 2, 3, 8, 9, 10, 11][: 4 * len(vectors)], [4, 5, 6, 7, 12, 13, 14, 15][: 4 * len(vectors)]
    a, b = vectors[0], vectors[-1]
    return [builder.fadd(shuffled(builder, a, b, first), shuffled(builder, a, b, second))]


def data_of(context, builder, signature, args, place):
    """The numbers of an array among the arguments."""
    return context.make_array(signature.args[place])(context, builder, args[place]).data


def rows_of(builder, data, rows, first, count):
    """Where `count` rows begin, whose offsets are in an array."""
    index = [builder.add(first, ir.IntType(64)(q)) for q in range(count)]
    return [builder.gep(data, [builder.load(builder.gep(rows, [i]))]) for i in index]


def in_order(builder):
    """Keep loads before this before those after it.

    LLVM would put all additions to one sum in a row, each of which waits for the one before.
    """
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)


def each_vector(builder, eights, body, unrolled=16):
    """Call body(offset) for each vector of so many times eight numbers; in a loop if there are many."""
    count = eights * 8 // LENGTH
    if count <= unrolled:
        for k in range(count):
            body(ir.IntType(64)(LENGTH * k))
        return
    with cgutils.for_range(builder, ir.IntType(64)(count)) as loop:
        body(builder.mul(loop.index, ir.IntType(64)(LENGTH)))


@intrinsic
def wide(typing_context):
    """As `hot`, for a function that is to become part of its caller: its loops are made before that."""

    def codegen(context, builder, signature, args):
        widen(builder.function)
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic(prefer_literal=True)
def weighted(typing_context, out, out_at, weight, right, right_at, vectors, more):
    """out[out_at + k] = weight right[right_at + k], k < 8 vectors; added to it with `more`.

    A short loop would be unrolled before LLVM looks for vectors in it.
    """
    added = more.literal_value

    def codegen(context, builder, signature, args):
        to, of = (data_of(context, builder, signature, args, place) for place in (0, 3))
        to, of = builder.gep(to, [args[1]]), builder.gep(of, [args[4]])
        factor = filled(builder, args[2])

        def add(offset):
            value = load_vector(builder, of, offset)
            value = (
                multiply_add(builder, factor, value, load_vector(builder, to, offset))
                if added
                else builder.fmul(factor, value)
            )
            builder.store(value, vector_at(builder, to, offset), align=8)

        each_vector(builder, vectors.literal_value, add)
        return context.get_dummy_value()

    return types.none(out, out_at, weight, right, right_at, vectors, more), codegen


@intrinsic(prefer_literal=True)
def clear(typing_context, out, out_at, vectors):
    """out[out_at + k] = 0, k < 8 vectors."""

    def codegen(context, builder, signature, args):
        to, zero = (
            builder.gep(data_of(context, builder, signature, args, 0), [args[1]]),
            ir.Constant(VECTOR, [0.0] * LENGTH),
        )
        each_vector(
            builder,
            vectors.literal_value,
            lambda offset: builder.store(zero, vector_at(builder, to, offset), align=8),
        )
        return context.get_dummy_value()

    return types.none(out, out_at, vectors), codegen


@intrinsic(prefer_literal=True)
def product(
    typing_context,
    out,
    out_at,
    out_step,
    left,
    rows,
    first,
    column,
    right,
    right_at,
    right_step,
    count,
    tile,
    vectors,
    across,
):
    """out[out_at + q out_step + k] = sum_c left(q, c) right[right_at + c right_step + k], q < tile, k < 8 vectors.

    c < count; left(q, c) is left[rows[first + q] + column + c], or left[rows[first + c] + column + q] with `across`.
    """
    height, numbers, transposed = tile.literal_value, 8 * vectors.literal_value, across.literal_value
    # With sixteen registers two columns of sums, or sums would go to memory.
    widest = 4 if LENGTH == 8 else 2

    def codegen(context, builder, signature, args):
        z, x, offsets, w = (data_of(context, builder, signature, args, place) for place in (0, 3, 4, 7))
        z, x, w = (builder.gep(p, [args[place]]) for p, place in ((z, 1), (x, 6), (w, 8)))
        offsets = builder.gep(offsets, [args[5]])
        begin = [] if transposed else rows_of(builder, x, offsets, ir.IntType(64)(0), height)
        zero = ir.Constant(VECTOR, [0.0] * LENGTH)
        for first in range(0, numbers, LENGTH * widest):
            columns = range(first, min(first + LENGTH * widest, numbers), LENGTH)
            totals = [[cgutils.alloca_once_value(builder, zero) for _ in columns] for _ in range(height)]
            with cgutils.for_range(builder, args[10]) as loop:
                right_row = builder.gep(w, [builder.mul(loop.index, args[9])])
                values = [load_vector(builder, right_row, ir.IntType(64)(k)) for k in columns]
                if transposed:
                    start = builder.gep(x, [builder.load(builder.gep(offsets, [loop.index]))])
                for q, row in enumerate(totals):
                    at = (start, ir.IntType(64)(q)) if transposed else (begin[q], loop.index)
                    weight = filled(builder, builder.load(builder.gep(at[0], [at[1]])))
                    for value, total in zip(values, row):
                        builder.store(multiply_add(builder, weight, value, builder.load(total)), total)
            for q, row in enumerate(totals):
                to = builder.gep(z, [builder.mul(args[2], ir.IntType(64)(q))])
                for k, total in zip(columns, row):
                    builder.store(builder.load(total), vector_at(builder, to, ir.IntType(64)(k)), align=8)
        return context.get_dummy_value()

    given = (
        out,
        out_at,
        out_step,
        left,
        rows,
        first,
        column,
        right,
        right_at,
        right_step,
        count,
        tile,
        vectors,
        across,
    )
    return types.none(*given), codegen
