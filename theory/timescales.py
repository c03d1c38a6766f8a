"""How fast and how strongly nonlinear a problem is: what a measurement must know to choose its horizon and its noise.

These are properties of the model and the algorithm near the points visited, not predictions under test: a wrong one
costs time or gives an inconclusive verdict, never a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .derived import Derived
from .geometry import LocalGeometry
from .model import Model

__all__ = ["Timescales", "timescales"]

Array = NDArray[np.float64]

# Part of a walk along Gamma that first-order fluctuations of f are compared with, where they are less.
_SEEN = 0.01


@dataclass(frozen=True)
class Timescales:
    """Scales of the fast and slow motion.

    Attributes
    ----------
    contraction : float
        Spectral radius of the noise-free update off Gamma, for plain SGD max |1 - eta h|: the factor per step of the
        slowest noise-free decay.
    second_moment : float
        Spectral radius of the second-moment operator: the factor per step at which fluctuations become stationary.
    nonlinearity : float
        Per unit of lambda, the largest of: the mean square of the second-order part of f over that of its first-order
        part; the mean square change of a curvature by the fluctuations, over its distance from where the mode is no
        longer stable; its change by the normal offset, over the same. lambda times it should be well below 1.
    slow_rate : float
        Speed along Gamma per unit of slow time, over the scale of theta: its size or, where that is larger, the
        distance in which the slopes of the prediction change by their own size (theta may be near zero by chance).
    spread : float
        Per unit of lambda: tr S over the squared scale of theta.
    minibatch : bool
        Whether minibatch noise is present, so that the drift needs a burn-in.
    walk : float
        Per unit of slow time: trace of the covariance of a diffusion along Gamma, over the squared scale of theta.
    fluctuation : float
        Per unit of lambda: tr S.
    """

    contraction: float
    second_moment: float
    nonlinearity: float
    slow_rate: float
    spread: float
    minibatch: bool
    walk: float = 0.0
    fluctuation: float = 0.0

    @property
    def relaxation_steps(self) -> float:
        """Steps in which the slowest fast mode decays by a factor e."""
        slowest = max(self.contraction, self.second_moment, 1e-6)
        return -1.0 / float(np.log(slowest)) if slowest < 1 else np.inf


def timescales(model: Model, algorithm: Algorithm, visited: Array, derived: type[Derived] = Derived) -> Timescales:
    """The slowest and most nonlinear scales over the zero-loss points `visited`, shape (k, d).

    Raises
    ------
    NotApplicable
        Where a point has no stationary covariance.
    """
    theory = derived(model, algorithm)
    rows = []
    for theta in np.atleast_2d(visited):
        local = LocalGeometry.at(model, theta)
        contraction = theory.contraction(local)
        size = _scale(local)
        speed = float(np.linalg.norm(theory.velocity(local))) / size
        fluctuation = float(np.trace(theory.covariance(local))) / theory.strength
        walk = float(np.trace(theory.diffusion(local))) / (theory.rate * theory.strength)
        fast = (contraction, theory.second_moment_radius(local), _nonlinearity(theory, local, walk))
        rows.append((*fast, speed, fluctuation / size**2, walk / size**2, fluctuation))
    worst = np.max(np.array(rows), axis=0)
    minibatch = algorithm.minibatch_factor(model) > 0 and model.n > 1
    contraction, second_moment, nonlinearity, slow_rate, spread, walk, fluctuation = worst.tolist()
    return Timescales(contraction, second_moment, nonlinearity, slow_rate, spread, minibatch, walk, fluctuation)


def _scale(local: LocalGeometry) -> float:
    """The scale of theta of `Timescales.slow_rate`, at one point."""
    bend = float(np.linalg.norm(local.second))
    return max(float(np.linalg.norm(local.theta)), float(np.linalg.norm(local.jacobian)) / bend if bend else np.inf)


def _nonlinearity(theory: Derived, local: LocalGeometry, walk: float) -> float:
    s = theory.covariance(local) / theory.strength
    fs = local.second @ s
    first = float(np.einsum("ia,ab,ib->", local.jacobian, s, local.jacobian))
    second = float(0.5 * np.einsum("iab,iba->", fs, fs) + 0.25 * np.sum(np.einsum("iaa->i", fs) ** 2))
    offset = theory.normal_offset(local) / theory.strength
    # Beside a walk along Gamma what fluctuates off it counts for as much as it is seen.
    worst = second / max(first + _SEEN * walk, 1e-300)
    for margin, q in zip(theory.stability_margins(local), local.normal.T):
        slope = local.third(np.outer(q, q)) / margin
        worst = max(worst, float(slope @ s @ slope), abs(float(slope @ offset)))
    return worst
