"""Arrays that begin at a cache line: a vector that crosses one is loaded twice.

What stands below `__all__` is copied into every generated module.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes

import numpy as np

__all__ = ["aligned", "room"]


def room(count, kind=np.float64):
    """So many zeros of 8 bytes."""
    array = np.zeros(count + 8, dtype=kind)
    first = -(ctypes.addressof(ctypes.c_char.from_buffer(array)) // 8) % 8
    return array[first : first + count]


def aligned(array):
    """A copy."""
    out = room(array.size, array.dtype).reshape(array.shape)
    out[:] = array
    return out
