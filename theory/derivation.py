"""The paper's theory of one study in symbols: L, H, R, lambda, the stationary points and the slow flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import sympy as sp

from .algorithm import Algorithm
from .certify import CertifiedRoot, stationary_points
from .conserved import Conserved, conserved_rates
from .derived import Derived
from .errors import NotApplicable, TooLarge
from .gradient_test import GradientTest, gradient_near
from .kurdyka import NearStart, kurdyka_near
from .model import Model
from .reached import Reached, reached
from .reduction import Reduction, reduce_to_gamma
from .rules import SGD
from .solution import Solution, closed_form_solutions
from .symbolic import SymbolicProblem, Symbols
from .timelimit import Budget

__all__ = ["Derivation", "derive"]

# The whole of `derive` ends within about half a minute; the slow flows take up to four seconds for each theory.
_SECONDS = 12.0
_ROOT_SECONDS = 5.0
_KURDYKA_SECONDS = 8.0
_GRADIENT_SECONDS = 3.0
_MAX_ROOT_WORK = 25_000
_MAX_UNKNOWNS = 40


@dataclass(frozen=True)
class Derivation:
    """What the theorem says of one model and one algorithm, in SymPy. What was not derived is None or empty.

    Attributes
    ----------
    parameters : tuple of Symbol
        theta, declared real.
    symbols : Symbols
    n, batch : int
    full : bool
        Every sample once per step.
    homoscedastic : bool
        Whether all samples have the same label noise, as R assumes.
    eta : Rational
        The study's learning rate, used for numeric roots only.
    predictions : tuple of Expr
        f_i, or the one f(theta; x_i) when there are too many samples to write out.
    loss : Expr
        L.
    gradient : tuple of Expr
        grad L; empty when not written out.
    sample_gradient : tuple of Expr
        grad f, of one sample, when grad L is not written out.
    gauss_newton : Matrix or None
        H on Gamma, (1/n) sum g_i g_i^T.
    gram : Matrix or None
        The smaller of G = J J^T / n and H: the same nonzero spectrum.
    elementary : tuple of Expr
        e_1..e_m, the elementary symmetric functions of that spectrum; e_1 = h = tr H.
    eigenvalues : tuple of Expr
        The nonzero spectrum, for m at most 2.
    strength : Expr
        lambda = eta sigma^2 / B.
    determinant : Expr or None
        D = det(1 - (eta/2) H), on Gamma.
    regularizer : Expr or None
        R = -(1/(2 eta)) log D.
    series : tuple of Expr
        Coefficients of eta^0, eta^1, eta^2 in R: tr H / 4, tr H^2 / 16, tr H^3 / 48.
    regularizer_gradient : tuple of Expr
        grad R.
    stationarity : tuple of Eq
        grad L + lambda grad R = 0.
    on_gamma : tuple of Eq
        Its limit lambda -> 0: f_i = y_i and grad R + J^T mu = 0.
    reduction : Reduction or None
    conserved : tuple of Conserved
    solutions : tuple of Solution
    unsolved : tuple of Expr
        Equations in the coordinates of `reduction` (expression = 0) with no closed form found.
    no_closed_form : str
        Why there is neither a solution nor an unsolved equation, or "".
    roots : tuple of CertifiedRoot
        Numeric stationary points at the study's learning rate.
    not_searched : str
        Why `roots` were not searched for, or not to the end; "" when they were.
    reached : Reached or None
        Where the slow flow from the start ends, by each theory; None without a start.
    kurdyka : NearStart or None
        L <= mu |grad L|^(1+delta): delta and mu near the start; None without a start.
    gradient_test : GradientTest or None
        Whether the drift of the derived theory is a gradient near the start; None without a start.
    notes : tuple of str
        What was skipped or restricted, and why.

    References
    ----------
    Damian, Ma, Lee, *Label Noise SGD Provably Prefers Flat Global Minimizers*, NeurIPS 2021: Algorithm 1,
    Equation 1 and Theorem 1.
    """

    parameters: tuple[sp.Symbol, ...]
    symbols: Symbols
    n: int
    batch: int
    full: bool
    homoscedastic: bool
    eta: sp.Rational
    predictions: tuple[sp.Expr, ...]
    loss: sp.Expr
    gradient: tuple[sp.Expr, ...]
    sample_gradient: tuple[sp.Expr, ...]
    gauss_newton: sp.ImmutableMatrix | None
    gram: sp.ImmutableMatrix | None
    elementary: tuple[sp.Expr, ...]
    eigenvalues: tuple[sp.Expr, ...]
    strength: sp.Expr
    determinant: sp.Expr | None
    regularizer: sp.Expr | None
    series: tuple[sp.Expr, ...]
    regularizer_gradient: tuple[sp.Expr, ...]
    stationarity: tuple[sp.Eq, ...]
    on_gamma: tuple[sp.Eq, ...]
    reduction: Reduction | None
    conserved: tuple[Conserved, ...]
    solutions: tuple[Solution, ...]
    unsolved: tuple[sp.Expr, ...]
    no_closed_form: str
    roots: tuple[CertifiedRoot, ...]
    not_searched: str
    reached: Reached | None
    kurdyka: NearStart | None
    gradient_test: GradientTest | None
    notes: tuple[str, ...]


def derive(model: Model, algorithm: Algorithm, start: Sequence[float] | None = None) -> Derivation:
    """Derive, for label noise SGD on the square loss, everything the theorem predicts, as far as symbols go.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        Plain SGD with label noise. Its numbers enter only the numeric roots; B is put into lambda.
    start : array_like, shape (d,), optional
        Where the search for numeric roots and the slow flow begin.

    Returns
    -------
    Derivation
        Within about half a minute; `notes` say what was left out.

    Raises
    ------
    NotApplicable
        For another loss, noise or update rule.

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1 and Theorem 1.
    """
    plain = isinstance(algorithm.update_rule, SGD) and algorithm.noise.kind == "label"
    if model.loss_name != "square" or not plain:
        raise NotApplicable("label noise SGD", "the derivation covers label noise without momentum on the square loss")
    algorithm.check(model)
    budget = Budget(_SECONDS)
    problem = SymbolicProblem(model)
    symbols, batch = problem.symbols, algorithm.batch(model)
    strength = symbols.eta * symbols.sigma**2 / batch
    parts: dict[str, Any] = dict(_EMPTY)
    notes = list(_remarks(algorithm, model))
    reason, written = problem.too_large(), None
    if not reason:
        reason = "the written-out expressions could not be derived in the time for it"
        written = budget.attempt("L, H and R written out", 6.0, problem.written_out, budget)
    if written is None:
        parts.update(problem.as_sums())
        parts["no_closed_form"] = reason
        notes.append(f"{reason}: L and H are given as sums over the samples; the determinant, grad R, the stationary"
                     " equations, the chart of Gamma and closed forms are skipped")  # fmt: skip
    else:
        parts.update(written)
        parts["reduction"], parts["no_closed_form"] = _reduced(problem, parts["elementary"], budget)
        if parts["no_closed_form"] not in ("", *budget.skipped):
            notes.append(parts["no_closed_form"])
    if parts["reduction"] is not None:
        solved = closed_form_solutions(problem, parts["reduction"], parts["elementary"], algorithm, budget)
        parts["solutions"], parts["unsolved"] = solved
        if not any(solved):
            parts["no_closed_form"] = f"no candidate is real at eta = {algorithm.lr:g} and passes its check"
    parts["conserved"] = conserved_rates(problem, parts["elementary"], strength, budget)
    parts["roots"], parts["not_searched"] = _numeric_roots(model, algorithm, start)
    if start is not None:
        certified = tuple(_certified(parts["solutions"], parts["roots"]))
        parts["kurdyka"] = Budget(_KURDYKA_SECONDS).attempt(
            "the Kurdyka-Lojasiewicz exponent", _KURDYKA_SECONDS, kurdyka_near, model, model.point(start)
        ) or NearStart((), f"not finished in {_KURDYKA_SECONDS:g} s")
        parts["reached"] = reached(model, algorithm, model.point(start), certified)
        parts["gradient_test"] = Budget(_GRADIENT_SECONDS).attempt(
            "the test of the drift", _GRADIENT_SECONDS, gradient_near, Derived(model, algorithm), model.point(start)
        ) or GradientTest(0, reason=f"not finished in {_GRADIENT_SECONDS:g} s")
    return Derivation(
        **parts, parameters=problem.parameters, symbols=symbols, n=model.n, batch=batch,
        full=algorithm.batch_size == "full", homoscedastic=algorithm.homoscedastic(model),
        eta=sp.Rational(repr(algorithm.lr)), predictions=problem.predictions, strength=strength,
        notes=(*notes, *budget.skipped),
    )  # fmt: skip


def _reduced(problem: SymbolicProblem, elementary: Sequence[sp.Expr], budget: Budget) -> tuple[Reduction | None, str]:
    """The chart of Gamma with what follows, or None and why there is none."""
    symbols, before = problem.symbols, len(budget.skipped)
    found = budget.attempt(
        "chart of Gamma", 3.0, reduce_to_gamma,
        problem.equations, problem.parameters, elementary, symbols.eta, symbols.lam,
    )  # fmt: skip
    if found is not None:
        return found, ""
    if len(budget.skipped) > before:
        return None, budget.skipped[-1]
    dimension = len(problem.parameters) - len(problem.equations)
    if dimension > 0:
        why = f"its dimension {dimension} is too high, or some f_i = y_i can be solved rationally for no parameter"
        return None, f"no coordinates on Gamma: {why}"
    return None, "no coordinates on Gamma: there are as many samples as parameters"


def _remarks(algorithm: Algorithm, model: Model) -> Iterator[str]:
    if not algorithm.homoscedastic(model):
        yield (
            "the samples have different label noise: sigma^2 stands for the mean of sigma_i^2, and the paper's R is"
            " exact only for equal sigma_i"
        )
    if algorithm.minibatch_factor(model):
        yield (
            "batches are smaller than the data: on Gamma the finite batch adds a drift of relative size O(eta n h/B),"
            " which the paper's R leaves out"
        )


def _numeric_roots(
    model: Model, algorithm: Algorithm, start: Sequence[float] | None
) -> tuple[tuple[CertifiedRoot, ...], str]:
    """The roots, and why they were not searched for."""
    if model.n + model.d > _MAX_UNKNOWNS:
        return (), f"n + d = {model.n + model.d} is more than {_MAX_UNKNOWNS} (n={model.n}, d={model.d})"
    work = comb(model.d + 3, 3) * sum(int(sp.count_ops(f)) + 1 for f in model.prediction)
    if work > _MAX_ROOT_WORK:
        size = f"n={model.n}, d={model.d}"
        return (), f"the third derivatives have about {work} operations, more than {_MAX_ROOT_WORK} ({size})"

    def search() -> tuple[tuple[CertifiedRoot, ...], str]:
        try:
            return tuple(stationary_points(model, algorithm, [] if start is None else [model.point(start)])), ""
        except (NotApplicable, TooLarge, np.linalg.LinAlgError) as error:
            return (), str(error)

    what = "the search for numeric stationary points"
    budget = Budget(_ROOT_SECONDS)  # of its own: numeric roots matter most where symbols fail
    return budget.attempt(what, _ROOT_SECONDS, search) or ((), budget.skipped[-1])


def _certified(solutions: Sequence[Solution], roots: Sequence[CertifiedRoot]) -> Iterator[tuple[str, Any]]:
    """The certified points by their names in the report."""
    named = [(f"closed form {k}", s.root) for k, s in enumerate(solutions, 1)]
    named += [(f"numeric point {k}", r) for k, r in enumerate(roots, 1)]
    yield from ((name, root.theta) for name, root in named if root is not None and root.certified)


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("gradient", "sample_gradient", "elementary", "eigenvalues", "series", "regularizer_gradient",
                     "stationarity", "on_gamma", "conserved", "solutions", "unsolved", "roots"), ()),
    **dict.fromkeys(("gauss_newton", "gram", "determinant", "regularizer", "reduction", "reached", "kurdyka",
                     "gradient_test")),
    **dict.fromkeys(("no_closed_form", "not_searched"), ""),
}  # fmt: skip
