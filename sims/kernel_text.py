"""Pieces of the text of a generated module."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from . import lanes
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
    return "".join(f"{c} = {getattr(lanes, c)}\n" for c in lanes.CONSTANTS)


@cache
def below_all(module: str) -> str:
    """The text of a module of this package below its `__all__`; it is read, and what it imports is not."""
    text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    return re.split(r"^__all__ \+?= .*?\]\n", text, flags=re.MULTILINE | re.DOTALL)[-1].strip() + "\n"


@cache
def function_sources(module: str) -> dict[str, str]:
    """The texts of a module's decorated functions, by name."""
    parts = [part for part in re.split(r"\n\n\n(?=@)", below_all(module)) if part.startswith("@")]
    return {re.findall(r"^def (\w+)", part, re.MULTILINE)[0]: part.strip() + "\n" for part in parts}


def fill(text: str, **values: str) -> str:
    """Replace each <KEY>; a line with nothing else whose value is empty disappears."""
    for key, value in values.items():
        if not value:
            text = re.sub(rf"^ *<{key}>\n", "", text, flags=re.MULTILINE)
        text = text.replace(f"<{key}>", value)
    return text


def indented(depth: int, lines: str | Iterable[str]) -> str:
    """Lines, or those of a text, indented so deep, for a place at the beginning of a line."""
    return "\n".join("    " * depth + line for line in (lines.splitlines() if isinstance(lines, str) else lines))


def listed(items: Iterable[object]) -> str:
    """Separated by commas."""
    return ", ".join(map(str, items))


def row_at(row: int) -> str:
    """The index of lane k in a row."""
    return "k" if row == 0 else f"{'' if row == 1 else f'{row} * '}LANES + k"


def rows_at(array: str, count: int) -> str:
    """Lane k of so many rows of an array."""
    return listed(f"{array}[{row_at(j)}]" for j in range(count))
