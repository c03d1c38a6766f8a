"""Rigorous interval values of SymPy expressions, through `mpmath.iv` (outward rounding)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sympy as sp
from mpmath import iv

__all__ = ["NoEnclosure", "enclose", "working_precision"]

Interval = Any  # mpmath.iv has no public type


class NoEnclosure(Exception):
    """No interval value: an unknown function, or an argument on the edge of a function's domain."""


@contextmanager
def working_precision(bits: int) -> Iterator[None]:
    """Run with `bits` bits in `mpmath.iv`, whose precision is a global setting."""
    before = iv.prec
    iv.prec = bits
    try:
        yield
    finally:
        iv.prec = before


def _exponential(x: Interval, sign: int) -> Interval:
    return (iv.exp(x) + sign * iv.exp(-x)) / 2


def _tanh(x: Interval) -> Interval:
    # Increasing, so that the two ends suffice: the quotient of sums would lose width.
    low, high = iv.mpf(x.a), iv.mpf(x.b)
    ends = [1 - 2 / (iv.exp(2 * end) + 1) for end in (low, high)]
    return iv.mpf([ends[0].a, ends[1].b])


def _sign(x: Interval) -> Interval:
    if x.a > 0:
        return iv.mpf(1)
    if x.b < 0:
        return iv.mpf(-1)
    raise NoEnclosure("abs at zero is not differentiable")


def _no_mass(x: Interval, *_: Interval) -> Interval:
    _sign(x)  # the second derivative of abs vanishes away from zero, and only there
    return iv.mpf(0)


def _log(x: Interval) -> Interval:
    if not x.a > 0:
        raise NoEnclosure("log or a power of a number that may not be positive")
    return iv.log(x)


_FUNCTIONS: dict[type, Callable[..., Interval]] = {
    sp.exp: iv.exp,
    sp.log: _log,
    sp.sin: iv.sin,
    sp.cos: iv.cos,
    sp.tan: lambda x: iv.sin(x) / _nonzero(iv.cos(x)),
    sp.sinh: lambda x: _exponential(x, -1),
    sp.cosh: lambda x: _exponential(x, 1),
    sp.tanh: _tanh,
    sp.Abs: abs,
    sp.sign: _sign,
    sp.DiracDelta: _no_mass,
}


def _nonzero(x: Interval) -> Interval:
    if x.a <= 0 <= x.b:
        raise NoEnclosure("division by an interval that holds zero")
    return x


def enclose(expression: sp.Expr, values: Mapping[sp.Symbol, Interval], memo: dict[sp.Basic, Interval]) -> Interval:
    """An interval that holds every value of `expression` for symbols in `values`.

    Parameters
    ----------
    expression : Expr
    values : mapping Symbol -> interval
    memo : dict
        Values of subexpressions, shared between calls with the same `values`.

    Raises
    ------
    NoEnclosure
        For a function that has no rigorous bound here.
    """
    if expression in memo:
        return memo[expression]
    memo[expression] = result = _enclose(expression, values, memo)
    return result


def _enclose(e: sp.Expr, values: Mapping[sp.Symbol, Interval], memo: dict[sp.Basic, Interval]) -> Interval:
    if e.is_Symbol:
        return values[e]
    if e.is_Rational:
        return iv.mpf(int(e.p)) / iv.mpf(int(e.q))
    if e.is_Float:
        exact = sp.Rational(repr(float(e)))  # the decimal that prints it, like the data
        return iv.mpf(int(exact.p)) / iv.mpf(int(exact.q))
    if e is sp.pi:
        return iv.pi + iv.mpf(0)
    if e is sp.E:
        return iv.exp(iv.mpf(1))
    args = [enclose(a, values, memo) for a in e.args]
    if e.is_Add:
        return sum(args[1:], args[0])
    if e.is_Mul:
        result = args[0]
        for a in args[1:]:
            result = result * a
        return result
    if e.is_Pow:
        return _power(e, args)
    if e.func not in _FUNCTIONS:
        raise NoEnclosure(f"no rigorous bound for {e.func.__name__}")
    return _FUNCTIONS[e.func](*args)


def _power(e: sp.Expr, args: list[Interval]) -> Interval:
    base, exponent = args
    if e.exp.is_Integer:
        power = int(e.exp)
        return base**power if power >= 0 else 1 / _nonzero(base) ** (-power)
    if e.base is sp.E:
        return iv.exp(exponent)
    return iv.exp(exponent * _log(base))
