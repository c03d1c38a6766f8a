"""Passes of the generated module for the linear process over its replicas (`linear_kernel`).

What stands below `__all__` is copied into that module.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from numba.core import cgutils

from .lanes import LANES
from .vector_list import GROUPS, INDEX, Cells, each_group, load_rows, place, spread, store_rows
from .vector_lookup import entries_of
from .vector_math import WORDS
from .vector_pass import vector_pass

__all__ = ["add_bent", "add_counted", "add_drawn", "add_product", "add_same", "apply"]


def row_at(v, data, row):
    """Where a row of replicas begins."""
    return place(v, data, v.builder.mul(row, INDEX(LANES)))


def add_to(v, row, base, a, b):
    """Add a product to a row."""
    store_rows(v, row, base, [v.multiply_add(a, b, load_rows(v, row, base, 1)[0])])


def entry(v, data, *offsets):
    """An entry, the same for all replicas."""
    return spread(v, v.builder.load(place(v, data, *offsets)))


def with_slope(v, z, base, start, weight, r):
    """start + g . z, weight(c) entry c of g."""
    total = Cells(v, [start])
    with cgutils.for_range(v.builder, r) as loop:
        (row,) = load_rows(v, row_at(v, z, loop.index), base, 1)
        total.put([v.multiply_add(weight(loop.index), row, total.get()[0])])
    return total.get()[0]


def push(v, z, t, change, base, residual, weight, bend, r, m):
    """Add what the residual of a sample moves: residual g, and residual F z along Gamma; bend(a, c) entries of F."""
    builder = v.builder
    with cgutils.for_range(builder, r) as loop:
        c = loop.index
        add_to(v, row_at(v, change, c), base, weight(c), residual)
        (row,) = load_rows(v, row_at(v, z, c), base, 1)
        with cgutils.for_range(builder, m) as inner:
            add_to(v, row_at(v, t, inner.index), base, v.mul(bend(inner.index, c), residual), row)


def rows_of_sample(v, g, second, i, r, m):
    """The entries of g and F of the same sample i in every replica."""
    builder = v.builder
    first, bent = builder.mul(i, r), builder.mul(i, builder.mul(m, r))

    def bend(a, c):
        return entry(v, second, bent, builder.mul(a, r), c)

    return lambda c: entry(v, g, first, c), bend


@vector_pass
def add_same(v, z, t, change, noise, i, g, second, r, m):
    """Add what the same sample i contributes in every replica."""
    weight, bend = rows_of_sample(v, g, second, i, r, m)

    def group(base):
        (eps,) = load_rows(v, noise, base, 1)
        residual = with_slope(v, z, base, v.neg(eps), weight, r)
        push(v, z, t, change, base, residual, weight, bend, r, m)

    each_group(v, group)


@vector_pass
def add_drawn(v, z, t, change, noise, index, g, second, r, m):
    """Add what the sample that each replica drew contributes."""
    builder = v.builder

    def group(base):
        (samples,), (eps,) = load_rows(v, index, base, 1, kind=WORDS), load_rows(v, noise, base, 1)
        first = v.each(builder.mul, samples, spread(v, r))
        bent = v.each(builder.mul, samples, spread(v, builder.mul(m, r)))

        def weight(c):
            return [entries_of(v, place(v, g, c), at) for at in first]

        def bend(a, c):
            return [entries_of(v, place(v, second, builder.mul(a, r), c), at) for at in bent]

        residual = with_slope(v, z, base, v.neg(eps), weight, r)
        push(v, z, t, change, base, residual, weight, bend, r, m)

    each_group(v, group)


@vector_pass
def add_counted(v, y, t, change, count, noise, i, row, g, second, r, m, forces, classes, flip):
    """Add what a row of sample i contributes with its count and its number of flips, or of draws of each class."""
    builder = v.builder
    weight, bend = rows_of_sample(v, g, second, row, r, m)
    mean, before, more = (entry(v, flip, k) for k in range(3))
    first = builder.mul(i, classes)

    def group(base):
        (drawn,), (flips,) = (load_rows(v, row_at(v, data, at), base, 1) for data, at in ((count, i), (noise, first)))
        slope = with_slope(v, y, base, [v.number(0.0)] * GROUPS, weight, r)
        residual = Cells(v, [v.mul(v.multiply_add(drawn, before, v.mul(flips, more)), slope)])
        with cgutils.for_range(builder, classes) as loop:
            force = entry(v, forces, builder.mul(row, classes), loop.index)
            (number,) = load_rows(v, row_at(v, noise, builder.add(first, loop.index)), base, 1)
            excess = v.sub_multiply(number, mean, drawn)
            residual.put([v.multiply_add(excess, force, residual.get()[0])])
        push(v, y, t, change, base, residual.get()[0], weight, bend, r, m)

    each_group(v, group)


@vector_pass
def add_bent(v, t, y, normal, bent, j, d, r, m):
    """Add what a normal number of gradient noise moves along Gamma, since its covariance changes with theta."""
    builder = v.builder

    def group(base):
        (number,) = load_rows(v, row_at(v, normal, j), base, 1)
        with cgutils.for_range(builder, m) as outer, cgutils.for_range(builder, r) as loop:
            at = builder.mul(builder.add(builder.mul(outer.index, r), loop.index), d)
            (row,) = load_rows(v, row_at(v, y, loop.index), base, 1)
            add_to(v, row_at(v, t, outer.index), base, v.mul(entry(v, bent, at, j), row), number)

    each_group(v, group)


@vector_pass
def add_product(v, to, matrix, columns, row_count, column_count, factor):
    """Add a multiple of matrix times columns to rows."""
    builder, factor = v.builder, spread(v, factor)

    def group(base):
        with cgutils.for_range(builder, row_count) as loop:
            row, first = row_at(v, to, loop.index), builder.mul(loop.index, column_count)
            (start,) = load_rows(v, row, base, 1)

            def weight(b):
                return v.mul(factor, entry(v, matrix, first, b))

            store_rows(v, row, base, [with_slope(v, columns, base, start, weight, column_count)])

    each_group(v, group)


@vector_pass
def apply(v, z, change, rate, r):
    """Take the step, and clear the change."""
    rate = spread(v, rate)

    def group(base):
        with cgutils.for_range(v.builder, r) as loop:
            rows = [row_at(v, data, loop.index) for data in (z, change)]
            (state,), (moved,) = (load_rows(v, row, base, 1) for row in rows)
            store_rows(v, rows[0], base, [v.sub_multiply(state, rate, moved)])
            store_rows(v, rows[1], base, [[v.number(0.0)] * GROUPS])

    each_group(v, group)
