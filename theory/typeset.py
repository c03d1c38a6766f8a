"""Breaking long expressions into lines, for plain text and for LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

__all__ = ["broken", "display", "escape", "latex", "shown", "wrapped"]

WIDTH = 100
_MAX_TEXT_LINES = 10
_MAX_LATEX_LINES = 24
_MAX_GLYPHS = 80  # of one displayed line
_MAX_LATEX_OPERATIONS = 1_500

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\textasciicircum{}", "&": r"\&",
    "%": r"\%", "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip


class _PositiveFirst:
    """Print sums with a positive term in front: 2 - eta*h and not -eta*h + 2."""

    def _as_ordered_terms(self, expr: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        terms = list(super()._as_ordered_terms(expr, order=order))  # type: ignore[misc]
        ahead = next((t for t in terms if not t.could_extract_minus_sign()), terms[0])
        terms.remove(ahead)
        return [ahead, *terms]


class _Text(_PositiveFirst, StrPrinter):
    pass


class _Latex(_PositiveFirst, LatexPrinter):
    pass


def shown(expression: sp.Basic) -> str:
    """The expression as one line of text."""
    return str(_Text().doprint(expression))


def latex(expression: sp.Basic, names: Mapping[sp.Symbol, str]) -> str:
    """The expression in LaTeX, with the given names of symbols."""
    return str(_Latex({"symbol_names": dict(names)}).doprint(expression))


def wrapped(text: str, indent: str = "    ") -> list[str]:
    """Lines of at most 100 columns, broken at spaces or products; what is longer than ten lines is cut."""
    lines, rest, lead = [], text, ""
    while rest:
        room = WIDTH - len(lead)
        if len(rest) <= room:
            lines.append(lead + rest)
            break
        cut = rest.rfind(" ", 1, room + 1)
        if cut < room // 3:
            cut = max(rest.rfind("*", 1, room - 1) + 1, rest.rfind("(", 1, room - 1) + 1) or room
        lines.append((lead + rest[:cut]).rstrip())
        rest, lead = rest[cut:].lstrip(), indent
        if len(lines) == _MAX_TEXT_LINES:
            lines.append(f"{indent}[cut: {len(text)} characters in all; the JSON form is complete]")
            break
    return lines


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(_SPECIAL.get(c, c) for c in text)


def display(name: str, value: sp.Basic, names: Mapping[sp.Symbol, str], reverse: bool = False) -> str:
    """A displayed equation name = value (`reverse`: value = name), broken at the terms of sums; see `broken`."""
    parts = []
    for rows in broken(name, value, names, reverse):
        lines = " \\\\\n".join(rows)
        parts.append(rf"\[ {lines} \]" if len(rows) == 1 else f"\\begin{{multline*}}\n{lines}\n\\end{{multline*}}")
    return "\n".join(parts)


def broken(name: str, value: sp.Basic, names: Mapping[sp.Symbol, str], reverse: bool = False) -> list[list[str]]:
    """An equation name = value (`reverse`: value = name) as equations of one or more lines each.

    Parameters
    ----------
    name : str
        LaTeX of the short side.
    value : Basic
    names : mapping Symbol -> str
        LaTeX of symbols that SymPy would print otherwise.
    reverse : bool
    """
    if _operations(value) > _MAX_LATEX_OPERATIONS:
        return _cut(name, value, reverse)
    plain = latex(value, names)
    if _glyphs(name + plain) <= _MAX_GLYPHS:
        return [[f"{plain} = {name}" if reverse else f"{name} = {plain}"]]
    if not isinstance(value, sp.Expr):
        return _cut(name, value, reverse)
    top, bottom = sp.fraction(value)
    if not value.is_Add and not bottom.is_number:
        # A wide fraction: its two parts are written below it.
        side = f"N/M = {name}," if reverse else f"{name} = N/M,"
        return [[side], *broken("N", top, names), *broken("M", bottom, names)]
    lines = _terms_in_lines(value, names)
    if lines is None:
        return _cut(name, value, reverse)
    first, last = (lines[0], f"{lines[-1]} = {name}") if reverse else (f"{name} = {lines[0]}", lines[-1])
    return [[first, *lines[1:-1], last]]


def _terms_in_lines(value: sp.Expr, names: Mapping[sp.Symbol, str]) -> list[str] | None:
    terms = value if value.is_Add else sp.expand_mul(value)
    lines: list[str] = []
    line = ""
    for term in terms.as_ordered_terms():
        printed = latex(term, names)
        if _glyphs(printed) > 1.1 * _MAX_GLYPHS:
            return None
        joined = printed if not line and not lines else (printed if printed.startswith("-") else f"+ {printed}")
        if line and _glyphs(line + joined) > _MAX_GLYPHS:
            lines.append(line)
            line = joined
        else:
            line = f"{line} {joined}".strip()
    lines.append(line)
    return lines if 1 < len(lines) <= _MAX_LATEX_LINES else None


def _operations(value: sp.Basic) -> int:
    return int(sp.count_ops(value)) if isinstance(value, sp.Expr) else 0


def _cut(name: str, value: sp.Basic, reverse: bool) -> list[list[str]]:
    note = rf"\text{{[an expression of {_operations(value)} operations; the JSON form is complete]}}"
    return [[f"{note} = {name}" if reverse else f"{name} = {note}"]]


def _glyphs(text: str) -> int:
    # About how many characters wide: commands count one, braces and spaces nothing; a fraction counts both parts.
    without = re.sub(r"\\(left|right|frac|tfrac|operatorname|mathrm)\b", "", text)
    words = re.sub(r"\\(tanh|sinh|cosh|tan|sin|cos|log|exp|det)\b", "xxxx", without)
    return len(re.sub(r"[{}\s^_]", "", re.sub(r"\\[a-zA-Z]+", "x", words)))
