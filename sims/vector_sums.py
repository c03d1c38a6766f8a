"""The shifted sums of moments that a generated module hands out, and what it adds to them every so many steps.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .kernel_vector import LENGTH
from .lanes import LANES
from .vector_list import GROUPS, INDEX, load, place, spread, store
from .vector_pass import vector_pass

PARAMETERS, STATISTICS, SUMMED, ALL_PAIRS = 1, 2, LANES, True  # each module has its own

__all__ = ["flush"]


@vector_pass
def flush(v, raw, held, sums, shift):
    """Add the raw sums over `held` steps to the shifted ones, and clear them.

    So few steps are held that a second moment is right to about one ulp of theta^2, however many steps there are.
    """
    builder = v.builder
    together = min(GROUPS, SUMMED // LENGTH)  # vectors of a row
    steps = builder.sitofp(builder.mul(held, INDEX(LANES // SUMMED)), ir.DoubleType())

    def spread_row(number):
        return spread(v, number)[:1] * together

    def row_of(data, number, width, first):
        at = place(v, data, builder.mul(number, INDEX(width)), first)
        return at, [load(v, at, k * LENGTH) for k in range(together)]

    def add(number, first, row):
        at, before = row_of(sums, number, LANES, first)
        for k, value in enumerate(v.add(before, row)):
            store(v, value, at, k * LENGTH)

    def raw_and_mean(j, first):
        return row_of(raw, j, SUMMED, first)[1], spread_row(builder.load(place(v, shift, j)))

    number = cgutils.alloca_once(builder, INDEX)
    held = spread_row(steps)
    with cgutils.for_range(builder, INDEX(SUMMED // LENGTH // together)) as part:
        first = builder.mul(part.index, INDEX(together * LENGTH))
        builder.store(INDEX(PARAMETERS), number)
        with cgutils.for_range(builder, INDEX(PARAMETERS)) as j:
            a, mean_j = raw_and_mean(j.index, first)
            add(j.index, first, v.sub_multiply(a, held, mean_j))
            end = INDEX(PARAMETERS) if ALL_PAIRS else builder.add(j.index, INDEX(1))
            with cgutils.for_range(builder, end, start=j.index) as i:
                b, mean_i = raw_and_mean(i.index, first)
                pair = builder.load(number)
                product = v.sub_multiply(row_of(raw, pair, SUMMED, first)[1], mean_i, a)
                add(pair, first, v.sub_multiply(product, mean_j, v.sub_multiply(b, held, mean_i)))
                builder.store(builder.add(pair, INDEX(1)), number)
    cgutils.memset(builder, raw, INDEX(8 * STATISTICS * SUMMED), 0)
