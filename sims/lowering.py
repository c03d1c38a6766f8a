"""From a three-address list to statements that Numba compiles: formulas of models over an index.

The names exp, log, tanh, sigmoid and sign are the generated module's own functions; a division or a square root is one
instruction; the others are calls of scalar library functions, around which no loop becomes vector code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .program import Program

__all__ = ["OPERATIONS", "statements"]

OPERATIONS: Mapping[str, str] = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "sqrt": "math.sqrt({})",
    "abs": "abs({})",
    "pow": "math.pow({}, {})",
    **{name: f"{name}({{}})" for name in ("exp", "log", "tanh", "sigmoid", "sign")},
    **{name: f"math.{name}({{}})" for name in ("sin", "cos", "tan", "sinh", "cosh")},
}


def statements(program: Program) -> Iterable[str]:
    """The lines as assignments, one each."""
    for line in program.lines:
        arguments = [f"({a})" if a.startswith("-") else a for a in line.arguments]
        yield f"{line.target} = {OPERATIONS[line.operation].format(*arguments)}"
