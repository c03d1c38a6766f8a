"""A three-address list: the named, printable stage between SymPy expressions and the text of a kernel.

Residual, gradient and whatever else is computed at one theta go into one list, so that common subexpressions are
shared among all of them. Every line is one operation on names and numbers; no operation is written twice. How a
line becomes code is decided elsewhere (`vector_list`, `lowering`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

__all__ = ["Line", "Program", "three_address"]


class _Sigmoid(sp.Function):
    """1/(1 + exp(-u)), which as one function cannot overflow."""

    nargs = 1


# Functions that stay functions; everything else becomes add, sub, mul, div, sqrt, pow.
_FUNCTIONS = {
    _Sigmoid: "sigmoid",
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.Abs: "abs",
    sp.sign: "sign",
}
_COMMUTATIVE = ("add", "mul")


@dataclass(frozen=True)
class Line:
    """target = operation(arguments); an argument is a name or a number as Python prints it."""

    target: str
    operation: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.target} = {self.operation} {' '.join(self.arguments)}"


@dataclass(frozen=True)
class Program:
    """Straight-line code without branches.

    Attributes
    ----------
    inputs : tuple of str
        Names that are given.
    lines : tuple of Line
        In order; an argument is an input, an earlier target or a number.
    outputs : mapping of str to str
        For each result, the name or number that holds it.
    """

    inputs: tuple[str, ...]
    lines: tuple[Line, ...]
    outputs: Mapping[str, str]

    def __str__(self) -> str:
        head = f"in  {' '.join(self.inputs)}"
        tail = [f"out {name} = {value}" for name, value in self.outputs.items()]
        return "\n".join([head, *map(str, self.lines), *tail]) + "\n"

    def only(self, outputs: Iterable[str]) -> Program:
        """What these outputs need."""
        kept = {name: self.outputs[name] for name in outputs}
        needed, lines = set(kept.values()), []
        for line in reversed(self.lines):
            if line.target in needed:
                needed.update(line.arguments)
                lines.append(line)
        return Program(self.inputs, tuple(reversed(lines)), kept)

    @property
    def polynomial(self) -> bool:
        """Whether there are none but short operations."""
        return {line.operation for line in self.lines} <= {"add", "sub", "mul", "neg"}


def three_address(
    outputs: Mapping[str, sp.Expr], inputs: Sequence[sp.Symbol], names: Iterable[str] | None = None
) -> Program:
    """Flatten expressions into one list.

    Parameters
    ----------
    outputs : mapping of str to Expr
        What is to be computed, by name. Symbols that are no input refer to an output of that name, which is then
        computed before.
    inputs : sequence of Symbol
    names : iterable of str, optional
        Names of intermediate results, t0, t1, ... by default; none may be an input.

    Returns
    -------
    Program

    Raises
    ------
    NotImplementedError
        For a function that has no operation.
    ValueError
        When a name is unknown, or both an input and an output.
    """
    if clash := sorted(set(outputs) & {s.name for s in inputs}):
        raise ValueError(f"names={clash} are both inputs and outputs")
    builder = _Builder(inputs, iter(names) if names is not None else (f"t{k}" for k in range(10**9)))
    # SymPy's search sees sums that are parts of sums; the builder then never repeats an operation.
    unused = (sp.Symbol(f"__shared_{k}", real=True) for k in range(10**9))
    shared, reduced = sp.cse([_with_sigmoids(e) for e in outputs.values()], symbols=unused)
    waiting = [*shared, *zip((sp.Symbol(name, real=True) for name in outputs), reduced, strict=True)]
    while waiting:
        later = []
        for symbol, expression in waiting:
            if all(s.name in builder.known for s in expression.free_symbols):
                builder.known[symbol.name] = builder.operand(expression)
            else:
                later.append((symbol, expression))
        if len(later) == len(waiting):
            missing = sorted({s.name for _, e in later for s in e.free_symbols} - set(builder.known))
            raise ValueError(f"names={missing} are neither inputs nor outputs, or outputs need each other")
        waiting = later
    return Program(tuple(s.name for s in inputs), tuple(builder.lines), {name: builder.known[name] for name in outputs})


def _with_sigmoids(e: sp.Expr) -> sp.Expr:
    def matches(p: sp.Expr) -> bool:
        if not (p.is_Pow and p.exp.is_Integer and p.exp < 0 and p.base.is_Add and len(p.base.args) == 2):
            return False
        one, other = p.base.args
        return bool(one == 1 and isinstance(other, sp.exp) and other.free_symbols)

    return e.replace(matches, lambda p: _Sigmoid(-p.base.args[1].args[0]) ** -p.exp)


class _Builder:
    """Emits lines; equal operations get one target."""

    def __init__(self, inputs: Sequence[sp.Symbol], names: Iterable[str]) -> None:
        self.names = iter(names)
        self.lines: list[Line] = []
        self.known = {s.name: s.name for s in inputs}
        self.targets: dict[tuple[str, ...], str] = {}

    def emit(self, operation: str, *arguments: str) -> str:
        ordered = tuple(sorted(arguments)) if operation in _COMMUTATIVE else arguments
        key = (operation, *ordered)
        if key not in self.targets:
            self.targets[key] = next(self.names)
            self.lines.append(Line(self.targets[key], operation, arguments))
        return self.targets[key]

    def operand(self, e: sp.Expr) -> str:
        """The name or number that holds the value of an expression."""
        if e.is_Symbol:
            return self.known[e.name]
        if e.is_number and not e.free_symbols:
            return repr(float(e))
        if e.is_Add:
            return self._sum(e)
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(e.base, e.exp)
        if e.func in _FUNCTIONS and len(e.args) == 1:
            return self.emit(_FUNCTIONS[e.func], self.operand(e.args[0]))
        raise NotImplementedError(f"{e.func.__name__} has no operation")

    def _sum(self, e: sp.Expr) -> str:
        # Terms with a minus sign are subtracted; a positive one begins, so that no negation is needed if there is one.
        terms = [(t.could_extract_minus_sign() and not t.is_Symbol, t) for t in e.as_ordered_terms()]
        terms.sort(key=lambda pair: pair[0])
        negative, first = terms[0]
        total = self.emit("neg", self.operand(-first)) if negative else self.operand(first)
        for negative, term in terms[1:]:
            operation, value = ("sub", -term) if negative else ("add", term)
            total = self.emit(operation, total, self.operand(value))
        return total

    def _product(self, e: sp.Expr) -> str:
        coefficient, rest = e.as_coeff_Mul()
        if coefficient == -1:
            return self.emit("neg", self.operand(rest))
        above: list[sp.Expr] = []
        below: list[sp.Expr] = []
        for factor in rest.as_ordered_factors():
            base, exponent = factor.as_base_exp() if factor.is_Pow else (factor, sp.S.One)
            inverted = exponent.is_number and exponent.is_negative
            (below if inverted else above).append(base**-exponent if inverted else factor)
        # Numbers last: x*x*x and 2*x*x*x share x*x*x.
        parts = [self.operand(f) for f in above]
        if coefficient != 1 or not parts:
            parts.append(repr(float(coefficient)))
        total = parts[0]
        for part in parts[1:]:
            total = self.emit("mul", total, part)
        if below:
            total = self.emit("div", total, self.operand(sp.Mul(*below)))
        return total

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> str:
        if exponent.is_Integer:
            if exponent < 0:
                return self.emit("div", "1.0", self._power(base, -exponent))
            return self._repeated(self.operand(base), int(exponent))
        if exponent == sp.S.Half:
            return self.emit("sqrt", self.operand(base))
        if exponent.is_number and exponent < 0:
            return self.emit("div", "1.0", self._power(base, -exponent))
        return self.emit("pow", self.operand(base), self.operand(exponent))

    def _repeated(self, base: str, exponent: int) -> str:
        """base**exponent by squaring."""
        if exponent == 1:
            return base
        half = self._repeated(base, exponent // 2)
        square = self.emit("mul", half, half)
        return self.emit("mul", square, base) if exponent % 2 else square
