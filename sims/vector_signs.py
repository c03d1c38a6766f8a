"""Full batches of a generated module whose label noise has two values: bits of one word are the signs of many steps.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import functools

from llvmlite import ir
from numba.core import cgutils

from .kernel_vector import LENGTH, VECTOR, shuffled
from .lanes import LANES
from .vector_list import (
    COLUMNS,
    GROUPS,
    INDEX,
    Cells,
    D,
    apart,
    each_group,
    evaluate,
    joined,
    load,
    load_rows,
    outside,
    place,
    spread,
    store,
    store_rows,
)
from .vector_lookup import permuted
from .vector_math import WORDS
from .vector_moments import take_steps
from .vector_pass import vector_pass

# Each module has its own.
N, SIGNS = 1, ""

__all__ = ["label_pass", "signs_pass"]

# With eight numbers in a vector a label is looked up in its table by three bits, of which one is the sign's. With four
# it is loaded from the table of all choices of four signs: the units that shift and permute multiply as well.
BITS = 3
if LENGTH == 8:
    CHOICES = [[k + 8 * (k >> bit & 1) for k in range(8)] for bit in range(BITS)]
else:
    CHOICES = [[k + LENGTH * (signs >> k & 1) for k in range(LENGTH)] for signs in range(1 << LENGTH)]

SQUARES = range(0, LANES, 64)


@vector_pass
def label_pass(v, labels, y, sigma, rate):
    """The learning rate times y + sigma and y - sigma of each sample, in vectors of all `CHOICES` of these two."""
    builder = v.builder
    with cgutils.for_range(builder, INDEX(N)) as loop:
        target, size = (builder.load(place(v, data, loop.index)) for data in (y, sigma))
        both = (v.mul([rate], noisy)[0] for noisy in (v.add([target], [size]), v.sub([target], [size])))
        above, below = (spread(v, label)[0] for label in both)
        for c, entries in enumerate(CHOICES):
            at = builder.mul(loop.index, INDEX(len(CHOICES) * LENGTH))
            store(v, shuffled(builder, above, below, entries), labels, at, c * LENGTH)


@vector_pass
def signs_pass(v, theta, words, labels, rate, phase, steps, raw):
    """Full batches of all samples' formulas in one list, with the signs in the last word from step `phase` on."""
    rate, alone = spread(v, rate), apart(v, SIGNS)
    labels_from = (permuted_labels if v.wide else loaded_labels)(v, place(v, words, 4 * LANES), labels, phase)

    def group(base):
        state, taken = Cells(v, load_rows(v, theta, base, D)), labels_from(base)

        def some(count, keep):
            for entries in taken(count):
                rows, after = [*state.get(), *entries, rate], []
                for part in [[[a] for a in vectors] for vectors in zip(*rows)] if alone else [rows]:
                    found = evaluate(v, SIGNS, part)
                    keep(part[:D], found[D:])
                    after.append(v.finished(found[:D]) if alone else found[:D])
                state.put(joined(after))

        # As many steps as a shift of the words has signs for, or so many that of the steps of a word none is left over.
        several = BITS if v.wide else 3 if N == 3 else 4
        unit = several if N <= 4 else 1
        take_steps(v, steps, unit, some, raw, base)
        store_rows(v, theta, base, state.get())

    each_group(v, group)


def permuted_labels(v, last, labels, phase):
    """For a group of replicas: the labels of all samples in the next steps, by bits of the words `last`."""
    tables = [[[load(v, labels, (BITS * i + bit) * LENGTH)] * GROUPS for bit in range(BITS)] for i in range(N)]

    def of_group(base):
        (begun,) = load_rows(v, last, base, 1, kind=WORDS)
        word = Cells(v, [v.right(begun, spread(v, v.builder.mul(phase, INDEX(N))))])

        def taken(count):
            ((now),) = word.get()
            used = 0
            for _ in range(count):
                entries = []
                for i in range(N):
                    entries.append(permuted(v, tables[i][used], now))
                    used += 1
                    if used == BITS:
                        now, used = v.right(now, BITS), 0
                yield entries
            word.put([v.right(now, used) if used else now])

        return taken

    return of_group


