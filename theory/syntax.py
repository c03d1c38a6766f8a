"""The text of an expression: checked character by character, then parsed to a Python syntax tree."""

from __future__ import annotations

import ast
import json
import re

__all__ = ["MAX_NESTING", "Refusal", "quote", "syntax_tree"]

MAX_NESTING = 100
_MAX_LENGTH = 10_000
# Python's own parser recurses into a flat sum; longer ones are put in brackets, this many terms each.
_TERMS = 200

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<operator>\*\*|[-+*/(),]))"
)


class Refusal(Exception):
    """Why a text is no expression; the field and the text are added at the edge."""


def quote(text: str) -> str:
    """Return text for a message: short, in quotes, one line."""
    # JSON escapes what is not printable ASCII: a terminal sees no control characters from a file.
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...")


def syntax_tree(text: str) -> tuple[str, ast.expr]:
    """Return the text on one line and its syntax tree; raise `Refusal` when it is no single expression."""
    source = _scan(text)
    try:
        return source, ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError):
        raise Refusal("is no complete expression; look for a missing operator, operand or bracket") from None


def _scan(text: str) -> str:
    """Check all that can be seen without a syntax tree; return the text on one line, long sums in brackets."""
    if len(text) > _MAX_LENGTH:
        raise Refusal(f"has {len(text)} characters; use at most {_MAX_LENGTH}")
    if not text.strip():
        raise Refusal("is empty; write an expression")
    if not text.isascii():
        odd = next(c for c in text if not c.isascii())
        raise Refusal(f"holds the character {quote(odd)}; use ASCII letters, digits and + - * / ** ( )")
    tokens: list[str] = []
    signs: list[int] = []  # where a + or - outside of all brackets joins two terms
    depth = run = position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Refusal(f"holds {quote(text[position:].lstrip()[:1])}; use names, numbers, + - * / ** and ( )")
        token, position = match[0].strip(), match.end()
        if match["number"] and re.match(r"\w|\.", text[position : position + 1]):
            raise Refusal(f"holds {quote(token + text[position])}; write decimal numbers, and 2*x for a product")
        run = run + 1 if token in "+-" else 0
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            raise Refusal("closes a bracket that was not opened")
        if max(depth, run) > MAX_NESTING:
            raise Refusal(f"is nested more than {MAX_NESTING} deep; write it flatter")
        if run == 1 and depth == 0 and tokens and (tokens[-1] == ")" or tokens[-1][-1].isalnum()):
            signs.append(len(tokens))
        tokens.append(token)
    if depth:
        raise Refusal(f"leaves {depth} brackets open")
    for k in range(_TERMS, len(signs), _TERMS):
        tokens[signs[k]] = f")+({tokens[signs[k]]}"
    return f"({' '.join(tokens)})" if len(signs) > _TERMS else " ".join(tokens)
