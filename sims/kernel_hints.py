"""What generated kernels tell the compiler about their hot loops; the text is copied into every generated module."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

__all__ = ["heat", "hot", "widen"]


@intrinsic
def hot(typing_context):
    """Tell LLVM about the function that begins with this: its loops are hot and its arrays do not overlap.

    Without it, vectors have half the width on some processors, spilled registers are not aligned (at random, 15 to 40
    percent of the speed), and every loop begins with a comparison of all pairs of arrays.
    """

    def codegen(context, builder, signature, args):
        heat(builder.function)
        return context.get_dummy_value()

    return types.none(), codegen


def heat(function):
    """What `hot` tells about a function of LLVM."""
    set.add(function.attributes, "noinline")
    function.attributes.alignstack = 64
    widen(function)


def widen(function):
    """Tell that vectors have the full width, and that arrays do not overlap (Numba says so of where results go)."""
    set.add(function.attributes, '"prefer-vector-width"="512"')  # llvmlite knows no attributes with values
    for argument in function.args:
        if str(argument.type) in ("double*", "i64*"):
            argument.add_attribute("noalias")
