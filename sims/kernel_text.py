"""Pieces of the text of a generated module."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from . import lanes
from .lowering import statements
from .program import Program

__all__ = [
    "below_all",
    "fill",
    "function_sources",
    "function_text",
    "in_docstring",
    "indented",
    "kernel_constants",
    "listed",
]


def function_text(name: str, docstring: str, program: Program) -> str:
    """The text of a function of a program's inputs that returns its outputs: a tuple, or a number if that is all."""
    lines = [
        "@inlined",
        f"def {name}({listed(program.inputs)}):",
        f'    """{docstring}"""',
        *(f"    {statement}" for statement in statements(program)),
        f"    return {listed(program.outputs.values())}",
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


def in_docstring(text: str) -> str:
    """A text from elsewhere in one line of a docstring, which it can not end."""
    return text.encode("unicode_escape").decode("ascii").replace('"', "'")


def indented(depth: int, lines: str | Iterable[str]) -> str:
    """Lines, or those of a text, indented so deep, for a place at the beginning of a line."""
    return "\n".join("    " * depth + line for line in (lines.splitlines() if isinstance(lines, str) else lines))


def listed(items: Iterable[object]) -> str:
    """Separated by commas."""
    return ", ".join(map(str, items))
