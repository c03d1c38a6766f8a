"""The text of a generated module that does not depend on its layout: what it is, and what it imports.

Upper-case words in angle brackets are filled in by `codegen`. State is in structures of arrays, flattened to one
row of `LANES` replicas after the other, so that a row starts at a constant offset and the compiler sees that rows
do not overlap.
"""

from __future__ import annotations

__all__ = ["HEADER", "IMPORTS"]

HEADER = '''\
"""Label noise SGD, generated for one model.

parameters  <PARAMETERS>
prediction  <PREDICTION>
layout      <LAYOUT>

Arrays over replicas are flat, row after row of LANES replicas: theta has one row per parameter, words five
(state of xoshiro256++ and the last word), order one per sample (the permutation drawn from without replacement).
"""
'''

# What some layouts do not need is imported already, by Numba.
IMPORTS = """\
import collections
import functools
import inspect
import itertools
import math

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numba.np import arrayobj

common = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True}
inlined = njit(forceinline=True, no_cpython_wrapper=True, **common)
# Without counting references to its arrays, which takes longer than a loop over the replicas does.
called = njit(no_cpython_wrapper=True, _nrt=False, **common)


# A function that Python calls, compiled at once.
def exported(signature):
    return njit(signature, cache=True, _nrt=False, **common)

"""
