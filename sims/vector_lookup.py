"""What draws look up in a generated module whose passes are intrinsics: inputs and noisy targets of samples.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir

from .kernel_vector import LENGTH, VECTOR, cpu_has, shuffled
from .vector_list import GROUPS, INDEX, INDEX32, Cells, load, place, spread

INPUTS = 1  # each module has its own

__all__ = ["looked_up", "permuted", "signed_labels"]


def signed_labels(v, word, pairs, offset):
    """y + sigma or y - sigma, by the lowest bit of a word."""
    two = ir.VectorType(ir.DoubleType(), 2)
    pair = v.builder.load(v.builder.bitcast(place(v, pairs, offset), two.as_pointer()), align=8)
    if v.wide:
        return permuted(v, spread(v, pair), word)
    if v.picks:
        # One of each pair by the second bit of a word.
        return v.call("llvm.x86.avx.vpermilvar.pd.256", spread(v, pair), v.left(word, 1))
    above, below = (spread(v, v.builder.extract_element(pair, INDEX32(k))) for k in (0, 1))
    odd = v.each(lambda w: v.builder.trunc(w, ir.VectorType(ir.IntType(1), LENGTH)), word)
    return v.each(v.builder.select, odd, below, above)


def permuted(v, table, word):
    """The entries of a vector whose numbers are the low three bits of words."""
    return v.call("llvm.x86.avx512.permvar.df.512", table, word)


def looked_up(v, pairs, n, width, at):
    """Inputs and y + noise of the samples that were drawn: rows of `pairs`, at twice the index plus the sign's bit."""
    builder = v.builder
    rows = [place(v, pairs, builder.mul(width, INDEX(c))) for c in range(INPUTS + 1)]

    def gathered():
        return [[entries_of(v, row, index) for index in at] for row in rows]

    few = from_two if v.wide else from_eight if cpu_has("avx2") else None
    if few is None:
        return gathered()
    found = Cells(v, [[v.number(0.0)] * GROUPS for _ in rows])
    with builder.if_else(builder.icmp_unsigned("<=", n, INDEX(8 if v.wide else 4))) as (in_registers, in_memory):
        with in_registers:
            found.put([few(v, row, at) for row in rows])
        with in_memory:
            found.put(gathered())
    return found.get()


def from_two(v, row, at):
    """Entries of two vectors of eight."""
    return v.call("llvm.x86.avx512.vpermi2var.pd.512", [load(v, row)] * GROUPS, at, [load(v, row, 8)] * GROUPS)


def from_eight(v, row, at):
    """Entries of two vectors of four: their low and their high halves, each a vector of eight numbers of 32 bits."""
    halves, numbers = ir.VectorType(ir.FloatType(), 16), ir.VectorType(INDEX32, 8)
    table = v.builder.load(v.builder.bitcast(row, halves.as_pointer()), align=8)
    low, high = ([shuffled(v.builder, table, table, range(first, 16, 2))] * GROUPS for first in (0, 1))
    both = v.each(lambda index: v.builder.bitcast(index, numbers), at)
    both = v.each(lambda index: shuffled(v.builder, index, index, [0, 0, 2, 2, 4, 4, 6, 6]), both)
    low, high = (v.call("llvm.x86.avx2.permps", entries, both) for entries in (low, high))
    merged = v.each(lambda a, b: shuffled(v.builder, a, b, [0, 9, 2, 11, 4, 13, 6, 15]), low, high)
    return v.each(lambda value: v.builder.bitcast(value, VECTOR), merged)


def entries_of(v, data, index):
    """Entries anywhere in an array."""
    value = ir.Constant(VECTOR, ir.Undefined)
    for k in range(LENGTH):
        at = v.builder.extract_element(index, INDEX32(k))
        value = v.builder.insert_element(value, v.builder.load(v.builder.gep(data, [at])), INDEX32(k))
    return value
