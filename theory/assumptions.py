"""The assumptions of the theorem, each checked and reported with its value; one that fails decides `not-applicable`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .derived import Derived
from .errors import NotApplicable
from .geometry import LocalGeometry
from .model import Model
from .rules import SGD, HeavyBall
from .slow import learning_rate_rule

__all__ = ["Assumption", "failed_assumption", "fixed_directions", "point_assumptions", "rank_ratio"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of the theory.

    Attributes
    ----------
    name : str
    holds : bool
    value : float or None
        What was computed to decide it.
    rule : str
        What `value` must satisfy.
    """

    name: str
    holds: bool
    value: float | None
    rule: str


def failed_assumption(error: NotApplicable) -> Assumption:
    """The assumption whose failure raised `error`."""
    return Assumption(error.assumption, False, None, error.reason)


def point_assumptions(
    model: Model, algorithm: Algorithm, visited: Sequence[Array] | Array, derived: type[Derived] = Derived
) -> tuple[Assumption, ...]:
    """Check the assumptions about the model and the algorithm at the zero-loss points `visited`.

    The list: interpolation; label noise; constant rank of the Jacobian; eta h_max < 2; the second-moment limit; the
    Polyak-Lojasiewicz constant near the points; Lipschitz constants of f, grad f and hess f. `derived` says which noise
    is allowed.

    References
    ----------
    Damian, Ma, Lee (2021), Assumptions 1 and 2 and Theorem 1; the second-moment limit: `Derived`.
    """
    points = [np.asarray(v) for v in visited]
    locals_ = [LocalGeometry.at(model, p) for p in points]
    theory = derived(model, algorithm)
    loss = max(float(model.loss(p)) for p in points)
    strength = algorithm.strength(model)
    stability = _learning_rate(algorithm, theory, locals_)
    radius = max(theory.second_moment_radius(g) for g in locals_) if stability.holds else None
    ratio = min(rank_ratio(model, g) for g in locals_)
    pl = min(float(g.curvatures.min(initial=np.inf)) for g in locals_)
    l_f, rho_f, kappa_f = np.max([_lipschitz(model, g) for g in locals_], axis=0)
    return (
        Assumption("interpolation", loss <= 1e-16 * (1 + float(np.max(np.abs(model.y))) ** 2), loss, "min L = 0"),
        Assumption("label noise", 0 < strength < np.inf, strength, _noise_rule(algorithm)),
        Assumption("rank of the Jacobian", ratio > 1e-4, ratio, "its rank must be constant near the points visited"),
        stability,
        Assumption("second-moment limit", radius is not None and radius < 1, radius, "spectral radius must be below 1"),
        Assumption("Polyak-Lojasiewicz constant", 0 < pl < np.inf, pl, "|grad L|^2 >= 2 mu L near Gamma with mu > 0"),
        Assumption("Lipschitz constant of f", bool(np.isfinite(l_f)), float(l_f), "must be finite where visited"),
        Assumption(
            "Lipschitz constant of grad f", bool(np.isfinite(rho_f)), float(rho_f), "must be finite where visited"
        ),
        Assumption(
            "Lipschitz constant of hess f", bool(np.isfinite(kappa_f)), float(kappa_f), "must be finite where visited"
        ),
    )


def _noise_rule(algorithm: Algorithm) -> str:
    if algorithm.noise.kind == "gradient":
        return "the noise strength lambda must be positive and finite"
    rate = "eta/(1-beta)" if algorithm.beta else "eta"
    return f"lambda = {rate} sigma^2/B must be positive and finite"


def _learning_rate(algorithm: Algorithm, theory: Derived, locals_: Sequence[LocalGeometry]) -> Assumption:
    """Below the limit 2 (1+beta)/h_max of the theorem; of another rule, that its noise-free update contracts."""
    if not isinstance(algorithm.update_rule, (SGD, HeavyBall)):
        value = max(theory.contraction(g) for g in locals_)
        return Assumption("learning rate", value < 1, value, "the spectral radius of the update must be below 1")
    largest = max(float(g.curvatures.max(initial=0.0)) for g in locals_)
    product, limit = algorithm.lr * largest, 2 * (1 + algorithm.beta)
    return Assumption("learning rate", product < limit, product, learning_rate_rule(algorithm.lr, largest, limit))


def rank_ratio(model: Model, local: LocalGeometry) -> float:
    """Smallest nonzero singular value of the Jacobian over that at points nearby, 0 when the rank is lower here."""
    if local.rank == 0:
        return 0.0
    here = float(np.sqrt(local.curvatures[-1]))
    size = 1e-3 * (1 + float(np.linalg.norm(local.theta)))
    nearby = []
    for direction in islice(fixed_directions(model.d), 2):
        jacobian = model.samples.jacobian(local.theta + size * direction)
        singular = np.linalg.svd(jacobian / np.sqrt(model.n), compute_uv=False)
        if not np.all(np.isfinite(singular)):
            return 0.0
        generic = int(np.sum(singular > 1e-7 * max(singular[0], 1e-300)))
        if generic > local.rank:
            return 0.0
        nearby.append(float(singular[local.rank - 1]))
    return here / max(*nearby, 1e-300)


def _lipschitz(model: Model, local: LocalGeometry) -> tuple[float, float, float]:
    """l_f, rho_f, kappa_f at a point: the largest |grad f_i|, |hess f_i| and change of hess f_i per distance."""
    l_f = float(np.max(np.linalg.norm(local.jacobian, axis=1)))
    rho_f = float(np.max(np.linalg.norm(local.second, ord=2, axis=(1, 2))))
    h = 1e-4 * (1 + float(np.linalg.norm(local.theta)))
    kappa_f = 0.0
    for direction in fixed_directions(model.d):
        # Differences, not third derivatives: they also see a kink, as of abs, where grad f jumps.
        far, near = (_taylor_rest(model, local, step * direction) / step for step in (h, h / 10))
        change = np.linalg.norm(model.samples.hessians(local.theta + h * direction) - local.second, axis=(1, 2)) / h
        # Of a smooth gradient the rest per distance falls by ten; at a kink it stays. Below 1e-9 it is rounding.
        kink = not np.isfinite(far) or near > max(0.5 * far, 1e-9 * (1 + l_f + rho_f) / h)
        kappa_f = float("inf") if kink else max(kappa_f, float(np.max(change)))
    return l_f, rho_f, kappa_f


def _taylor_rest(model: Model, local: LocalGeometry, step: Array) -> float:
    """|grad f(theta + step) - grad f(theta) - hess f(theta) step|, the largest over the samples."""
    rest = model.samples.jacobian(local.theta + step) - local.jacobian - local.second @ step
    return float(np.max(np.linalg.norm(rest, axis=1)))


def fixed_directions(d: int) -> Iterator[Array]:
    """Fixed unit vectors of both signs without a symmetry of any model: irrational multiples."""
    for k in range(min(d, 4)):
        direction = np.cos(1.0 + k + np.sqrt(2 + k) * np.arange(d))
        yield from (direction / np.linalg.norm(direction), -direction / np.linalg.norm(direction))
