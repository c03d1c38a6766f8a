"""Which replicas of a generated module are out of bounds.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import functools

from llvmlite import ir

from .kernel_vector import LENGTH
from .vector_list import D, each_group, load_rows, spread, store_rows
from .vector_math import WORDS
from .vector_pass import vector_pass

__all__ = ["check"]


@vector_pass
def check(v, theta, status, bound, step):
    """Note the step in the status of each replica that is seen out of bounds for the first time."""
    builder, bound, step = v.builder, spread(v, bound), spread(v, step)

    def group(base):
        out = None
        for row in load_rows(v, theta, base, D):
            beyond = v.each(lambda a, b: builder.fcmp_unordered(">=", a, b), v.abs(row), bound)  # true for nan
            out = beyond if out is None else v.each(builder.or_, out, beyond)
        any_ = builder.bitcast(functools.reduce(builder.or_, out), ir.IntType(LENGTH))
        with builder.if_then(builder.icmp_unsigned("!=", any_, any_.type(0)), likely=False):
            (before,) = load_rows(v, status, base, 1, kind=WORDS)
            first = v.each(lambda a, b: builder.icmp_signed("<", a, b), before, 0)
            now = v.each(builder.select, v.each(builder.and_, out, first), step, before)
            store_rows(v, status, base, [now])

    each_group(v, group)
