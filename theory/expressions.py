"""Expressions of study files: text to SymPy through a whitelist, so that a file is data and can run nothing.

SymPy evaluates while it builds (`2**9` becomes 512), so every operand and every result is held to the limits of the
language: no chain of operations may reach a number whose size costs time or memory.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from .checks import nearest
from .errors import InvalidInput
from .syntax import MAX_NESTING, Refusal, quote, syntax_tree

__all__ = ["FUNCTIONS", "declared_symbols", "parse_expression"]

_MAX_NAME = 64
_MAX_EXPONENT = 64
_MAX_CONSTANT = 10**12
_MIN_CONSTANT = 1e-300  # below it a double loses digits, then vanishes
_TINY = _MIN_CONSTANT / 2  # stands for a constant that vanishes
_MAX_DIGITS = 300  # of a literal
_MAX_BITS = 4096  # of a numerator or a denominator that arithmetic made
FUNCTIONS: dict[str, Callable[[sp.Expr], sp.Expr]] = {
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "exp": sp.exp,
    "log": sp.log,
    "sqrt": sp.sqrt,
    "abs": sp.Abs,
}

# The only nodes that may come out, with their value on numbers; these functions refuse what is not real.
_VALUES: dict[type[sp.Basic], Callable[..., float]] = {
    sp.Add: lambda *v: math.fsum(v),
    sp.Mul: lambda *v: math.prod(v),
    sp.Pow: math.pow,
    sp.Abs: abs,
    sp.exp: math.exp,
    sp.log: math.log,
    **{getattr(sp, name): getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}


def declared_symbols(field: str, names: Iterable[Any]) -> dict[str, sp.Symbol]:
    """Return a real symbol for every declared name, in order.

    Parameters
    ----------
    field : str
        Where the names stand, for messages.
    names : iterable of str
        ASCII identifiers that are no keyword and no function of the language, each once.

    Raises
    ------
    InvalidInput
        When a name breaks a rule.
    """
    symbols: dict[str, sp.Symbol] = {}
    for i, name in enumerate(names):
        where = f"{field}[{i}]"
        if not isinstance(name, str):
            raise InvalidInput(where, f'={name!r} must be text, a name such as "w"')
        shown = quote(name)
        if len(name) > _MAX_NAME:
            raise InvalidInput(where, f"={shown} has {len(name)} characters; use at most {_MAX_NAME}")
        if not (name.isascii() and name.isidentifier()) or name.startswith("__"):
            raise InvalidInput(where, f'={shown} must be a name of ASCII letters, digits and _, such as "w_1"')
        if keyword.iskeyword(name):
            raise InvalidInput(where, f"={shown} is a word of the Python language; choose another name")
        if name in FUNCTIONS:
            raise InvalidInput(where, f"={shown} is a function of the expressions; choose another name")
        if name in symbols:
            raise InvalidInput(where, f"={shown} is declared twice; give every name once")
        symbols[name] = sp.Symbol(name, real=True)
    return symbols


def parse_expression(field: str, text: Any, names: Mapping[str, sp.Symbol]) -> sp.Expr:
    """Return the SymPy expression that `text` states, with decimals as exact rationals.

    Parameters
    ----------
    field : str
        Where the text stands, for messages.
    text : str
        Arithmetic over `names`, numbers, ``+ - * / **``, parentheses and `FUNCTIONS`.
    names : mapping of str to Symbol
        The names that the text may use.

    Raises
    ------
    InvalidInput
        When the text is no such expression or breaks a limit.
    """
    if not isinstance(text, str):
        raise InvalidInput(field, f'={text!r} must be text, an expression such as "a*x + b"')
    try:
        source, tree = syntax_tree(text)
        return _Builder(source, names).build(tree)
    except Refusal as refusal:
        raise InvalidInput(field, f"={quote(text)}: {refusal}") from None
    except (RecursionError, MemoryError):
        problem = "is nested too deeply, or too long a chain; write it flatter, or bracket its parts"
        raise InvalidInput(field, f"={quote(text)}: {problem}") from None


class _Builder:
    """Builds one expression bottom-up, without recursion over the syntax tree."""

    def __init__(self, source: str, names: Mapping[str, sp.Symbol]) -> None:
        self.source = source
        self.names = names
        self.seen: dict[sp.Basic, float | None] = {}  # value of each checked node; None when it has symbols

    def build(self, root: ast.expr) -> sp.Expr:
        todo: list[tuple[ast.expr, int]] = [(root, 0)]
        order: list[tuple[ast.expr, int, Callable[..., sp.Expr]]] = []
        while todo:
            node, depth = todo.pop()
            children, make = self._parts(node)
            if children and depth > MAX_NESTING:
                raise Refusal(f"is nested more than {MAX_NESTING} deep; write it flatter")
            order.append((node, len(children), make))
            flat = isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub))
            # A product as a term of a sum is no nesting.
            todo.extend((c, depth if flat and _is_product(c) else depth + 1) for c in children)
        values: list[sp.Expr] = []
        for node, count, make in reversed(order):
            arguments = values[len(values) - count :]
            del values[len(values) - count :]
            try:
                value = make(*arguments)
                _in_range(self._check(value))
            except Refusal as refusal:
                raise Refusal(f"{self._part(node)} {refusal}") from None
            values.append(value)
        return values[0]

    def _part(self, node: ast.expr) -> str:
        return quote(self.source[node.col_offset : node.end_col_offset].replace(" ", ""))

    def _parts(self, node: ast.expr) -> tuple[Sequence[ast.expr], Callable[..., sp.Expr]]:
        match node:
            case ast.Constant() if type(node.value) in (int, float):
                return (), lambda: _number(self.source[node.col_offset : node.end_col_offset])
            case ast.Name(id=name) if name in self.names:
                return (), lambda: self.names[name]
            case ast.Name(id=name):
                if name in FUNCTIONS:
                    raise Refusal(f"{quote(name)} is a function; give it an argument")
                known = sorted(self.names)
                raise Refusal(f"{quote(name)} is unknown; known are {known}{nearest(name, known)}")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return (operand,), lambda v: -v
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return (operand,), lambda v: v
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                terms, minus = _chain(node, ast.Add, ast.Sub)
                return terms, lambda *v: sp.Add(*(-t if m else t for t, m in zip(v, minus, strict=True)))
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                factors, under = _chain(node, ast.Mult, ast.Div)
                return factors, lambda *v: sp.Mul(*(_inverse(f) if u else f for f, u in zip(v, under, strict=True)))
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                return (left, right), self._power
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
                return (argument,), lambda v: self._call(name, v)
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                raise Refusal(f"{self._part(node)} must have exactly one argument")
            case ast.Call(func=called):
                hint = nearest(called.id, FUNCTIONS) if isinstance(called, ast.Name) else ""
                raise Refusal(f"{self._part(node)} calls no known function; known are {sorted(FUNCTIONS)}{hint}")
        raise Refusal(f"{self._part(node)} is not arithmetic; use names, numbers, + - * / ** and {sorted(FUNCTIONS)}")

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        _small_exponent(exponent)
        _in_range(self._value(sp.Pow, (base, exponent)))
        return base**exponent

    def _call(self, name: str, argument: sp.Expr) -> sp.Expr:
        if name == "sqrt":
            return self._power(argument, sp.S.Half)
        value = self._value(FUNCTIONS[name], (argument,))
        _in_range(value)
        if name == "abs" and value is not None:
            # SymPy would evaluate the constant to many digits to learn its sign.
            return argument if value == self.seen[argument] else -argument
        if name == "exp":
            _small_logarithms(argument)
        return FUNCTIONS[name](argument)

    def _check(self, node: sp.Basic) -> float | None:
        """Hold a node and all below it to the limits; each distinct node is looked at once."""
        if node in self.seen:
            return self.seen[node]
        value: float | None = None
        if isinstance(node, sp.Rational):
            value = _rational(node)
        elif node is sp.S.Exp1:
            value = math.e
        elif node.func in _VALUES:
            for argument in node.args:
                self._check(argument)
            if isinstance(node, sp.exp):
                _small_logarithms(node.args[0])
            elif isinstance(node, sp.Pow):
                _small_exponent(node.exp)
            value = self._value(node.func, node.args)
            if value is None:
                # Inside a constant SymPy may keep a larger integer: sqrt(0.123456789012345) is sqrt(p)/10**k.
                for argument in node.args:
                    _in_range(self.seen[argument])
        elif not isinstance(node, sp.Symbol):
            raise Refusal("is not a finite real number")
        self.seen[node] = value
        return value

    def _value(self, function: Any, arguments: Sequence[sp.Basic]) -> float | None:
        """The value of a constant, before SymPy computes with it; None when there are symbols."""
        values = [self._check(a) for a in arguments]
        if None in values:
            return None
        try:
            value = _VALUES[function](*values)
        except OverflowError:
            return math.inf
        except ValueError:
            raise Refusal("is not a finite real number") from None
        underflow = value == 0 and function in (sp.Pow, sp.exp) and values[0] != 0
        return _TINY if underflow else value


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div))


def _chain(node: ast.expr, plain: type[ast.operator], inverse: type[ast.operator]) -> tuple[list[ast.expr], list[bool]]:
    """The operands of a flat chain such as a - b + c, and which of them are inverted (subtracted or divided by)."""
    operands: list[ast.expr] = []
    inverted: list[bool] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, (plain, inverse)):
        operands.append(node.right)
        inverted.append(isinstance(node.op, inverse))
        node = node.left
    return [node, *reversed(operands)], [False, *reversed(inverted)]


def _inverse(value: sp.Expr) -> sp.Expr:
    if value == 0:
        raise Refusal("divides by zero")
    return 1 / value


def _number(literal: str) -> sp.Rational:
    if len(literal) > _MAX_DIGITS:
        raise Refusal(f"has {len(literal)} characters; write a number with at most {_MAX_DIGITS}")
    if not re.search("[1-9]", re.split("[eE]", literal)[0]):
        return sp.S.Zero
    _in_range(float(literal) or _TINY)
    return sp.Rational(literal)


def _in_range(value: float | None) -> None:
    if value is None:
        return
    if not abs(value) <= _MAX_CONSTANT:
        raise Refusal("is a constant above 10**12 in size; rescale the model")
    if 0 < abs(value) < _MIN_CONSTANT:
        raise Refusal(f"is a constant below {_MIN_CONSTANT} in size; rescale the model")


def _rational(number: sp.Rational) -> float:
    if max(abs(number.p).bit_length(), number.q.bit_length()) > _MAX_BITS:
        raise Refusal("is a constant " + ("above 10**12 in size" if number.q == 1 else "with too many digits"))
    try:
        value = number.p / number.q
    except OverflowError:
        return math.inf
    return _TINY if number.p and not value else float(value)


def _small_exponent(exponent: sp.Expr) -> None:
    if any(abs(n) > _MAX_EXPONENT for n in exponent.atoms(sp.Number)):
        raise Refusal(f"has a number above {_MAX_EXPONENT} in an exponent")


def _small_logarithms(argument: sp.Expr) -> None:
    # SymPy turns exp(n*log(2)) into 2**n.
    for term in sp.Add.make_args(argument):
        if term.has(sp.log):
            _small_exponent(term)
