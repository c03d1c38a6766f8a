"""Checks of single values, shared by everything that takes input."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput
from .syntax import quote

__all__ = ["nearest", "one_of", "real_array", "real_number"]

Array = NDArray[np.float64]


def nearest(value: Any, known: Iterable[str]) -> str:
    """The end of a message: ``; did you mean "x"?``, with the known word that is spelled most alike, or nothing."""
    if not isinstance(value, str):
        return ""
    words = {word.lower(): word for word in known}
    # Of letters in another order difflib thinks little.
    alike = [word for word in words if sorted(word) == sorted(value.lower())]
    alike = alike or difflib.get_close_matches(value.lower(), words, 1, cutoff=0.5)
    return f"; did you mean {quote(words[alike[0]])}?" if alike else ""


def one_of(field: str, value: Any, known: Sequence[str]) -> str:
    """Return `value`, one of the words `known`; anything else raises `InvalidInput` with the nearest of them."""
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(field, f"={value!r} must be one of {list(known)}{nearest(value, known)}")
    return value


def real_number(field: str, value: Any) -> float:
    """Return `value` as a finite float; a boolean, NaN, infinity or text raises `InvalidInput`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.integer, np.floating)):
        raise InvalidInput(field, f"={value!r} must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(field, f"={value!r} must be finite")
    return number


def real_array(field: str, values: Any, ndim: int) -> Array:
    """Return `values` as a float64 array of `ndim` dimensions in which every entry is a finite number."""
    if not (isinstance(values, np.ndarray) and values.dtype.kind in "iuf"):
        _no_foreign_entries(field, values, ndim)
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(field, f" must be a {ndim}-dimensional table of numbers with rows of equal length") from None
    if array.ndim != ndim:
        if array.size == 0:
            raise InvalidInput(field, "=[] is empty; give at least one sample")
        raise InvalidInput(field, f" has {array.ndim} dimensions; it must have {ndim}")
    if not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(array))[0]
        index = "".join(f"[{i}]" for i in where)
        raise InvalidInput(f"{field}{index}", f"={array[tuple(where)]} must be finite")
    return array


def _no_foreign_entries(field: str, values: Any, ndim: int) -> None:
    # NumPy would turn True into 1.0 and "2" into 2.0 without a word.
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise InvalidInput(field, f"={values!r} must be a list of numbers")
    for i, value in enumerate(values):
        if ndim > 1:
            _no_foreign_entries(f"{field}[{i}]", value, ndim - 1)
        else:
            real_number(f"{field}[{i}]", value)
