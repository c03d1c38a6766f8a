"""Expressions as functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.printing.numpy import NumPyPrinter

__all__ = ["numeric"]

# What the printer writes and does not import.
_NAMES = {"I": 1j, "conjugate": np.conjugate}
_SETTINGS = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}


def numeric(arguments: Sequence[Any], expressions: Any, **options: Any) -> Callable[..., Any]:
    """What `sympy.lambdify` makes for NumPy of what a model may hold: functions that SymPy knows, of real symbols.

    By itself it imports every name that NumPy has, those for Fortran and for tests too, which takes a tenth of a second
    when it is first called.
    """
    return sp.lambdify(arguments, expressions, modules=[_NAMES], printer=NumPyPrinter(_SETTINGS), **options)
