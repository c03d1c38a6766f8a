"""Sums of the moments of all steps, and the loop over steps that takes them.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import functools

from llvmlite import ir
from numba.core import cgutils

from .kernel_vector import LENGTH
from .vector_list import COLUMNS, GROUPS, INDEX, Cells, D, load, outside, place, store

PARAMETERS, MONOMIALS, PRODUCTS = 1, ((0,), (0, 0)), ()  # each module has its own

__all__ = ["add_moments", "take_steps"]


def added(v, sums, monomials):
    """The sums, each one vector, with factors whose vectors stand side by side; their own sums where there are none."""
    sums = list(sums) or [None] * len(monomials)
    for m, rows in enumerate(monomials):
        for vectors in zip(*rows):
            factors = [[vector] for vector in vectors]
            if sums[m] is None:
                (sums[m],) = v.mul(*factors) if len(factors) == 2 else factors[0]
            else:
                (sums[m],) = (v.multiply_add if len(factors) == 2 else v.add)(*factors, [sums[m]])
    return sums


def add_moments(v, raw, base, theta):
    """Add the moments of rows of replicas to the sums that they share."""
    for m, own in enumerate(added(v, [], [[theta[j] for j in m] for m in MONOMIALS])):
        (total,) = v.add([load(v, raw, base, m * COLUMNS)], [own])
        store(v, total, raw, base, m * COLUMNS)


def registers(v):
    """Vectors that registers hold while one or two are left for results."""
    return 30 if v.wide else 15


def in_registers(v):
    """Numbers of the monomials, in blocks whose sums and parameters have a register each.

    Products first, of few parameters, and no more than keep the multiplying units busy while sums wait for themselves
    where registers are few; then parameters themselves.
    """
    most = len(MONOMIALS) if v.wide else 8
    products = sorted((m for m, pair in enumerate(MONOMIALS) if len(pair) == 2), key=lambda m: MONOMIALS[m][::-1])
    blocks, alone = [], [m for m, pair in enumerate(MONOMIALS) if len(pair) == 1]
    while products or alone:
        block = []
        for m in [*products[:most], *alone]:
            if len(block) + 1 + len(parameters_of([*block, m])) <= registers(v):
                block.append(m)
        blocks.append(block)
        products, alone = ([m for m in left if m not in block] for left in (products, alone))
    return blocks


def parameters_of(block):
    """The parameters in a block of monomials."""
    return sorted({j for m in block for j in MONOMIALS[m]})


def with_vector(v, sums, block, buffer, number):
    """The sums of a block of monomials with a vector of each parameter, number so many in the buffer."""
    at = v.builder.mul(number, INDEX(D * LENGTH))
    theta = {j: [load(v, buffer, at, j * LENGTH)] for j in parameters_of(block)}
    return added(v, sums, [[theta[j] for j in MONOMIALS[m]] for m in block])


def add_kept(v, raw, buffer, count):
    """Add the moments of `count` vectors of each parameter, which stand together in a buffer, few at a time."""
    builder = v.builder
    for block in in_registers(v):
        # Few sums wait for themselves: several of each then take turns.
        room = registers(v) - len(parameters_of(block))
        turns = max(t for t in (1, 2, 4) if t == 1 or t * len(block) <= room)
        begin = [load(v, raw, m * COLUMNS) for m in block]
        sums = Cells(v, [begin, *[[v.number(0.0)] * len(block)] * (turns - 1)])
        rounds, left = builder.udiv(count, INDEX(turns)), builder.urem(count, INDEX(turns))
        with cgutils.for_range(builder, rounds) as loop:
            first = builder.mul(loop.index, INDEX(turns))
            sums.put(
                [with_vector(v, row, block, buffer, builder.add(first, INDEX(k))) for k, row in enumerate(sums.get())]
            )
        if turns > 1:
            first = builder.sub(count, left)
            with cgutils.for_range(builder, left) as loop:
                row, *others = sums.get()
                sums.put([with_vector(v, row, block, buffer, builder.add(first, loop.index)), *others])
        total = functools.reduce(v.add, sums.get())
        for m, value in zip(block, total):
            store(v, value, raw, m * COLUMNS)


def take_steps(v, steps, unit, some, raw, base, width=GROUPS):
    """`steps` steps, `unit` at a time: some(count, keep) takes `count`, and keeps the state before each.

    keep(rows, products) takes vectors of the state, and of `PRODUCTS` where those are at hand: of `width` vectors in
    each step, in one call or in several.
    """
    builder = v.builder

    def loops(number, keep):
        with cgutils.for_range(builder, builder.udiv(number, INDEX(unit))):
            some(unit, keep)
        if unit > 1:
            with cgutils.for_range(builder, builder.urem(number, INDEX(unit))):
                some(1, keep)

    if raw is None:
        loops(steps, lambda rows, products=(): None)
        return
    if len(MONOMIALS) <= (9 if v.wide else 5):
        # The sums fill the time in which a step waits for its results, if there are registers for them.
        sums = Cells(v, [[load(v, raw, base, m * COLUMNS) for m in range(len(MONOMIALS))]])
        parts, missing = [], width

        def add(rows, products=()):
            nonlocal parts, missing
            known = dict(zip(PRODUCTS, products))
            monomials = [[known[m]] if m in known else [rows[j] for j in m] for m in MONOMIALS]
            if v.wide:
                # Sums and products share two units: an addition less counts for more than what a sum waits for.
                sums.put([added(v, sums.get()[0], monomials)])
                return
            # The parts of a step are added up first: its sum is then ready for the next one after one addition.
            parts, missing = added(v, parts, monomials), missing - len(rows[0])
            if not missing:
                sums.put([v.add(sums.get()[0], parts)])
                parts, missing = [], width

        loops(steps, add)
        for m, total in enumerate(*sums.get()):
            store(v, total, raw, base, m * COLUMNS)
        return
    # theta goes to a small buffer, so that the sums need registers only now and then.
    size = LENGTH * width * D
    most = max(1, min(64, 2048 // size) // unit) * unit
    buffer = cgutils.alloca_once(builder, ir.DoubleType(), size=INDEX(most * size))
    buffer.align = 64  # a vector that crosses a cache line is stored and loaded twice
    left, filled = (cgutils.alloca_once_value(builder, start) for start in (steps, INDEX(0)))

    def keep(rows, products=()):
        at = builder.load(filled)
        for j, row in enumerate(rows):
            for g, value in enumerate(row):
                store(v, value, buffer, at, (g * D + j) * LENGTH)
        builder.store(builder.add(at, INDEX(len(rows[0]) * D * LENGTH)), filled)

    chunks = builder.udiv(builder.add(steps, INDEX(most - 1)), INDEX(most))
    with cgutils.for_range(builder, chunks):
        many = builder.icmp_unsigned("<", builder.load(left), INDEX(most))
        count = builder.select(many, builder.load(left), INDEX(most))
        builder.store(builder.sub(builder.load(left), count), left)
        builder.store(INDEX(0), filled)
        loops(count, keep)
        outside(v, add_kept, place(v, raw, base), buffer, builder.mul(count, INDEX(width)))
