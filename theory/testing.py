"""Hypothesis strategies for property tests: models with a known zero-loss point, update rules, noise, algorithms.

A random model needs no fitting: draw any smooth f and theta*, and define y_i as f_i(theta*); theta* is then on Gamma.
Needs the extra `testing`; nothing else in flatmin imports this module, and every choice is drawn by Hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .effective import effective
from .errors import NotApplicable
from .geometry import LocalGeometry
from .losses import FlipLaw, flip_law, make_loss
from .model import Model
from .noise import GradientNoise, Kind, LabelFlip, LabelNoise, Noise
from .rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, UpdateRule, WeightDecay
from .stability import stability_limit

try:
    from hypothesis import assume
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("flatmin.theory.testing needs Hypothesis: pip install 'flatmin[testing]'") from error

__all__ = ["BUILT_IN_RULES", "KINDS_OF_MODELS", "Case", "algorithms", "cases", "models_on_gamma"]
__all__ += ["noises", "update_rules"]

Array = NDArray[np.float64]
Regime = Literal["inside", "edge"]
Draw = Callable[[Any], Any]

BUILT_IN_RULES: tuple[type[UpdateRule], ...] = (SGD, HeavyBall, Nesterov, WeightDecay, Preconditioned, SharpnessAware)
KINDS_OF_MODELS = ("polynomial", "tanh", "product", "smooth")
# lr over its limit.
_FRACTIONS = {"inside": (0.05, 0.8), "edge": (0.97, 0.999)}
_SMOOTH = (
    lambda a, b: sp.exp(a / 2) * b,
    lambda a, b: sp.sin(a) + b**2,
    lambda a, b: sp.log(1 + a**2) * b,
    lambda a, b: a * sp.tanh(b),
)


@dataclass(frozen=True)
class Case:
    """An algorithm on a model, at a point of its zero-loss set.

    Attributes
    ----------
    model : Model
    algorithm : Algorithm
    theta : ndarray, shape (d,)
        A zero-loss point; with flips every margin y_i f_i is there where the mean loss is least.
    """

    model: Model
    algorithm: Algorithm
    theta: Array

    @cached_property
    def square(self) -> tuple[Model, Algorithm]:
        """Model and algorithm with a square loss, for the theories; see `effective`."""
        return effective(self.model, self.algorithm)

    @cached_property
    def local(self) -> LocalGeometry:
        """The geometry at theta, of the square loss."""
        return LocalGeometry.at(self.square[0], self.theta)


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of few digits: failures stay readable."""
    return st.integers(0, 1000).map(lambda k: round(low + (high - low) * k / 1000, 4))


@st.composite
def models_on_gamma(
    draw: Draw,
    kinds: Collection[str] = KINDS_OF_MODELS,
    *,
    largest: int = 3,
    condition: float = 100.0,
    flip: tuple[str | sp.Expr, float] | None = None,
) -> tuple[Model, Array]:
    """A model of 2 to `largest` parameters and fewer samples, and a zero-loss point where a prediction is curved.

    Parameters
    ----------
    kinds : collection of {"polynomial", "tanh", "product", "smooth"}
        Polynomials of degree 3; sum_k a_k tanh(w_k x), with b x; sum_j c_j products of one to three parameters; terms
        with exp, sin, log and tanh.
    largest : int
        Most parameters.
    condition : float
        Largest h_max/h_min of the nonzero eigenvalues of the Hessian.
    flip : (loss, probability), optional
        Makes labels -1 and 1 for this loss, and margins at which the mean loss with label flips is least.
    """
    d = draw(st.integers(2, largest))
    n = draw(st.integers(1, d - 1))
    parameters = sp.symbols(f"p0:{d}", real=True)
    expressions = _PREDICTIONS[draw(st.sampled_from(sorted(kinds)))](draw, parameters, n)
    signs = draw(st.lists(st.sampled_from((-1.0, 1.0)), min_size=d, max_size=d))
    theta = np.array([s * draw(_numbers(0.5, 1.5)) for s in signs])
    values = Model(parameters, expressions, y=np.zeros(n)).samples.value(theta)
    if flip is None:
        model = Model(parameters, expressions, y=values)
        local = LocalGeometry.at(model, theta)
    else:
        loss, probability = flip
        labels = np.array(draw(st.lists(st.sampled_from((-1.0, 1.0)), min_size=n, max_size=n)))
        law = flip_law(make_loss(loss), probability)
        assert isinstance(law, FlipLaw)  # of a margin
        shifted = [f + sp.Float(law.center * y - v, 17) for f, y, v in zip(expressions, labels, values, strict=True)]
        model = Model(parameters, shifted, y=labels, loss=loss)
        local = LocalGeometry.at(model, theta)
    # Where no prediction is curved nothing drifts, whatever a theory says.
    assume(local.rank == n and np.any(local.second))
    assume(local.curvatures[0] < condition * local.curvatures[-1])
    return model, theta


