"""A verdict as LaTeX that both a TeX system and MathJax (notebooks) read."""

from __future__ import annotations

import re
from collections.abc import Iterable

import sympy as sp

__all__ = ["array", "number", "symbol", "text"]

# MathJax takes escapes inside of \text literally, TeX does not; as mathematics both know them.
_SPECIAL = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"{\wedge}", "&": r"\&", "%": r"\%", "#": r"\#",
    "$": r"\$", "~": r"{\sim}", "<": "<", ">": ">", "|": "|", "`": "`",
}  # fmt: skip


def text(words: str) -> str:
    """Plain words, in mathematics."""
    printable = "".join(c if c.isprintable() else " " for c in words)
    parts = re.split(r"([\\{}_^&%#$~<>|`])", printable)
    return "".join(_SPECIAL.get(part, rf"\text{{{part}}}") for part in parts if part)


def number(value: float, form: str = ".4g") -> str:
    """A number in a format of Python, powers of ten written as such."""
    shown = f"{value:{form}}"
    if "e" not in shown:
        return shown.replace("inf", r"\infty").replace("nan", text("nan"))
    mantissa, exponent = shown.split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def symbol(name: str) -> str:
    """A parameter's name: theta_1 as a Greek letter with an index."""
    return str(sp.latex(sp.Symbol(name)))


def array(lines: Iterable[str]) -> str:
    """Lines of mathematics below each other."""
    return r"$\begin{array}{l}" + r" \\ ".join(lines) + r"\end{array}$"
