"""Intrinsics of a generated module that pass over its replicas.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import inspect

from numba import types
from numba.extending import intrinsic

from .vector_math import Lanes

__all__ = ["vector_pass"]


def pointers(context, builder, signature, args):
    """The arguments, arrays by where they begin."""
    given = []
    for kind, value in zip(signature.args, args):
        if isinstance(kind, types.Array):
            value = context.make_array(kind)(context, builder, value).data
        elif isinstance(kind, types.Float):
            value = context.cast(builder, value, kind, types.float64)
        elif isinstance(kind, types.Integer):
            value = context.cast(builder, value, kind, types.int64)
        given.append(None if isinstance(kind, types.NoneType) else value)
    return given


def vector_pass(emit):
    """An intrinsic for emit(v, *arguments)."""

    def typing(typing_context, *given):
        def codegen(context, builder, signature, args):
            emit(Lanes(builder, context), *pointers(context, builder, signature, args))
            return context.get_dummy_value()

        return types.none(*given), codegen

    # Numba gives each argument of the signature; a starred one would be a tuple.
    typing.__signature__ = inspect.signature(emit)
    return intrinsic(typing)