def _coefficient(draw: Draw) -> sp.Rational:
    return sp.Rational(draw(st.integers(5, 15)), 10)


def _sums(draw: Draw, parameters: tuple[sp.Symbol, ...], n: int, term: Callable[[list[sp.Symbol]], sp.Expr]) -> Any:
    """For each sample one or two terms of parameters in some order."""
    out = []
    for _ in range(n):
        orders = draw(st.lists(st.permutations(parameters), min_size=1, max_size=2, unique_by=tuple))
        out.append(sp.Add(*[_coefficient(draw) * term(list(order)) for order in orders]))
    assume(all(e.free_symbols for e in out))
    return out


def _polynomial(draw: Draw, parameters: tuple[sp.Symbol, ...], n: int) -> list[sp.Expr]:
    def monomial(order: list[sp.Symbol]) -> sp.Expr:
        one, two = draw(st.sampled_from(((1, 1), (1, 2), (2, 1), (3, 0), (1, 0))))
        return order[0] ** one * order[1] ** two

    return _sums(draw, parameters, n, monomial)


def _product(draw: Draw, parameters: tuple[sp.Symbol, ...], n: int) -> list[sp.Expr]:
    return _sums(draw, parameters, n, lambda order: sp.prod(order[: draw(st.integers(1, min(3, len(order))))]))


def _smooth(draw: Draw, parameters: tuple[sp.Symbol, ...], n: int) -> list[sp.Expr]:
    return _sums(draw, parameters, n, lambda order: draw(st.sampled_from(_SMOOTH))(*order[:2]))


def _tanh(draw: Draw, parameters: tuple[sp.Symbol, ...], n: int) -> list[sp.Expr]:
    points = draw(st.lists(st.sampled_from((-2, -1, 1, 2, 3)), min_size=n, max_size=n, unique_by=abs))
    pairs = list(zip(parameters[::2], parameters[1::2], strict=False))
    rest = parameters[2 * len(pairs) :]
    return [sp.Add(*[a * sp.tanh(w * x) for a, w in pairs], *[b * x for b in rest]) for x in points]


_PREDICTIONS = {"polynomial": _polynomial, "tanh": _tanh, "product": _product, "smooth": _smooth}


@st.composite
def update_rules(
    draw: Draw, d: int, kinds: Collection[type[UpdateRule]] = BUILT_IN_RULES, *, curvature: float = 1.0
) -> UpdateRule:
    """A built-in update rule for d parameters.

    Parameters
    ----------
    d : int
    kinds : collection of UpdateRule types
        Those to draw from, in the order of failures that are simplest.
    curvature : float
        h_max: the ascent step of sharpness-aware minimization is at most half of its inverse.
    """
    kind = draw(st.sampled_from(list(kinds)))
    if kind in (HeavyBall, Nesterov):
        return kind(draw(_numbers(0.05, 0.9)))
    if kind is WeightDecay:
        return WeightDecay(draw(_numbers(0.2, 3.0)))
    if kind is Preconditioned:
        return Preconditioned(tuple(draw(st.lists(_numbers(0.5, 2.0), min_size=d, max_size=d))))
    if kind is SharpnessAware:
        return SharpnessAware(draw(_numbers(0.02, 0.5)) / curvature)
    return kind()