def loaded_labels(v, last, labels, phase):
    """What `permuted_labels` gives, from the tables' vectors of all choices of signs."""
    builder = v.builder
    chosen = choices_of(v, last)

    def of_group(base):
        # Vectors side by side are all even or all odd: COLUMNS is a multiple of two vectors.
        half = builder.mul(builder.and_(base, INDEX(LENGTH)), INDEX(8 * 64 // LENGTH))
        first = builder.add(half, builder.lshr(base, INDEX(3)))
        turn = cgutils.alloca_once_value(builder, builder.add(first, builder.mul(phase, INDEX(8 * N))))

        def label(at, number, i, g):
            square, lane = divmod(COLUMNS * g, 64)
            choice = builder.zext(builder.load(place(v, chosen, at, 1024 * square + 8 * number + lane // 8)), INDEX)
            vector = place(v, labels, i * len(CHOICES) * LENGTH, choice)
            return builder.load(builder.bitcast(vector, VECTOR.as_pointer()), align=8 * LENGTH)

        def taken(count):
            at = builder.load(turn)
            for k in range(count):
                yield [[label(at, k * N + i, i, g) for g in range(GROUPS)] for i in range(N)]
            builder.store(builder.add(at, INDEX(8 * N * count)), turn)

        return taken

    return of_group


def choices_of(v, last):
    """Bytes: for each bit of the words `last`, lowest first, where in a table the choice of a vector of replicas is.

    Of 64 words, eight bytes for a bit: first of vectors 0, 2, 4 and so on in all bits, then of vectors 1, 3, 5.
    """
    chosen = cgutils.alloca_once(v.builder, INDEX, size=INDEX(2 * 64 * len(SQUARES)))
    chosen.align = 64
    outside(v, write_choices, last, chosen)
    return v.builder.bitcast(chosen, ir.IntType(8).as_pointer())


def write_choices(v, last, chosen):
    """Transpose the squares of bits of 64 words; then each four bits are a choice, in a byte of its own."""
    for number, first in enumerate(SQUARES):
        lanes = range(first, first + 64, LENGTH)
        rows = [[load(v, last, k, kind=WORDS) if k < LANES else v.number(0)] for k in lanes]
        by = 32
        while by:
            step = max(by // LENGTH, 1)
            for k in range(len(rows)):
                if not k & step:
                    rows[k], rows[k + step] = exchanged_bits(v, rows[k], rows[k + step], by)
            by //= 2
        for k, row in enumerate(rows):
            for half, moved in enumerate((v.left(row, 2), v.right(row, 2))):
                (value,) = v.each(v.builder.and_, moved, 0x3C3C3C3C3C3C3C3C)
                store(v, value, chosen, 64 * (2 * number + half) + LENGTH * k)


def exchanged_bits(v, low, high, by):
    """Words `by` apart, the upper half of each 2 `by` bits of the first and the lower one of the other exchanged."""
    builder = v.builder
    # Words so near to each other are in one vector: two vectors exchange what makes them stand apart, and back.
    near = {1: ([0, 4, 2, 6], [1, 5, 3, 7]), 2: ([0, 1, 4, 5], [2, 3, 6, 7])}.get(by)
    both = functools.partial(shuffled, builder)
    if near:
        low, high = [v.each(both, low, high, places=places) for places in near]
    mask = sum(((1 << by) - 1) << at for at in range(0, 64, 2 * by))
    moved = v.each(builder.and_, v.each(builder.xor, v.right(low, by), high), mask)
    low, high = v.each(builder.xor, low, v.left(moved, by)), v.each(builder.xor, high, moved)
    if near:
        low, high = [v.each(both, low, high, places=places) for places in near]
    return low, high
