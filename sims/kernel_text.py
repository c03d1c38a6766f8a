"""Pieces of the text of a generated module."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from . import kernel_random
from .lowering import statements
from .program import Program

__all__ = ["below_all", "fill", "function_sources", "function_text", "indented", "kernel_constants", "listed"]
__all__ += ["row_at", "rows_at"]


def function_text(
    name: str,
    docstring: str,
    program: Program,
    arguments: Sequence[str] | None = None,
    places: Mapping[str, str] | None = None,
    results: Iterable[str] | None = None,
) -> str:
    """The text of a function that returns a tuple, or a number if that is all: then one name takes it.

    By default it has the inputs of the program as arguments and returns its outputs.
    """
    returned = [(places or {}).get(r, r) for r in (results or program.outputs.values())]
    lines = [
        "@inlined",
        f"def {name}({listed(arguments or program.inputs)}):",
        f'    """{docstring}"""',
        *(f"    {statement}" for statement in statements(program, places)),
        f"    return {listed(returned)}",
    ]
    return "\n".join(lines) + "\n"


def kernel_constants() -> str:
    """Lanes, and the numbers of samplings and laws."""
    return "".join(f"{c} = {getattr(kernel_random, c)}\n" for c in kernel_random.CONSTANTS)


def function_sources(module: ModuleType) -> list[str]:
    """The texts of a module's functions."""
    functions: tuple[Any, ...] = module.FUNCTIONS
    return [inspect.getsource(f.py_func) for f in functions]


def below_all(module: ModuleType) -> str:
    """The text of a module below its `__all__`."""
    return inspect.getsource(module).split("\n__all__ = ")[1].split("]\n", 1)[1].strip()


def fill(text: str, **values: str) -> str:
    """Replace each <KEY>; a line with nothing else whose value is empty disappears."""
    for key, value in values.items():
        if not value:
            text = re.sub(rf"^ *<{key}>\n", "", text, flags=re.MULTILINE)
        text = text.replace(f"<{key}>", value)
    return text


def indented(depth: int, lines: Iterable[str]) -> str:
    """Lines indented so deep, for a place at the beginning of a line."""
    return "\n".join("    " * depth + line for line in lines)


def listed(items: Iterable[object]) -> str:
    """Separated by commas."""
    return ", ".join(map(str, items))


def row_at(row: int) -> str:
    """The index of lane k in a row."""
    return "k" if row == 0 else f"{'' if row == 1 else f'{row} * '}LANES + k"


def rows_at(array: str, count: int) -> str:
    """Lane k of so many rows of an array."""
    return listed(f"{array}[{row_at(j)}]" for j in range(count))