@st.composite
def noises(draw: Draw, model: Model, kinds: Collection[Kind] = ("label", "gradient"), *, equal: bool = False) -> Noise:
    """A noise that fits a model with a square loss, and acts across its zero-loss set.

    Parameters
    ----------
    model : Model
    kinds : collection of {"label", "gradient"}
        Label noise of either law; noise of covariance sum_i w_i grad f_i grad f_i^T with weights w_i.
    equal : bool
        The same standard deviation for every sample.
    """
    if draw(st.sampled_from(list(kinds))) == "gradient":
        rows = [sp.Matrix([f.diff(p) for p in model.parameters]) for f in model.sample_expressions]
        weights = [sp.Rational(draw(st.integers(1, 20)), 10) for _ in rows]
        return GradientNoise(sum((w * g * g.T for w, g in zip(weights, rows, strict=True)), sp.zeros(model.d)), 1e-3)
    one = _numbers(0.05, 1.0)
    sigma = draw(one if equal else one | st.lists(one, min_size=model.n, max_size=model.n))
    return LabelNoise(sigma, draw(st.sampled_from(("rademacher", "gaussian"))))


@st.composite
def algorithms(
    draw: Draw,
    model: Model,
    theta: Array,
    *,
    rules: Collection[type[UpdateRule]] = BUILT_IN_RULES,
    noise: Noise | None = None,
    regime: Regime = "inside",
    batches: Collection[int | Literal["full"]] = ("full", 1, 2, 3),
) -> Algorithm:
    """An algorithm for a model, with a learning rate that is a fraction of its own limit at a zero-loss point.

    Parameters
    ----------
    model : Model
    theta : ndarray, shape (d,)
    rules : collection of UpdateRule types
    noise : Noise, optional
        By default one of `noises`.
    regime : {"inside", "edge"}
        0.05 to 0.8 of `stability_limit`, or 0.97 to 0.999 of it.
    batches : collection of int or "full"
        Drawn with or without replacement.
    """
    noise = draw(noises(model)) if noise is None else noise
    size = draw(st.sampled_from(list(batches)))
    without = size != "full" and size <= model.n and draw(st.booleans())
    sampling: Any = "without-replacement" if without else "with-replacement"
    square, _ = effective(model, Algorithm(1.0, size, noise, sampling))
    local = LocalGeometry.at(square, theta)
    rule = draw(update_rules(model.d, rules, curvature=float(local.curvatures[0])))
    algorithm = Algorithm(1.0, size, noise, sampling, rule=rule)
    try:
        limit = stability_limit(square, effective(model, algorithm)[1], local, tolerance=1e-4)
    except NotApplicable:
        assume(False)
    return replace(algorithm, lr=limit * draw(_numbers(*_FRACTIONS[regime])))


@st.composite
def cases(
    draw: Draw,
    *,
    models: Collection[str] = KINDS_OF_MODELS,
    largest: int = 3,
    condition: float = 100.0,
    kinds: Collection[Kind] = ("label", "flip", "gradient"),
    losses: Collection[str | sp.Expr] = ("logistic", "exponential"),
    equal: bool = False,
    rules: Collection[type[UpdateRule]] = BUILT_IN_RULES,
    regime: Regime = "inside",
    batches: Collection[int | Literal["full"]] = ("full", 1, 2, 3),
) -> Case:
    """A `Case`; see `models_on_gamma`, `noises` and `algorithms`.

    Parameters
    ----------
    models, largest, condition
        Of `models_on_gamma`, `models` being its kinds.
    kinds : collection of {"label", "flip", "gradient"}
        Of the noise.
    losses : collection of str or sympy.Expr
        For label flips.
    equal : bool
        The same standard deviation of label noise for every sample.
    rules, regime, batches
        Of `algorithms`.
    """
    kind = draw(st.sampled_from(list(kinds)))
    if kind == "flip":
        probability = draw(_numbers(0.05, 0.45))
        flip = (draw(st.sampled_from(list(losses))), probability)
        model, theta = draw(models_on_gamma(models, largest=largest, condition=condition, flip=flip))
        noise: Noise = LabelFlip(probability)
    else:
        model, theta = draw(models_on_gamma(models, largest=largest, condition=condition))
        noise = draw(noises(model, (kind,), equal=equal))
    algorithm = draw(algorithms(model, theta, rules=rules, noise=noise, regime=regime, batches=batches))
    return Case(model, algorithm, theta)
