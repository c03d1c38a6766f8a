"""The text of a generated module that does not depend on its layout: what it is, its order, and what it imports.

Upper-case words in angle brackets are filled in by `codegen`. State is in structures of arrays, flattened to one
row of `LANES` replicas after the other, so that a row starts at a constant offset and the compiler sees that rows
do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .kernel_text import below_all, kernel_constants

__all__ = ["COMPILED", "HEADER", "IMPORTS", "module"]

HEADER = '''\
"""Label noise SGD, generated for one model.

parameters  <PARAMETERS>
prediction  <PREDICTION>
layout      <LAYOUT>

Arrays over replicas are flat, row after row of LANES replicas: theta has one row per parameter, words five
(state of xoshiro256++ and the last word), order one per sample (the permutation drawn from without replacement).
"""
'''

# Above this line of a module stands what Python does: the rest is not looked at where its machine code is known.
COMPILED = "# ---- Compiled.\n"

# What some layouts do not need is imported already, by Numba.
IMPORTS = """\
import collections
import functools
import inspect
import itertools
import math

from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numba.np import arrayobj

common = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
common |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inlined = njit(forceinline=True, **common)
# Without counting references to its arrays, which takes longer than a loop over the replicas does.
called = njit(_nrt=False, **common)
EXPORTED = {}


# A function that Python calls, compiled at once; it returns nothing.
def exported(signature):
    def compiled(function):
        dispatcher = njit(signature, _nrt=False, **common)(function)
        EXPORTED[function.__name__] = signature, dispatcher
        return dispatcher

    return compiled
"""


def module(header: str, sizes: Mapping[str, object], drivers: Iterable[str], compiled: Iterable[str]) -> str:
    """The text of a module: constants, what Python does, and the functions that it calls, with all that they need."""
    constants = kernel_constants() + "".join(f"{name} = {size}\n" for name, size in sizes.items())
    plain = (header + "\nimport ctypes\n\nimport numpy as np\n", constants, below_all("memory"), *drivers)
    return "\n\n".join((*plain, COMPILED + IMPORTS, *compiled))
