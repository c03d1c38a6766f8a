"""Loss, Hessian on Gamma and regularizer of a model in symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import sympy as sp

from .model import Model
from .reduction import determinant_of, regularizer_slope, tidy
from .timelimit import Budget

__all__ = ["SymbolicProblem", "Symbols", "smooth_diff"]

_MAX_ORDER = 4  # of the determinant
_MAX_SAMPLES = 12
_MAX_OPERATIONS = 4_000  # of all gradients together
_MAX_SHOWN_ROWS = 10  # of H written out
_MAX_MATRIX = 6  # rows of H that are shown as sums


@dataclass(frozen=True)
class Symbols:
    """The symbols of a derivation; one that a parameter or an input uses gets an underscore (eta_).

    Attributes
    ----------
    eta, sigma, lam, trace : Symbol
        Learning rate, label noise, lambda, h = tr H; positive.
    elementary : tuple of Symbol
        h, e_2, e_3, e_4.
    determinant : Symbol
        D = det(1 - (eta/2) H).
    multipliers : tuple of Symbol
        mu_i.
    taken : frozenset of str
        Names of the parameters and inputs.
    """

    eta: sp.Symbol
    sigma: sp.Symbol
    lam: sp.Symbol
    trace: sp.Symbol
    elementary: tuple[sp.Symbol, ...]
    determinant: sp.Symbol
    multipliers: tuple[sp.Symbol, ...]
    taken: frozenset[str]

    def fresh(self, name: str) -> sp.Symbol:
        """A real symbol that no parameter uses."""
        return _fresh(name, self.taken, real=True)


def _fresh(name: str, taken: frozenset[str], **assumptions: bool) -> sp.Symbol:
    while name in taken:
        name += "_"
    return sp.Symbol(name, **assumptions)


def smooth_diff(expression: sp.Expr, *by: sp.Symbol) -> sp.Expr:
    """Differentiate away from the kinks of abs, where the second derivative of abs is zero."""
    derivative = expression.diff(*by)
    return derivative.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) if derivative.has(sp.DiracDelta) else derivative


class SymbolicProblem:
    """A model with real symbols and exact data (the decimals that print them).

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.parameters = tuple(sp.Symbol(p.name, real=True) for p in model.parameters)
        inputs = {s: sp.Symbol(s.name, real=True) for s in model.inputs}
        self._rename = {**dict(zip(model.parameters, self.parameters)), **inputs}
        taken = frozenset(s.name for s in self._rename)
        names = {"eta": "eta", "sigma": "sigma", "lam": "lam", "trace": "h", "determinant": "D"}
        few = range(1, min(model.n, _MAX_SAMPLES) + 1)
        chosen: dict[str, Any] = {k: _fresh(v, taken, positive=True) for k, v in names.items()}
        chosen["multipliers"] = tuple(_fresh(f"mu_{i}", taken, real=True) for i in few)
        higher = (_fresh(f"e_{k}", taken, positive=True) for k in range(2, _MAX_ORDER + 1))
        chosen["elementary"] = (chosen["trace"], *higher)
        self.symbols = Symbols(**chosen, taken=taken)

    @cached_property
    def general(self) -> tuple[sp.Expr, ...]:
        """The predictions as given: one f(theta; x), or one per sample."""
        return tuple(_exact(f).subs(self._rename, simultaneous=True) for f in self.model.prediction)

    @cached_property
    def predictions(self) -> tuple[sp.Expr, ...]:
        """f_1..f_n written out, or `general` when they are too many."""
        if self.too_large():
            return self.general
        return tuple(_exact(f).subs(self._rename, simultaneous=True) for f in self.model.sample_expressions)

    @cached_property
    def targets(self) -> tuple[sp.Rational, ...]:
        """y_1..y_n as exact decimals."""
        return tuple(sp.Rational(repr(float(v))) for v in self.model.y)

    @cached_property
    def equations(self) -> tuple[sp.Expr, ...]:
        """f_i - y_i."""
        return tuple(f - y for f, y in zip(self.predictions, self.targets))

    @cached_property
    def jacobian(self) -> sp.ImmutableMatrix:
        """Rows grad f_i of the samples written out."""
        return sp.ImmutableMatrix([[smooth_diff(f, p) for p in self.parameters] for f in self.predictions])

    def too_large(self) -> str:
        """Why the samples are not written out, or ""."""
        n, d = self.model.n, self.model.d
        if n > _MAX_SAMPLES:
            return f"n={n} samples are more than the {_MAX_SAMPLES} that are written out"
        if min(n, d) > _MAX_ORDER:
            return f"the determinant of order min(n, d) = {min(n, d)} is more than {_MAX_ORDER}"
        operations = sum(int(sp.count_ops(f)) + 1 for f in self.model.prediction) * n * d // len(self.model.prediction)
        if operations > _MAX_OPERATIONS:
            return f"the gradients have about {operations} operations, more than {_MAX_OPERATIONS}"
        return ""

    def written_out(self, budget: Budget) -> dict[str, Any]:
        """L, grad L, H, its spectrum and R with every sample written out: fields of `Derivation`."""
        n, jacobian, symbols = self.model.n, self.jacobian, self.symbols
        loss = sp.Add(*(r**2 for r in self.equations)) / (2 * n)
        gradient = tuple(
            sp.Add(*(r * jacobian[i, k] for i, r in enumerate(self.equations))) / n for k in range(self.model.d)
        )
        hessian = None
        if self.model.d <= max(n, _MAX_SHOWN_ROWS):
            hessian = sp.ImmutableMatrix((jacobian.T * jacobian / n).applyfunc(sp.factor_terms))
        gram = (jacobian * jacobian.T / n).applyfunc(sp.factor_terms) if n <= self.model.d else hessian
        elementary = _elementary(gram, budget)
        determinant = determinant_of(elementary, symbols.eta)
        slopes = [_quick(smooth_diff(determinant, p), budget) for p in self.parameters]
        rise = tuple(
            budget.attempt("simplification of grad R", 1.5, regularizer_slope, s, determinant, symbols.eta)
            or -s / (2 * symbols.eta * determinant)
            for s in slopes
        )
        multiplied = [
            sp.Add(*(m * jacobian[i, k] for i, m in enumerate(symbols.multipliers))) for k in range(self.model.d)
        ]
        return {
            "loss": loss,
            "gradient": gradient,
            "gauss_newton": hessian,
            "gram": sp.ImmutableMatrix(gram),
            "elementary": elementary,
            "eigenvalues": _eigenvalues(elementary),
            "determinant": determinant,
            "regularizer": -sp.log(determinant) / (2 * symbols.eta),
            "series": _series(elementary, budget),
            "regularizer_gradient": rise,
            "stationarity": tuple(
                sp.Eq(g + symbols.lam * r, 0, evaluate=False) for g, r in zip(gradient, rise, strict=True)
            ),
            "on_gamma": tuple(sp.Eq(f, y, evaluate=False) for f, y in zip(self.predictions, self.targets))
            + tuple(sp.Eq(r + m, 0, evaluate=False) for r, m in zip(rise, multiplied)),
        }

    def as_sums(self) -> dict[str, Any]:
        """L, grad f and H as sums over the samples: fields of `Derivation`."""
        n, taken = self.model.n, self.symbols.taken
        i = sp.Symbol(_fresh("i", taken).name, integer=True)
        y = sp.IndexedBase(_fresh("y", taken).name)[i]
        if len(self.general) > 1:
            f = sp.IndexedBase(_fresh("f", taken).name)[i]
            return {"loss": sp.Sum((f - y) ** 2, (i, 1, n)) / (2 * n)}
        data = {self._rename[s]: sp.IndexedBase(s.name)[i] for s in self.model.inputs}
        one = self.general[0].subs(data)
        gradient = tuple(smooth_diff(one, p) for p in self.parameters)
        parts: dict[str, Any] = {"loss": sp.Sum((one - y) ** 2, (i, 1, n)) / (2 * n), "sample_gradient": gradient}
        if len(gradient) <= _MAX_MATRIX:
            parts["gauss_newton"] = sp.ImmutableMatrix(
                [[sp.Sum(a * b, (i, 1, n)) / n for b in gradient] for a in gradient]
            )
        return parts


