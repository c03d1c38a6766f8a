"""Steps of generated kernels whose prediction is a sum of features of the inputs times what parameters make of them.

A step goes over the index twice: values times the features of the samples drawn give the residuals, and residuals times
features the gradient. Few samples of the next step can be begun by the pass that ends a step, so that what it loads and
stores does not wait for multiplications; operations and their order are the same either way. What stands below
`__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .kernel_tiles import data_of, each_vector, filled, in_order, multiply_add, rows_of, sums, vector_at
from .kernel_vector import VECTOR
from .lanes import LANES
from .vector_list import evaluate
from .vector_math import Lanes

# Each module has its own.
FEATURES, ROW, SPACE, SUMS, VALUES = 1, LANES, LANES, LANES, LANES
RATES, END, VALUE = (1.0,), "", ""

__all__ = ["combine", "dots", "end", "set_values", "turn"]

# How a step takes theta: a single one; or as the first of two, which leaves what was before it for the second's sums.
SINGLE, FIRST, SECOND = range(3)

NOTHING = [ir.Constant(VECTOR, [0.0] * VECTOR.count)] * FEATURES


def each_entry(builder, body):
    """Call body(offset) for each vector of a row: in a loop, because all that stands in it takes long to compile."""
    each_vector(builder, ROW // 8, body, unrolled=4)


def at_row(builder, data, offset, first=0, number=0):
    """Where the vector from entry `offset` on of a row is, by its number after the first."""
    return vector_at(builder, data, offset, ir.IntType(64)(first + number * ROW))


def from_rows(builder, data, offset, first, count):
    """That vector of so many rows."""
    return [builder.load(at_row(builder, data, offset, first, m), align=8) for m in range(count)]


def to_rows(builder, vectors, data, offset, first=0):
    """Write vectors to rows."""
    for m, vector in enumerate(vectors):
        builder.store(vector, at_row(builder, data, offset, first, m), align=8)


class Products:
    """Sums of values times the features of each of 4 or 8 samples."""

    def __init__(self, builder, rows):
        self.builder, self.rows = builder, rows
        self.totals = [cgutils.alloca_once_value(builder, NOTHING[0]) for _ in rows]

    def add(self, values, offset):
        """Add one vector of each value times those of the features."""
        for s, value in enumerate(values):
            for row, total in zip(self.rows, self.totals):
                feature = self.builder.load(at_row(self.builder, row, offset, 0, s), align=8)
                self.builder.store(multiply_add(self.builder, value, feature, self.builder.load(total)), total)
        in_order(self.builder)

    def less(self, target, residual):
        """Store the sums less targets."""
        builder, done = self.builder, 0
        for vector in sums(builder, [builder.load(total) for total in self.totals]):
            kind, at = vector.type, [ir.IntType(64)(done)]
            of, to = (builder.bitcast(builder.gep(p, at), kind.as_pointer()) for p in (target, residual))
            builder.store(builder.fsub(vector, builder.load(of, align=8)), to, align=8)
            done += kind.count


class Weights:
    """Residuals of 4 or 8 samples times their features."""

    def __init__(self, builder, rows, residual):
        self.builder, self.rows = builder, rows
        each = [builder.load(builder.gep(residual, [ir.IntType(64)(q)])) for q in range(len(rows))]
        self.weights = [filled(builder, number) for number in each]

    def onto(self, vectors, offset):
        """One vector of the sum over samples, of each feature, added to others."""
        vectors = list(vectors)
        for s in range(len(vectors)):
            for row, weight in zip(self.rows, self.weights):
                feature = self.builder.load(at_row(self.builder, row, offset, 0, s), align=8)
                vectors[s] = multiply_add(self.builder, weight, feature, vectors[s])
        return vectors


@intrinsic(prefer_literal=True)
def dots(typing_context, state, at, features, rows, first, target, residual, to, samples):
    """residual[to + q] = sum of values times features[rows[first + q]] - target[first + q], q < samples, 4 or 8."""
    count = samples.literal_value

    def codegen(context, builder, signature, args):
        state, x, offsets, y, r = (data_of(context, builder, signature, args, place) for place in (0, 2, 3, 5, 6))
        state, products = builder.gep(state, [args[1]]), Products(builder, rows_of(builder, x, offsets, args[4], count))

        def add(offset):
            products.add(from_rows(builder, state, offset, VALUES, FEATURES), offset)

        each_entry(builder, add)
        products.less(builder.gep(y, [args[4]]), builder.gep(r, [args[7]]))
        return context.get_dummy_value()

    return types.none(state, at, features, rows, first, target, residual, to, samples), codegen


@intrinsic(prefer_literal=True)
def combine(typing_context, out, out_at, features, rows, first, residual, of, samples, more):
    """out[out_at:] = sum_q residual[of + q] features[rows[first + q]], q < samples; added with `more`."""
    count, added = samples.literal_value, more.literal_value

    def codegen(context, builder, signature, args):
        out, x, offsets, r = (data_of(context, builder, signature, args, place) for place in (0, 2, 3, 5))
        out, r = builder.gep(out, [args[1]]), builder.gep(r, [args[6]])
        weights = Weights(builder, rows_of(builder, x, offsets, args[4], count), r)

        def add(offset):
            before = from_rows(builder, out, offset, 0, FEATURES) if added else NOTHING
            to_rows(builder, weights.onto(before, offset), out, offset)

        each_entry(builder, add)
        return context.get_dummy_value()

    return types.none(out, out_at, features, rows, first, residual, of, samples, more), codegen


def values_of(v, theta):
    """What parameters make of one vector of each: values, by which features are multiplied."""
    return [row[0] for row in evaluate(v, VALUE, [[vector] for vector in theta])]


def moved(v, state, offset, combined, rates, part, shift):
    """The end of a step for one vector of entries: puts theta after it, adds to sums, and returns its values."""
    builder, source, to = v.builder, SPACE * (part == SECOND), SPACE * (part == FIRST)
    before = from_rows(builder, state, offset, source, len(RATES))
    after = evaluate(v, END, [[vector] for vector in (*before, *combined, *rates)])
    if part == SECOND:
        theta = zip(from_rows(builder, state, offset, 0, len(RATES)), before)
        for m, (pair, mean) in enumerate(zip(theta, from_rows(builder, shift, offset, 0, len(RATES)))):
            a, b = (builder.fsub(vector, mean) for vector in pair)
            total, square = (at_row(builder, state, offset, first, m) for first in (SUMS, SUMS + SPACE))
            builder.store(builder.fadd(builder.load(total, align=8), builder.fadd(a, b)), total, align=8)
            squares = multiply_add(builder, a, a, builder.load(square, align=8))
            builder.store(multiply_add(builder, b, b, squares), square, align=8)
    after = [row[0] for row in after]
    to_rows(builder, after, state, offset, to)
    return values_of(v, after)


def rates_of(builder, rate):
    """The learning rate times the number in front of each parameter's gradient."""
    return [filled(builder, builder.fmul(rate, rate.type(factor))) for factor in RATES]


