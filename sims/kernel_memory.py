"""Arrays of a generated module, in one piece of memory that NumPy makes: Numba takes a second to compile how.

What stands below `__all__` is copied into every generated module.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

__all__ = ["clear", "copy", "numbers_at", "words_at"]


def array_at(element):
    """An intrinsic for the array of so many elements of 8 bytes that begins so far into `space`."""

    @intrinsic
    def at(typing_context, space, first, count):
        kind = types.Array(element, 1, "C")

        def codegen(context, builder, signature, args):
            memory, begin, size = args
            data = builder.gep(context.make_array(space)(context, builder, memory).data, [begin])
            found = context.make_array(kind)(context, builder)
            data, width = builder.bitcast(data, found.data.type), ir.IntType(64)(8)
            arrayobj.populate_array(found, data=data, shape=[size], strides=[width], itemsize=width, meminfo=None)
            return found._getvalue()

        return kind(space, types.int64, types.int64), codegen

    return at


numbers_at, words_at = array_at(types.float64), array_at(types.uint64)


@intrinsic
def copy(typing_context, array, to, row):
    """Copy every entry to where so many arrays of this size have room before it."""

    def codegen(context, builder, signature, args):
        source, target = (context.make_array(kind)(context, builder, a) for kind, a in zip((array, to), args))
        begin = builder.gep(target.data, [builder.mul(args[2], source.nitems)])
        cgutils.raw_memcpy(builder, begin, source.data, source.nitems, ir.IntType(64)(8))
        return context.get_dummy_value()

    return types.none(array, to, types.int64), codegen


@intrinsic
def clear(typing_context, array):
    """Make every entry zero."""

    def codegen(context, builder, signature, args):
        found = context.make_array(array)(context, builder, args[0])
        cgutils.memset(builder, found.data, builder.mul(found.nitems, ir.IntType(64)(8)), 0)
        return context.get_dummy_value()

    return types.none(array), codegen
