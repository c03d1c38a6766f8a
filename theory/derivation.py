"""The paper's theory of one study in symbols: L, H, R, lambda, the stationary points and the slow flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import sympy as sp

from .algorithm import Algorithm, LabelNoise
from .certify import CertifiedRoot, stationary_points
from .conserved import Conserved, conserved_rates
from .errors import NotApplicable, TooLarge
from .model import Model
from .reduction import Reduction, reduce_to_gamma
from .solution import Solution, closed_form_solutions
from .symbolic import SymbolicProblem, Symbols
from .timelimit import Budget

__all__ = ["Derivation", "derive"]

# The whole of `derive` ends within about twenty seconds.
_SECONDS = 12.0
_ROOT_SECONDS = 5.0
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
    roots : tuple of CertifiedRoot
        Numeric stationary points at the study's learning rate.
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
    roots: tuple[CertifiedRoot, ...]
    notes: tuple[str, ...]


def derive(model: Model, algorithm: Algorithm, start: Sequence[float] | None = None) -> Derivation:
    """Derive, for label noise SGD on the square loss, everything the theorem predicts, as far as symbols go.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        Plain SGD with label noise. Its numbers enter only the numeric roots; B is put into lambda.
    start : array_like, shape (d,), optional
        Where the search for numeric roots begins.

    Returns
    -------
    Derivation
        Within about twenty seconds; `notes` say what was left out.

    Raises
    ------
    NotApplicable
        For another loss, noise or update rule.

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1 and Theorem 1.
    """
    if model.loss_name != "square" or not isinstance(algorithm.noise, LabelNoise) or algorithm.momentum:
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
        notes.append(f"{reason}: L and H are given as sums over the samples; the determinant, grad R, the stationary"
                     " equations, the chart of Gamma and closed forms are skipped")  # fmt: skip
    else:
        parts.update(written)
        parts["reduction"], problem_of_chart = _reduced(problem, parts["elementary"], budget)
        notes.extend(problem_of_chart)
    if parts["reduction"] is not None:
        solved = closed_form_solutions(problem, parts["reduction"], parts["elementary"], algorithm, budget)
        parts["solutions"], parts["unsolved"] = solved
    parts["conserved"] = conserved_rates(problem, parts["elementary"], strength, budget)
    search = Budget(_ROOT_SECONDS)  # of its own: numeric roots matter most where symbols fail
    parts["roots"] = _numeric_roots(model, algorithm, start, search)
    return Derivation(
        **parts, parameters=problem.parameters, symbols=symbols, n=model.n, batch=batch,
        full=algorithm.batch_size == "full", homoscedastic=algorithm.homoscedastic(model),
        eta=sp.Rational(repr(algorithm.lr)), predictions=problem.predictions, strength=strength,
        notes=(*notes, *budget.skipped, *search.skipped),
    )  # fmt: skip


def _reduced(
    problem: SymbolicProblem, elementary: Sequence[sp.Expr], budget: Budget
) -> tuple[Reduction | None, list[str]]:
    symbols, before = problem.symbols, len(budget.skipped)
    found = budget.attempt(
        "chart of Gamma", 3.0, reduce_to_gamma,
        problem.equations, problem.parameters, elementary, symbols.eta, symbols.lam,
    )  # fmt: skip
    if found is not None or len(budget.skipped) > before:
        return found, []
    dimension = len(problem.parameters) - len(problem.equations)
    if dimension > 0:
        why = f"its dimension {dimension} is too high, or some f_i = y_i can be solved rationally for no parameter"
        return None, [f"no coordinates on Gamma: {why}"]
    return None, ["no coordinates on Gamma: there are as many samples as parameters"]


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
    model: Model, algorithm: Algorithm, start: Sequence[float] | None, budget: Budget
) -> tuple[CertifiedRoot, ...]:
    work = comb(model.d + 3, 3) * sum(int(sp.count_ops(f)) + 1 for f in model.prediction)
    if work > _MAX_ROOT_WORK or model.n + model.d > _MAX_UNKNOWNS:
        budget.note(f"numeric stationary points: n={model.n}, d={model.d} is too large for third derivatives")
        return ()

    def search() -> tuple[CertifiedRoot, ...]:
        try:
            return tuple(stationary_points(model, algorithm, [] if start is None else [model.point(start)]))
        except (NotApplicable, TooLarge, np.linalg.LinAlgError) as error:
            budget.note(f"numeric stationary points: {error}")
            return ()

    return budget.attempt("numeric stationary points", _ROOT_SECONDS, search) or ()


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("gradient", "sample_gradient", "elementary", "eigenvalues", "series", "regularizer_gradient",
                     "stationarity", "on_gamma", "conserved", "solutions", "unsolved", "roots"), ()),
    **dict.fromkeys(("gauss_newton", "gram", "determinant", "regularizer", "reduction")),
}  # fmt: skip
