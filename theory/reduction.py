"""The problem reduced to the zero-loss set Gamma: a rational chart, R in it, its slow flow and stationary points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from .timelimit import Budget

__all__ = [
    "Reduction", "determinant_of", "find_chart", "reduce_to_gamma", "regularizer_slope", "solve_reduced", "tidy",
]  # fmt: skip

# Above this many operations an expression is left as it is: factoring is then slower than it is worth.
_TIDY_OPERATIONS = 250
_TIDY_SYMBOLS = 8
_MAX_NODES = 200
_MAX_COORDINATES = 4


@dataclass(frozen=True)
class Reduction:
    """R, its slow flow and its stationary equations in coordinates s of Gamma.

    Attributes
    ----------
    chart : dict
        Each eliminated parameter as an expression in the free ones.
    free : tuple of Symbol
        The coordinates s.
    pivots : tuple of Expr
        The chart holds where none of them vanishes.
    elementary : tuple of Expr
        e_1..e_m, the elementary symmetric functions of the spectrum of H, in s; e_1 = tr H.
    determinant : Expr
        det(1 - (eta/2) H) in s.
    gradient : tuple of Expr
        dR/ds.
    metric : Matrix
        g = (dtheta/ds)^T dtheta/ds, the metric that Gamma inherits.
    flow : tuple of Expr or None
        ds per step, -eta lambda g^-1 dR/ds; None with more than two coordinates (solve g s' = -eta lambda dR/ds).
    equations : tuple of Expr
        dR/ds = 0 with the denominators removed.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1 and Section 2; Li, Wang, Arora (2022) for the limit flow on Gamma.
    """

    chart: Mapping[sp.Symbol, sp.Expr]
    free: tuple[sp.Symbol, ...]
    pivots: tuple[sp.Expr, ...]
    elementary: tuple[sp.Expr, ...]
    determinant: sp.Expr
    gradient: tuple[sp.Expr, ...]
    metric: sp.ImmutableMatrix
    flow: tuple[sp.Expr, ...] | None
    equations: tuple[sp.Expr, ...]


def tidy(expression: sp.Expr) -> sp.Expr:
    """Factor a quotient; what is long stays as it is."""
    if len(expression.free_symbols) > _TIDY_SYMBOLS or sp.count_ops(expression) > _TIDY_OPERATIONS:
        return expression
    factored = sp.factor(sp.cancel(expression))
    return min((expression, factored), key=sp.count_ops)


def find_chart(
    equations: Sequence[sp.Expr], parameters: Sequence[sp.Symbol]
) -> tuple[dict[sp.Symbol, sp.Expr], tuple[sp.Expr, ...]] | None:
    """Solve the equations for some of the parameters by rational elimination, the last parameters first.

    Returns
    -------
    (chart, pivots) or None
        Parameter -> expression in the remaining ones, where no pivot vanishes; None when some equation is affine
        in no parameter.
    """
    nodes = [0]

    def eliminate(
        left: list[sp.Expr], unused: tuple[sp.Symbol, ...]
    ) -> tuple[dict[sp.Symbol, sp.Expr], tuple[sp.Expr, ...]] | None:
        if not left:
            return {}, ()
        nodes[0] += 1
        if nodes[0] > _MAX_NODES:
            return None
        first = sp.expand(sp.numer(sp.together(left[0])))
        if first == 0:
            return eliminate(left[1:], unused)
        for p in reversed(unused):
            slope = sp.expand(first.diff(p))
            if slope == 0 or slope.has(p):
                continue
            value = tidy(-first.subs(p, 0) / slope)
            found = eliminate([e.subs(p, value) for e in left[1:]], tuple(q for q in unused if q != p))
            if found is not None:
                chart, pivots = found
                return {**chart, p: tidy(value.subs(chart))}, (sp.factor(slope.subs(chart)), *pivots)
        return None

    return eliminate(list(equations), tuple(parameters))


def reduce_to_gamma(
    equations: Sequence[sp.Expr],
    parameters: Sequence[sp.Symbol],
    elementary: Sequence[sp.Expr],
    eta: sp.Symbol,
    lam: sp.Symbol,
) -> Reduction | None:
    """Put a chart of Gamma = {equations = 0} into R; None without a chart or with none or too many coordinates."""
    if len(parameters) - len(equations) > _MAX_COORDINATES:
        return None
    found = find_chart(equations, parameters)
    if found is None:
        return None
    chart, pivots = found
    free = tuple(p for p in parameters if p not in chart)
    if not free:
        return None
    traces = tuple(tidy(e.subs(chart)) for e in elementary)
    determinant = determinant_of(traces, eta)
    slopes = [tidy(determinant.diff(s)) for s in free]
    # The factor eta of every slope drops out: at eta > 0 it changes no root.
    equations_left = tuple(sp.numer(sp.together(slope / eta)) for slope in slopes)
    gradient = tuple(regularizer_slope(slope, determinant, eta) for slope in slopes)
    point = sp.Matrix([chart.get(p, p) for p in parameters])
    tangents = point.jacobian(free)
    metric = (tangents.T * tangents).applyfunc(tidy)
    flow = None
    if len(free) <= 2:
        # By hand: Matrix.inv simplifies the determinant to see whether it is zero, and it is not.
        area = metric[0, 0] if len(free) == 1 else metric[0, 0] * metric[1, 1] - metric[0, 1] ** 2
        flow = tuple(tidy(-eta * lam * v / area) for v in metric.adjugate() * sp.Matrix(gradient))
    return Reduction(
        chart=chart,
        free=free,
        pivots=tuple(dict.fromkeys(p.as_coeff_Mul()[1] for p in pivots if p.free_symbols)),
        elementary=traces,
        determinant=determinant,
        gradient=gradient,
        metric=sp.ImmutableMatrix(metric),
        flow=flow,
        equations=tuple(sp.factor(e) if sp.count_ops(e) < _TIDY_OPERATIONS else e for e in equations_left),
    )


def determinant_of(elementary: Sequence[sp.Expr], eta: sp.Symbol) -> sp.Expr:
    """det(1 - (eta/2) H) = 1 - (eta/2) e_1 + (eta/2)^2 e_2 - ..."""
    return sp.Integer(1) + sum(((-eta / 2) ** k * e for k, e in enumerate(elementary, 1)), sp.Integer(0))


def regularizer_slope(slope: sp.Expr, determinant: sp.Expr, eta: sp.Symbol) -> sp.Expr:
    """The derivative of R = -(1/(2 eta)) log D from that of D, as a quotient over 2 D = 2 - eta e_1 + ..."""
    plain = tidy(-slope / eta) / sp.Add(*(2 * term for term in sp.Add.make_args(determinant)))
    top, bottom = sp.fraction(min((plain, tidy(plain)), key=sp.count_ops))
    if bottom.is_Add and bottom.subs(eta, 0).is_negative:
        top, bottom = -top, sp.expand(-bottom)  # positive at small eta
    return top / bottom


def solve_reduced(
    reduction: Reduction, parameters: Sequence[sp.Symbol], budget: Budget, limit: float
) -> tuple[list[tuple[sp.Expr, ...]], list[sp.Expr]]:
    """Stationary points in closed form, and the factors of the equations that have none.

    Returns
    -------
    points : list of tuple
        theta of each solution, in all parameters, not yet checked.
    unsolved : list of Expr
        Expressions whose zeros SymPy does not give.
    """
    found = budget.attempt("closed form of the stationary points", limit, _closed_form, reduction, parameters)
    return found if found is not None else ([], list(reduction.equations))


def _closed_form(
    reduction: Reduction, parameters: Sequence[sp.Symbol]
) -> tuple[list[tuple[sp.Expr, ...]], list[sp.Expr]]:
    if len(reduction.free) == 1:
        roots, unsolved = _roots_of_one(reduction.equations[0], reduction.free[0])
    else:
        roots, unsolved = _roots_of_many(reduction.equations, reduction.free), []
    points = []
    for root in roots:
        full = tuple(sp.simplify(reduction.chart.get(p, p).subs(root, simultaneous=True)) for p in parameters)
        if not any(v.has(sp.zoo, sp.nan, sp.oo) or v.is_real is False for v in full) and full not in points:
            points.append(full)
    return points, unsolved


def _roots_of_one(equation: sp.Expr, s: sp.Symbol) -> tuple[list[dict[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    # Factor by factor; cubic and quartic formulas are left out, for nobody reads them.
    roots: list[dict[sp.Symbol, sp.Expr]] = []
    unsolved = []
    for factor, _ in sp.factor_list(equation)[1]:
        if not factor.has(s):
            continue
        if not factor.is_polynomial(s):
            solutions = sp.solve(factor, s) if sp.count_ops(factor) < 60 else []
            roots += [{s: r} for r in solutions]
            if not solutions:
                unsolved.append(factor)
            continue
        polynomial = sp.Poly(factor, s)
        found = sp.roots(polynomial, cubics=False, quartics=False)
        roots += [{s: r} for r in sorted(found, key=sp.default_sort_key, reverse=True)]
        if sum(found.values()) < polynomial.degree():
            unsolved.append(factor)
    return roots, unsolved


def _roots_of_many(equations: Sequence[sp.Expr], free: Sequence[sp.Symbol]) -> list[dict[sp.Symbol, sp.Expr]]:
    if not all(e.is_polynomial(*free) for e in equations):
        raise NotImplementedError
    return list(sp.solve(list(equations), list(free), dict=True))
