"""Expressions as functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from sympy.printing.numpy import NumPyPrinter

__all__ = ["numeric"]

_SETTINGS = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}


def numeric(arguments: Sequence[Any], expressions: Any, **options: Any) -> Callable[..., Any]:
    """What `sympy.lambdify` makes for NumPy, without all of NumPy.

    By itself it imports every name that NumPy has, those for Fortran and for tests too, which takes a tenth of a second
    when it is first called.
    """
    return sp.lambdify(arguments, expressions, modules=[{"I": 1j}], printer=NumPyPrinter(_SETTINGS), **options)