@intrinsic
def set_values(typing_context, state, at):
    """The values of a replica's parameters."""

    def codegen(context, builder, signature, args):
        v, state = Lanes(builder, context), builder.gep(data_of(context, builder, signature, args, 0), [args[1]])

        def fill(offset):
            to_rows(builder, values_of(v, from_rows(builder, state, offset, 0, len(RATES))), state, offset, VALUES)

        each_entry(builder, fill)
        return context.get_dummy_value()

    return types.none(state, at), codegen


@intrinsic(prefer_literal=True)
def end(typing_context, state, at, scratch, begin, rate, part, shift):
    """The rest of a step, from the sum over its samples that stands in `scratch`."""
    how = part.literal_value

    def codegen(context, builder, signature, args):
        state, scratch = (builder.gep(data_of(context, builder, signature, args, p), [args[p + 1]]) for p in (0, 2))
        center = None if how != SECOND else data_of(context, builder, signature, args, 6)
        v, rates = Lanes(builder, context), rates_of(builder, args[4])

        def finish(offset):
            combined = from_rows(builder, scratch, offset, 0, FEATURES)
            to_rows(builder, moved(v, state, offset, combined, rates, how, center), state, offset, VALUES)

        each_entry(builder, finish)
        return context.get_dummy_value()

    return types.none(state, at, scratch, begin, rate, part, shift), codegen


@intrinsic(prefer_literal=True)
def turn(typing_context, state, at, features, rows, first, following, target, residual, to, rate, part, shift):
    """The rest of a step of four samples, drawn from `first` on, and the residuals of those from `following` on."""
    how = part.literal_value

    def codegen(context, builder, signature, args):
        state, x, offsets, y, r = (data_of(context, builder, signature, args, place) for place in (0, 2, 3, 6, 7))
        state, r = builder.gep(state, [args[1]]), builder.gep(r, [args[8]])
        center = None if how != SECOND else data_of(context, builder, signature, args, 11)
        rates, weights = rates_of(builder, args[9]), Weights(builder, rows_of(builder, x, offsets, args[4], 4), r)
        v, products = Lanes(builder, context), Products(builder, rows_of(builder, x, offsets, args[5], 4))

        def both(offset):
            combined = weights.onto(NOTHING, offset)
            products.add(moved(v, state, offset, combined, rates, how, center), offset)

        each_entry(builder, both)
        products.less(builder.gep(y, [args[5]]), r)
        return context.get_dummy_value()

    return types.none(state, at, features, rows, first, following, target, residual, to, rate, part, shift), codegen
