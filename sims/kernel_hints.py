"""What generated kernels tell the compiler about their hot loops; the text is copied into every generated module."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import inspect

from numba import types
from numba.extending import intrinsic

__all__ = ["SOURCE", "heat", "hot"]


@intrinsic
def hot(typing_context):
    """Tell LLVM about the function that begins with this: its loops are hot and its arrays do not overlap.

    Without it, vectors have half the width on some processors, spilled registers are not aligned (at random, 15 to 40
    percent of the speed), and every loop begins with a comparison of all pairs of arrays.
    """

    def codegen(context, builder, signature, args):
        heat(builder.function, [argument for argument in builder.function.args if argument.name.startswith("arg.")])
        return context.get_dummy_value()

    return types.none(), codegen


def heat(function, arguments):
    """What `hot` tells about a function of LLVM and its arguments."""
    set.add(function.attributes, "noinline")
    set.add(function.attributes, '"prefer-vector-width"="512"')  # llvmlite knows no attributes with values
    function.attributes.alignstack = 64
    for argument in arguments:
        if str(argument.type) in ("double*", "i64*"):
            argument.add_attribute("noalias")


SOURCE = inspect.getsource(hot._defn) + "\n\n" + inspect.getsource(heat)