def _exact(expression: sp.Expr) -> sp.Expr:
    # Floating-point coefficients as the decimals that print them, like the data; SymPy factors no floats.
    return expression.xreplace({c: sp.Rational(repr(float(c))) for c in expression.atoms(sp.Float)})


def _quick(expression: sp.Expr, budget: Budget) -> sp.Expr:
    found = budget.attempt("simplification", 1.5, tidy, expression)
    return expression if found is None else found


def _elementary(gram: Any, budget: Budget) -> tuple[sp.Expr, ...]:
    # e_k is the sum of the principal minors of order k.
    m = gram.shape[0]
    found = []
    for k in range(1, m + 1):
        minors = (gram.extract(list(s), list(s)).det(method="berkowitz") for s in combinations(range(m), k))
        found.append(_quick(sp.Add(*minors), budget))
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    return tuple(found)


def _eigenvalues(elementary: Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
    if len(elementary) == 1:
        return (elementary[0],)
    if len(elementary) > 2:
        return ()
    trace, product = elementary
    root = sp.sqrt(trace**2 - 4 * product)
    return ((trace + root) / 2, (trace - root) / 2)


def _series(elementary: Sequence[sp.Expr], budget: Budget) -> tuple[sp.Expr, ...]:
    # tr H^k by Newton's identities; -log(1 - x) = x + x^2/2 + x^3/3 + ... at x = eta h/2, over 2 eta.
    e1, e2, e3 = (*elementary, sp.Integer(0), sp.Integer(0))[:3]
    traces = (e1, e1**2 - 2 * e2, e1**3 - 3 * e1 * e2 + 3 * e3)
    short = sp.count_ops(e1) + sp.count_ops(e2) + sp.count_ops(e3) < 60
    return tuple((_quick(t, budget) if short else t) / w for t, w in zip(traces, (4, 16, 48)))
