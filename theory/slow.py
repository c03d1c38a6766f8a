"""The theories of the slow motion along the zero-loss set: alternatives with one signature.

Problem: label noise SGD on L = 1/(2n) sum (f_i - y_i)^2, at a point theta of Gamma = {L = 0}.
Algorithm: theta <- theta - (eta/B) sum_b (f_i - y_i - eps_b) grad f_i, Var(eps) = sigma_i^2.
Statements, at leading order in lambda = eta sigma^2/B: the fast fluctuation has covariance S(theta); theta drifts
along Gamma by -(eta/2) P D3L[S] per step; its mean is off Gamma by m with H m = -(1/2) D3L[S].
References: Damian, Ma, Lee (2021), Theorem 1, Sections 2 and 3; the finite batch: `Derived`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from html import escape
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import InvalidInput, NotApplicable
from .formulas import theory_formulas
from .geometry import LocalGeometry
from .model import Model
from .noise import GradientNoise
from .rules import SGD, HeavyBall

__all__ = [
    "Paper",
    "PlainRegularizer",
    "SlowTheory",
    "SmallLearningRate",
    "UnscaledRegularizer",
    "gradient_covariance",
    "learning_rate_rule",
    "require_stable",
    "shared_theory",
]

Array = NDArray[np.float64]
Theory = TypeVar("Theory", bound="SlowTheory")


class SlowTheory(ABC):
    """What a theory says at a point of Gamma. All quantities are at leading order in lambda.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        Its own noise strength is the one at which values are given.
    """

    name: str = ""
    needs_equal_sigma = False

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        self.model = model
        self.algorithm = algorithm
        self.lr = algorithm.lr
        self.rate = algorithm.slow_rate(model.d)

    @property
    def step(self) -> float:
        """What stands for eta in R, and in its limit 2/h_max: eta/(1+beta)."""
        return self.lr / (1 + self.algorithm.beta)

    @cached_property
    def strength(self) -> float:
        """lambda: eta sigma^2/B for plain SGD; see `Algorithm.strength`."""
        return self.algorithm.strength(self.model)

    @abstractmethod
    def covariance(self, local: LocalGeometry) -> Array | None:
        """S: stationary covariance of theta - Phi(theta), shape (d, d); None when the theory names none."""

    @abstractmethod
    def regularizer(self, local: LocalGeometry) -> float | None:
        """R(theta), or None where the drift is no gradient."""

    def regularizer_gradient(self, local: LocalGeometry) -> Array | None:
        """Grad R along Gamma, (P grad R), shape (d,); None where there is no R."""
        if self.regularizer(local) is None or not self.strength:
            return None
        return -self.velocity(local)

    def drift(self, local: LocalGeometry) -> Array:
        """Change of Phi(theta) per step: -(rate/2) P D3L[S], rate = eta/(1 - beta), shape (d,)."""
        return -0.5 * self.rate * local.project(local.third(self._covariance(local)))

    def normal_offset(self, local: LocalGeometry) -> Array:
        """E[theta - Phi(theta)]: m in range(H) with H m = -(1/2) D3L[S], shape (d,)."""
        normal = local.normal
        return -0.5 * normal @ ((normal.T @ local.third(self._covariance(local))) / local.curvatures)

    def velocity(self, local: LocalGeometry) -> Array:
        """Drift per unit of slow time rate*lambda*k, shape (d,)."""
        return self.drift(local) / (self.rate * self.strength)

    def formulas(self) -> tuple[tuple[str, str], ...]:
        """S and R in LaTeX, each with a gloss; empty for a theory that has none of its own."""
        return theory_formulas(self.name, self.algorithm)

    def _repr_latex_(self) -> str:
        shown = r",\quad ".join(latex for latex, _ in self.formulas())
        return f"${shown}$" if shown else ""

    def _repr_html_(self) -> str:
        lines = (f"<li>${escape(latex)}$ {escape(gloss)}</li>" for latex, gloss in self.formulas())
        return f"<p><b>{escape(self.name)}</b>, λ = {self.strength:.4g}</p><ul>{''.join(lines)}</ul>"

    def _covariance(self, local: LocalGeometry) -> Array:
        s = self.covariance(local)
        if s is None:
            raise InvalidInput("claim.theory", f"={self.name!r} names no covariance S, which this asks for")
        return s

    def _diagonal(self, local: LocalGeometry, weights: Array) -> Array:
        return (local.normal * weights) @ local.normal.T


class Paper(SlowTheory):
    """The closed form of the theorem, with momentum beta: S = lambda (2 - eta/(1+beta) H)^-1 on range(H).

    R = -((1+beta)/(2 eta)) tr log(1 - eta/(2 (1+beta)) H). For gradient noise S solves
    S = (1 - eta H) S (1 - eta H) + eta lambda Sigma, and there is no R in general.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1 and equation (4); Section 3 for momentum and general noise.
    """

    name = "paper"
    needs_equal_sigma = True

    def __init__(self, model: Model, algorithm: Algorithm) -> None:
        super().__init__(model, algorithm)
        if not isinstance(algorithm.update_rule, (SGD, HeavyBall)):
            raise NotApplicable("update rule", f"the paper has no theorem for {algorithm.update_rule}")

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        require_stable(self, local)
        if self.algorithm.noise.kind == "gradient":
            if self.algorithm.beta:
                raise NotApplicable("update rule", "the paper has no theorem for general noise with momentum")
            return _on_range(self.model, self.algorithm, local, self.lr)
        return self._diagonal(local, self.strength / (2 - self.step * local.curvatures))

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        require_stable(self, local)
        if self.algorithm.noise.kind == "gradient":
            return None
        return float(-np.sum(np.log1p(-0.5 * self.step * local.curvatures)) / (2 * self.step))


class PlainRegularizer(Paper):
    """A wrong theory of momentum: the R of plain SGD, with lambda and speed of momentum."""

    name = "plain R"

    @property
    def step(self) -> float:
        """Eta itself."""
        return self.lr


class UnscaledRegularizer(Paper):
    """A wrong theory of momentum: R without its factor (1+beta)."""

    name = "no factor (1+beta)"

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        return super().covariance(local) / (1 + self.algorithm.beta)


class SmallLearningRate(SlowTheory):
    """The limit eta -> 0: S = lambda/2 on range(H), R = tr(H)/4; for gradient noise H S + S H = lambda Sigma.

    References
    ----------
    Damian, Ma, Lee (2021), Section 2; Blanc et al. (2020).
    """

    name = "small-lr"
    needs_equal_sigma = True

    def covariance(self, local: LocalGeometry) -> Array:
        """S, shape (d, d)."""
        if self.algorithm.noise.kind == "gradient":
            return _on_range(self.model, self.algorithm, local, 0.0)
        return self._diagonal(local, np.full(local.rank, self.strength / 2))

    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        return None if self.algorithm.noise.kind == "gradient" else float(np.sum(local.curvatures) / 4)


def _on_range(model: Model, algorithm: Algorithm, local: LocalGeometry, lr: float) -> Array:
    """S = (1 - lr H) S (1 - lr H) + lr lambda Sigma on range(H), divided by lr: it has a limit as lr -> 0."""
    h, q = local.curvatures, local.normal
    noise = q.T @ gradient_covariance(model, algorithm, local) @ q
    inside = algorithm.strength(model) * noise / (h[:, None] + h - lr * np.multiply.outer(h, h))
    return np.asarray(q @ inside @ q.T)


def gradient_covariance(model: Model, algorithm: Algorithm, local: LocalGeometry) -> Array:
    """Sigma(theta) of gradient noise, shape (d, d).

    Raises
    ------
    NotApplicable
        When it is not finite, symmetric and positive semidefinite at theta.
    """
    assert isinstance(algorithm.noise, GradientNoise)
    sigma = algorithm.noise.at(model, local.theta)
    size = float(np.max(np.abs(sigma), initial=0.0))
    if not np.isfinite(size) or np.max(np.abs(sigma - sigma.T)) > 1e-9 * size:
        raise NotApplicable("noise covariance", "Sigma(theta) must be finite and symmetric on the zero-loss set")
    if np.linalg.eigvalsh(sigma)[0] < -1e-9 * size:
        raise NotApplicable("noise covariance", "Sigma(theta) must be positive semidefinite on the zero-loss set")
    return sigma


@lru_cache(maxsize=64)
def shared_theory(kind: type[Theory], model: Model, algorithm: Algorithm) -> Theory:
    """A theory without claims of its own; the same for all claims of a study, so that its flow is followed once."""
    return kind(model, algorithm)


def require_stable(theory: SlowTheory, local: LocalGeometry) -> None:
    """Raise `NotApplicable` beyond the limit of the learning rate, or where the Jacobian loses its rank."""
    largest = float(local.curvatures.max(initial=0.0))
    # The heavy ball's limit; other rules have their own, which averaging finds.
    limit = 2 * theory.lr / theory.step
    if isinstance(theory.algorithm.update_rule, (SGD, HeavyBall)) and theory.lr * largest >= limit:
        raise NotApplicable("learning rate", learning_rate_rule(theory.lr, largest, limit))
    # Slower than this a direction does not relax in any run: Gamma is about to lose its normal direction.
    slowest = theory.lr * float(local.curvatures.min(initial=np.inf))
    if slowest < 1e-9:
        raise NotApplicable("rank of the Jacobian", f"lr*h_min={slowest:.3g}: the Jacobian loses its rank")


def learning_rate_rule(lr: float, largest: float, limit: float) -> str:
    """The rule lr h_max < limit in words: 2, or 2 (1+beta) with momentum."""
    where = "2/h_max" if limit == 2 else "2(1+beta)/h_max"
    return f"algorithm.lr={lr:g} must be below {where}={limit * lr / max(lr * largest, 1e-300):.4g}"
