"""Passes of a generated module over its replicas for steps that go over all samples (`counted_layouts`).

What stands below `__all__` is copied into the generated modules that need it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from numba.core import cgutils

from .lanes import LANES
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
from .vector_moments import add_moments
from .vector_pass import vector_pass

# Each module has its own.
INPUTS, N, KICKS, PARAMETERS, OUTPUTS = 1, 1, 0, 1, 1
SAMPLE = UPDATE = STEP = ""

__all__ = ["batch_pass", "kicked_pass", "samples_pass"]


@vector_pass
def samples_pass(v, theta, total, count, noise, x, y, n):
    """The total gradient of all samples."""
    builder = v.builder

    def group(base):
        now, sums = load_rows(v, theta, base, D), Cells(v, [[v.number(0.0)] * GROUPS] * PARAMETERS)
        with cgutils.for_range(builder, n) as loop:
            first, row = builder.mul(loop.index, INDEX(INPUTS)), builder.mul(loop.index, INDEX(LANES))
            inputs = [spread(v, builder.load(place(v, x, first, c))) for c in range(INPUTS)]
            label = spread(v, builder.load(place(v, y, loop.index)))
            drawn = load_rows(v, place(v, count, row), base, 1)
            drawn += load_rows(v, place(v, noise, builder.mul(row, INDEX(OUTPUTS))), base, OUTPUTS)
            sums.put(evaluate(v, SAMPLE, [*now, *inputs, label, *drawn], sums.get()))
        store_rows(v, total, base, sums.get())

    each_group(v, group)


@vector_pass
def kicked_pass(v, theta, total, kick, amplitude, rate, raw):
    """Update every replica by its total."""
    last = [spread(v, amplitude), spread(v, rate)]

    def group(base):
        if raw is not None:
            add_moments(v, raw, base, load_rows(v, theta, base, D))
        given = [(theta, D), (total, PARAMETERS), (kick, KICKS)]
        rows = [row for array, size in given for row in load_rows(v, array, base, size)]
        store_rows(v, theta, base, evaluate(v, UPDATE, [*rows, *last]))

    each_group(v, group)


@vector_pass
def batch_pass(v, theta, count, noise, kick, x, y, amplitude, rate, raw):
    """One step with all samples' formulas in one list."""
    builder = v.builder
    data = [
        [
            spread(v, builder.load(place(v, y, i))),
            *(spread(v, builder.load(place(v, x, i * INPUTS + c))) for c in range(INPUTS)),
        ]
        for i in range(N)
    ]
    last = [spread(v, amplitude), spread(v, rate)]

    def group(base):
        if raw is not None:
            add_moments(v, raw, base, load_rows(v, theta, base, D))
        counted, noisy = load_rows(v, count, base, N), load_rows(v, noise, base, N * OUTPUTS)
        rows = [[counted[i], *noisy[i * OUTPUTS : (i + 1) * OUTPUTS], *data[i]] for i in range(N)]
        entries = [entry for row in rows for entry in row]
        given = [*load_rows(v, theta, base, D), *entries, *load_rows(v, kick, base, KICKS), *last]
        store_rows(v, theta, base, evaluate(v, STEP, given))

    each_group(v, group)
