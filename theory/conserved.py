"""Quadratic quantities that the gradient flow conserves, and how slowly label noise changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement
from math import lcm

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .model import Model
from .reduction import determinant_of, tidy
from .symbolic import SymbolicProblem, smooth_diff
from .timelimit import Budget

__all__ = ["Conserved", "conserved_quadratics", "conserved_rates", "expressed_in"]

Array = NDArray[np.float64]

_MAX_SAMPLES = 60
_MAX_ENTRIES = 4_000_000
_MAX_MONOMIALS = 70
_MAX_SHOWN = 12
_MAX_GENERATORS = 4


@dataclass(frozen=True)
class Conserved:
    """A quadratic form q = theta^T M theta with grad q . grad f_i = 0 for every sample.

    Attributes
    ----------
    symbol : Symbol
        Its name in `rate`.
    expression : Expr
        q(theta).
    rate : Expr or None
        q' per step on Gamma, -eta lambda grad q . grad R, in q, h = tr H and whatever else is needed;
        exact to leading order in lambda, for grad q is tangent to Gamma.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1, for the drift -eta lambda P grad R.
    """

    symbol: sp.Symbol
    expression: sp.Expr
    rate: sp.Expr | None


def conserved_quadratics(model: Model, parameters: Sequence[sp.Symbol], budget: Budget, limit: float) -> list[sp.Expr]:
    """All q = theta^T M theta with grad q . grad f_i = 0 identically: a basis with small whole coefficients.

    The linear system for M is set up at fixed points and solved in floating point; each candidate is then proved
    in symbols, so that a wrong one cannot pass. What cannot be done is noted in `budget.skipped`.

    Parameters
    ----------
    model : Model
    parameters : sequence of Symbol
        theta as the result shall name it.
    budget : Budget
    limit : float
        Seconds.
    """
    d = model.d
    pairs = sorted(combinations_with_replacement(range(d), 2), key=lambda ij: (ij[0] != ij[1], ij))
    listed = not model.inputs and len(model.prediction) > 1
    used = model.n if listed else min(model.n, _MAX_SAMPLES)
    points = len(pairs) // used + 12
    if used > _MAX_SAMPLES or points * model.n * d + points * used * len(pairs) > _MAX_ENTRIES:
        budget.note(f"conserved quadratic forms: n={model.n}, d={d} is too many for the linear system")
        return []
    system = _system(model, pairs, points, used)
    if system is None:
        budget.note("conserved quadratic forms: a gradient is not finite at the points of the linear system")
        return []
    candidates = [sum((c * parameters[i] * parameters[j] for c, (i, j) in zip(row, pairs) if c), sp.Integer(0))
                  for row in _whole_null_space(system)]  # fmt: skip
    if len(candidates) > _MAX_SHOWN:
        budget.note(f"conserved quadratic forms: {_MAX_SHOWN} of {len(candidates)} are written out")
    shown = candidates[:_MAX_SHOWN]
    proved = budget.attempt("proof of the conserved quadratic forms", limit, _proved, shown, model, parameters)
    return proved or []


def _system(model: Model, pairs: Sequence[tuple[int, int]], points: int, used: int) -> Array | None:
    # Fixed points of a Weyl sequence (multiples of square roots of primes), which is in general position.
    primes = [sp.prime(k + 1) for k in range(model.d)]
    theta = 0.4 + np.mod(np.outer(np.arange(1, points + 1), np.sqrt(np.array(primes, dtype=float))), 1.0)
    gradients = model.samples.jacobian(theta)[:, :used]
    columns = [theta[:, None, j] * gradients[..., i] + theta[:, None, i] * gradients[..., j] for i, j in pairs]
    system = np.stack([c.ravel() for c in columns], axis=1)
    return system if np.all(np.isfinite(system)) else None


def _whole_null_space(system: Array) -> list[list[int]]:
    _, singular, rows = np.linalg.svd(system, full_matrices=True)
    rank = int(np.sum(singular > 1e-10 * max(singular[0], 1e-300)))
    basis = rows[rank:].copy()
    pivot = 0
    for column in range(basis.shape[1]):  # reduced row echelon form: sparse rows, leading ones
        if pivot == len(basis):
            break
        best = pivot + int(np.argmax(np.abs(basis[pivot:, column])))
        if abs(basis[best, column]) < 1e-7:
            continue
        basis[[pivot, best]] = basis[[best, pivot]]
        basis[pivot] /= basis[pivot, column]
        others = np.arange(len(basis)) != pivot
        basis[others] -= np.outer(basis[others, column], basis[pivot])
        pivot += 1
    whole = []
    for row in basis:
        fractions = [Fraction(float(v)).limit_denominator(1000) for v in row]
        if max(abs(float(f) - v) for f, v in zip(fractions, row)) < 1e-6:
            scale = lcm(*(f.denominator for f in fractions))
            whole.append([int(f * scale) for f in fractions])
    return whole


def _proved(candidates: Sequence[sp.Expr], model: Model, parameters: Sequence[sp.Symbol]) -> list[sp.Expr]:
    rename = dict(zip(model.parameters, parameters))
    predictions = [f.subs(rename, simultaneous=True) for f in model.prediction]
    return [q for q in candidates if all(_orthogonal(q, f, parameters) for f in predictions)]


def _orthogonal(q: sp.Expr, f: sp.Expr, parameters: Sequence[sp.Symbol]) -> bool:
    product = sp.expand(sum((q.diff(p) * f.diff(p) for p in parameters if q.has(p)), sp.Integer(0)))
    return product == 0 or sp.simplify(product) == 0


def expressed_in(
    target: sp.Expr, generators: Mapping[sp.Symbol, sp.Expr], parameters: Sequence[sp.Symbol]
) -> sp.Expr | None:
    """Write a polynomial in theta as a polynomial in given polynomials of theta, the first generators preferred.

    Parameters
    ----------
    target : Expr
    generators : mapping Symbol -> Expr
        The name of each polynomial and what it is.
    parameters : sequence of Symbol

    Returns
    -------
    Expr or None
        An expression in the names, exactly equal to `target`; None when there is none of low degree.
    """
    if target == 0:
        return sp.Integer(0)
    aim = sp.Poly(target, *parameters)
    names = list(generators)
    polynomials = [sp.Poly(generators[g], *parameters) for g in names]
    if any(p.total_degree() < 1 for p in polynomials):
        return None
    monomials = _monomials([p.total_degree() for p in polynomials], aim.total_degree())
    if len(monomials) > _MAX_MONOMIALS:
        return None
    products = [_product(polynomials, m, parameters) for m in monomials]
    support = sorted({k for p in (*products, aim) for k in p.as_dict()})
    table = sp.Matrix([[p.as_dict().get(k, 0) for p in (*products, aim)] for k in support])
    reduced, pivots = table.rref()
    if len(products) in pivots:
        return None
    terms = (
        reduced[row, len(products)] * sp.Mul(*(g**e for g, e in zip(names, monomials[column])))
        for row, column in enumerate(pivots)
    )
    return sp.Add(*terms)


def _monomials(degrees: Sequence[int], bound: int) -> list[tuple[int, ...]]:
    # Exponents of all products up to the total degree of the target; early generators first.
    found: list[tuple[int, ...]] = [()]
    for degree in degrees:
        found = [
            (*m, e)
            for m in found
            for e in range(bound // degree + 1)
            if sum(k * g for k, g in zip(m, degrees)) + e * degree <= bound
        ]
        if len(found) > 40 * _MAX_MONOMIALS:
            break
    late = [tuple(reversed(m)) for m in found]
    return [m for _, m in sorted(zip(late, found))]


def _product(polynomials: Sequence[sp.Poly], exponents: Sequence[int], parameters: Sequence[sp.Symbol]) -> sp.Poly:
    result = sp.Poly(1, *parameters)
    for p, e in zip(polynomials, exponents):
        result *= p**e
    return result


def conserved_rates(
    problem: SymbolicProblem, elementary: Sequence[sp.Expr], strength: sp.Expr, budget: Budget
) -> tuple[Conserved, ...]:
    """The conserved quadratic forms with their slow equations on Gamma.

    Parameters
    ----------
    problem : SymbolicProblem
    elementary : sequence of Expr
        e_1..e_m of the spectrum of H; empty: no slow equations.
    strength : Expr
        lambda.
    budget : Budget
    """
    forms = conserved_quadratics(problem.model, problem.parameters, budget, 3.0)
    fresh = problem.symbols.fresh
    names = [fresh("q")] if len(forms) == 1 else [fresh(f"q_{k}") for k in range(1, len(forms) + 1)]
    named = dict(zip(names, forms))
    found = []
    for symbol, form in named.items():
        rate = None
        if elementary:
            what = f"slow equation of {symbol}"
            rate = budget.attempt(what, 3.0, _rate, problem, elementary, strength, symbol, named)
        found.append(Conserved(symbol, form, rate))
    return tuple(found)


def _rate(
    problem: SymbolicProblem,
    elementary: Sequence[sp.Expr],
    strength: sp.Expr,
    symbol: sp.Symbol,
    named: Mapping[sp.Symbol, sp.Expr],
) -> sp.Expr:
    """q' = -eta lambda grad q . grad R = (lambda/2) (grad q . grad D) / D, D = 1 - (eta/2) e_1 + (eta/2)^2 e_2 - ..."""
    symbols, form = problem.symbols, named[symbol]
    others = [q for q in named if q != symbol][: _MAX_GENERATORS - 1]
    generators = {q: named[q] for q in (symbol, *others)} | {symbols.trace: elementary[0]}
    spectrum = dict(zip(symbols.elementary, elementary))
    values = [symbols.trace]
    for name, e in list(spectrum.items())[1:]:
        known = _in_generators(problem, e, generators)
        values.append(name if known is None else known)
    slopes = []
    for e in elementary:
        slope = sum((form.diff(p) * smooth_diff(e, p) for p in problem.parameters), sp.Integer(0))
        known = _in_generators(problem, slope, generators | spectrum)
        slopes.append(_divided(slope, form, symbol, problem.parameters) if known is None else known)
    numerator = determinant_of(slopes, symbols.eta) - 1
    return _presented(strength / 2 * numerator / determinant_of(values, symbols.eta), symbols.eta)


