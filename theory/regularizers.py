"""Closed forms of the implicit regularizer R, for the update rules and batches that have one.

On Gamma the drift per unit of slow time is -P grad R in the metric of the rule, with R = (1/2) sum_k F(h_k) over the
nonzero eigenvalues of H. F' is the variance of a mode of curvature h per unit of lambda (and, where the rule looks at
the gradient elsewhere, what that adds):

    SGD, heavy ball     F' = 1/(2 - s h), s = eta/(1+beta); for orthogonal gradients and a finite batch
                        s = eta [1/(1+beta) + c (n-1)/(B (1-beta))]
    Nesterov            F' = (1-beta) (1 + beta + (beta + 2 beta^2) eta h)
                             / ((1 - beta + beta eta h) (2 (1+beta) - (1+2 beta) eta h))
    sharpness-aware     F' = (1 + rho h)^3/(2 - eta h (1 + rho h)) + rho (1 + rho h)/eta
    weight decay        that of SGD; R has (ratio/2) |theta|^2 beside
    preconditioned D    that of SGD, h_k the eigenvalues of D^(1/2) H D^(1/2), over the mean of D
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .geometry import LocalGeometry
from .model import Model
from .noise import GradientNoise
from .rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, WeightDecay

__all__ = ["known_regularizer"]

Array = NDArray[np.float64]
Regularizer = Callable[[LocalGeometry], float]

# F' is analytic up to the limit of the learning rate: at 0.98 of it these nodes still give eleven digits.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)
# Gradients whose cosines are below this are orthogonal.
_ORTHOGONAL = 1e-9


def known_regularizer(model: Model, algorithm: Algorithm, local: LocalGeometry) -> Regularizer | None:
    """R as a function of a point of Gamma, up to a constant; None where no closed form is known.

    Parameters
    ----------
    model, algorithm
        With a square loss (`effective`).
    local : LocalGeometry
        A point that says whether the gradients are orthogonal, which must then hold on all of Gamma.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1 and Section 3 (SGD, momentum); the others by the same averaging, mode by mode.
    """
    rule, c = algorithm.update_rule, algorithm.minibatch_factor(model)
    if isinstance(algorithm.noise, GradientNoise) or not algorithm.homoscedastic(model):
        return None
    if c and not (isinstance(rule, (SGD, HeavyBall)) and _orthogonal(local)):
        return None
    slope = _slope(model, algorithm, c)
    if slope is None:
        return None

    def regularizer(local: LocalGeometry) -> float:
        curvatures, whole, decay = local.curvatures, 1.0, 0.0
        if isinstance(rule, Preconditioned):
            scaled = local.jacobian * np.sqrt(np.array(rule.diagonal)) / np.sqrt(local.n)
            curvatures = np.linalg.svd(scaled, compute_uv=False)[: local.rank] ** 2
            whole = float(np.mean(rule.diagonal))
        if isinstance(rule, WeightDecay):
            decay = 0.5 * rule.ratio * float(local.theta @ local.theta)
        return 0.5 * sum(_integral(slope, float(h)) for h in curvatures) / whole + decay

    return regularizer


def _slope(model: Model, algorithm: Algorithm, c: float) -> Callable[[Array], Array] | None:
    """F' of a rule."""
    rule, eta, beta = algorithm.update_rule, algorithm.lr, algorithm.beta
    if isinstance(rule, Nesterov):
        return lambda h: (
            (1 - beta)
            * (1 + beta + (beta + 2 * beta**2) * eta * h)
            / ((1 - beta + beta * eta * h) * (2 * (1 + beta) - (1 + 2 * beta) * eta * h))
        )
    if isinstance(rule, SharpnessAware):
        rho = rule.rho
        return lambda h: (1 + rho * h) ** 3 / (2 - eta * h * (1 + rho * h)) + rho * (1 + rho * h) / eta
    if isinstance(rule, (SGD, HeavyBall, WeightDecay, Preconditioned)):
        batch = c * (model.n - 1) / (algorithm.batch(model) * (1 - beta))
        step = eta * (1 / (1 + beta) + batch)
        return lambda h: 1 / (2 - step * h)
    return None


def _integral(slope: Callable[[Array], Array], h: float) -> float:
    return float(0.5 * h * _WEIGHTS @ slope(0.5 * h * (_NODES + 1)))


def _orthogonal(local: LocalGeometry) -> bool:
    unit = local.jacobian / np.maximum(np.linalg.norm(local.jacobian, axis=1, keepdims=True), 1e-300)
    return bool(np.max(np.abs(unit @ unit.T - np.eye(local.n))) < _ORTHOGONAL)
