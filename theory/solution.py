"""Stationary points of R on Gamma in closed form: solved, checked without the chart, and with their domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from .algorithm import Algorithm
from .certify import CertifiedRoot, certify
from .reduction import Reduction, determinant_of, solve_reduced
from .symbolic import SymbolicProblem, smooth_diff
from .timelimit import Budget

__all__ = ["Solution", "closed_form_solutions"]

_MAX_SHOWN = 12
_DIGITS = 40


@dataclass(frozen=True)
class Solution:
    """A stationary point of R on Gamma in closed form.

    Attributes
    ----------
    point : tuple of Expr
        theta.
    trace : Expr
        h = tr H there.
    domain : str
        Where eta h_max < 2 holds there.
    checked : str
        How it was verified: f_i = y_i, and grad R in the span of the grad f_i, in theta and not in the chart.
    root : CertifiedRoot or None
        Its certificate at the study's learning rate; None for a family, or outside the domain there.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1, in the limit lambda -> 0.
    """

    point: tuple[sp.Expr, ...]
    trace: sp.Expr
    domain: str
    checked: str
    root: CertifiedRoot | None


def closed_form_solutions(
    problem: SymbolicProblem,
    reduction: Reduction,
    elementary: Sequence[sp.Expr],
    algorithm: Algorithm,
    budget: Budget,
) -> tuple[tuple[Solution, ...], tuple[sp.Expr, ...]]:
    """Solve dR/ds = 0 in the chart where SymPy can; a point that fails its check is left out and noted.

    Returns
    -------
    solutions : tuple of Solution
    unsolved : tuple of Expr
        Expressions in the coordinates whose zeros have no closed form here.
    """
    points, unsolved = solve_reduced(reduction, problem.parameters, budget, 6.0)
    eta = sp.Rational(repr(algorithm.lr))
    solutions = []
    for point in points[:_MAX_SHOWN]:
        if not _real_at(point, problem.symbols.eta, eta):
            budget.note(f"the stationary point {point}: not real at eta={algorithm.lr}")
            continue
        checked = _checked(problem, elementary, point, eta, budget)
        if not checked:
            budget.note(f"the candidate {point}: not confirmed as a stationary point")
            continue
        what = "domain of a solution"
        described = budget.attempt(what, 2.0, _described, problem, elementary, point, checked, algorithm)
        if described is not None:
            solutions.append(described)
    if len(points) > _MAX_SHOWN:
        budget.note(f"{len(points) - _MAX_SHOWN} further stationary points in closed form")
    return tuple(solutions), tuple(unsolved)


def _real_at(point: Sequence[sp.Expr], eta: sp.Symbol, value: sp.Rational) -> bool:
    numbers = [sp.N(v.subs(eta, value), _DIGITS) for v in point]
    return all(bool(v.free_symbols) or abs(sp.im(v)) < 1e-20 for v in numbers)


def _defects(problem: SymbolicProblem, elementary: Sequence[sp.Expr], at: dict[sp.Symbol, sp.Expr]) -> list[sp.Expr]:
    """What vanishes at a stationary point: f_i - y_i, and the Gram determinant of grad D together with the grad f_i."""
    determinant = determinant_of(elementary, problem.symbols.eta)
    slope = sp.Matrix([[smooth_diff(determinant, p) for p in problem.parameters]]).subs(at, simultaneous=True)
    rows = sp.Matrix(problem.jacobian).subs(at, simultaneous=True).col_join(slope)
    return [e.subs(at, simultaneous=True) for e in problem.equations] + [(rows * rows.T).det(method="berkowitz")]


def _checked(
    problem: SymbolicProblem, elementary: Sequence[sp.Expr], point: Sequence[sp.Expr], eta: sp.Rational, budget: Budget
) -> str:
    at = dict(zip(problem.parameters, point))

    def exactly() -> bool:
        return all(sp.simplify(e) == 0 for e in _defects(problem, elementary, at))

    if budget.attempt("symbolic check of a solution", 2.0, exactly):
        return "exactly"
    numbers = {p: sp.N(v.subs(problem.symbols.eta, eta), _DIGITS) for p, v in at.items()}
    if any(v.free_symbols for v in numbers.values()):
        return ""
    defects = [sp.N(e.subs(problem.symbols.eta, eta), _DIGITS) for e in _defects(problem, elementary, numbers)]
    return f"to 20 digits at eta = {float(eta):g}" if all(abs(e) < 1e-20 for e in defects) else ""


def _described(
    problem: SymbolicProblem, elementary: Sequence[sp.Expr], point: tuple[sp.Expr, ...], checked: str,
    algorithm: Algorithm,
) -> Solution:  # fmt: skip
    eta, at = problem.symbols.eta, dict(zip(problem.parameters, point))
    values = [sp.simplify(e.subs(at, simultaneous=True)) for e in elementary]
    if set(problem.parameters) & set().union(*(v.free_symbols for v in point)):
        return Solution(point, values[0], f"a family, where {eta}*h_max < 2", checked, None)
    numbers = [float(sp.N(v.subs(eta, sp.Rational(repr(algorithm.lr))))) for v in values]
    largest = float(np.max(np.roots([1.0, *((-1) ** k * e for k, e in enumerate(numbers, 1))]).real))
    inside = algorithm.lr * largest < 2
    domain = f"{eta}*h_max < 2; at {eta} = {algorithm.lr:g} it is {algorithm.lr * largest:.6g}"
    if not any(v.has(eta) for v in values):
        bound = sp.simplify(2 / _largest(values)) if len(values) <= 2 else sp.Float(2 / largest, 10)
        bounded = f"{eta} < {bound}" if largest > 0 else f"every {eta}"
        domain = bounded + ("" if inside else f": not at {eta} = {algorithm.lr:g}")
    theta = np.array([float(sp.N(v.subs(eta, sp.Rational(repr(algorithm.lr))))) for v in point])
    root = certify(problem.model, algorithm, theta) if inside else None
    return Solution(point, values[0], domain, checked, root)


def _largest(elementary: Sequence[sp.Expr]) -> sp.Expr:
    if len(elementary) == 1:
        return elementary[0]
    trace, product = elementary
    return (trace + sp.sqrt(trace**2 - 4 * product)) / 2