def _in_generators(
    problem: SymbolicProblem, target: sp.Expr, generators: Mapping[sp.Symbol, sp.Expr]
) -> sp.Expr | None:
    """`target` on Gamma in the generators; the predictions may be used too, for they are the numbers y_i there."""
    parameters = problem.parameters
    if not all(e.is_polynomial(*parameters) for e in (target, *generators.values(), *problem.predictions)):
        return None
    predictions = {sp.Dummy(): f for f in problem.predictions if not f.is_number}
    values = dict(zip(predictions, (y for f, y in zip(problem.predictions, problem.targets) if not f.is_number)))
    for available in (generators, {**generators, **predictions}):
        found = expressed_in(target, available, parameters)
        if found is not None:
            return found.subs(values)
    return None


def _divided(target: sp.Expr, form: sp.Expr, symbol: sp.Symbol, parameters: Sequence[sp.Symbol]) -> sp.Expr:
    if target.is_polynomial(*parameters):
        (quotient,), rest = sp.reduced(target, [form], *parameters)
        if rest == 0:
            return symbol * sp.factor(quotient)
    return tidy(target)


def _presented(rate: sp.Expr, eta: sp.Symbol) -> sp.Expr:
    # As -a/(2 - eta h): the denominator positive at small eta.
    top, bottom = sp.fraction(sp.cancel(rate) if sp.count_ops(rate) < 300 else rate)
    if bottom.subs(eta, 0).is_negative:
        top, bottom = -top, -bottom
    return sp.factor(top) / sp.expand(bottom)
