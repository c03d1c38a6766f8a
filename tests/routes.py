"""Distances between the routes to a slow theory: a closed form, averaging of the update map, formulas by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flatmin.theory.averaging import Averaged, UpdateMap, average
from flatmin.theory.derived import Derived
from flatmin.theory.effective import effective
from flatmin.theory.geometry import LocalGeometry, retract
from flatmin.theory.rules import Preconditioned
from flatmin.theory.slow import SlowTheory
from flatmin.theory.testing import Case
from hypothesis import settings

# How many times as many examples; see `test_properties.test_more_examples`.
FACTOR = int(os.environ.get("FLATMIN_EXAMPLES", "1"))


def few(count):
    return settings(max_examples=FACTOR * count, deadline=None, derandomize=True)


def quantities(case, algorithm=None):
    """S and the drift per step of the derived theory, side by side."""
    model, algorithm = effective(case.model, algorithm or case.algorithm)
    theory, local = Derived(model, algorithm), LocalGeometry.at(model, case.theta)
    return np.vstack([theory.covariance(local), theory.drift(local)])


def from_the_update_map(case: Case) -> Averaged:
    return average(UpdateMap(case.model, case.algorithm), case.theta)


def disagreements(
    theory: type[SlowTheory], case: Case, update_map: type[UpdateMap] = UpdateMap, square=None
) -> dict[str, float]:
    """Relative distance of each quantity of `theory` from that of averaging the update map of the user's own problem.

    With flips the update map is that of the flips, and `theory` that of the equivalent square loss.
    """
    model, algorithm = square or case.square
    local, closed = LocalGeometry.at(model, case.theta), theory(model, algorithm)
    averaged = average(update_map(case.model, case.algorithm), case.theta)
    s = averaged.covariance
    # The drift is a difference of terms of this size, the offset is this over the curvatures.
    third = 0.5 * closed.rate * float(np.linalg.norm(local.third(s)))
    drift = third + float(np.linalg.norm(averaged.drift))
    distances = {
        "covariance": float(np.linalg.norm(closed.covariance(local) - s) / np.linalg.norm(s)),
        "drift": float(np.linalg.norm(closed.drift(local) - averaged.drift)) / drift,
    }
    if case.algorithm.noise.kind != "flip":
        # With flips the loss has a third derivative, which moves the mean along the gradients only.
        offset = averaged.offset - local.project(averaged.offset)
        size = third / closed.rate / local.curvatures[-1] + float(np.linalg.norm(averaged.offset))
        distances["offset"] = float(np.linalg.norm(closed.normal_offset(local) - offset)) / size
        if isinstance(closed, Derived):
            distances["radius"] = abs(closed.second_moment_radius(local) - averaged.radius)
    return distances


def slopes_of_the_regularizer(case: Case, regularizer: Callable[[LocalGeometry], float]) -> np.ndarray:
    """dR along each tangent direction, by central differences extrapolated from steps of 2e-3 and 1e-3.

    The error is of fourth order, 1e-12 times fifth derivatives, and rounding 1e-16/1e-3.
    """

    def at(tangent, distance):
        return regularizer(LocalGeometry.at(case.model, retract(case.model, case.theta + distance * tangent)))

    slopes, h = [], 1e-3
    for tangent in case.local.tangent.T:
        far, near = ((at(tangent, s) - at(tangent, -s)) / (2 * s) for s in (2 * h, h))
        slopes.append((4 * near - far) / 3)
    return np.array(slopes)


def regularizer_disagreement(case: Case, regularizer: Callable[[LocalGeometry], float]) -> float:
    """Relative distance of -grad R from the drift of the update map, in the metric of the rule."""
    slopes = slopes_of_the_regularizer(case, regularizer)
    theory, averaged = Derived(case.model, case.algorithm), from_the_update_map(case)
    unit = theory.rate * theory.strength
    metric, rule = np.eye(case.model.d), case.algorithm.rule
    if isinstance(rule, Preconditioned):
        metric = np.diag(np.mean(rule.diagonal) / np.array(rule.diagonal))
    # Both are differences of terms of this size.
    third = 0.5 * float(np.linalg.norm(case.local.third(averaged.covariance))) / theory.strength
    scale = float(np.linalg.norm(slopes) + np.linalg.norm(averaged.drift) / unit) + third
    return float(np.linalg.norm(slopes + case.local.tangent.T @ metric @ averaged.drift / unit)) / scale


def sharpness_aware_by_hand(case: Case, forcing: float = 1.0) -> dict:
    """Unnormalized sharpness-aware minimization to second order on Gamma, batch by batch.

    The gradient of a batch at theta* + x is H x - e + T[x, x]/2 - N x, with e = sum_i v_i g_i of the label noise v_i (a
    sum over the draws, over B), N = sum_i v_i F_i, and T its third derivative. At theta + rho g this makes, to first
    order, x' = x - eta H A x + eta A e with A = 1 + rho H; to second order the mean moves by
    -eta (T[A S A + rho^2 C]/2 + rho H T[S]/2 + rho sum_i Var(v_i) F_i g_i), C the covariance of e. Noise added to the
    gradient itself has another C and no N.
    """
    model, algorithm, local = case.model, case.algorithm, case.local
    eta, rho, batch = algorithm.lr, algorithm.update_rule.rho, algorithm.batch(model)
    g, second, q = local.jacobian, local.second, local.normal
    update = UpdateMap(model, algorithm)  # which batches there are
    operator, fresh, terms = 0.0, 0.0, []
    gradient = algorithm.noise.kind == "gradient"
    for probability, counts in zip(update.probabilities, update.counts, strict=True):
        weights, variances = counts / batch, counts * algorithm.sigmas(model) ** 2 / batch**2
        hessian = g.T @ (weights[:, None] * g)
        ahead = np.eye(model.d) + rho * hessian
        noise = g.T @ (variances[:, None] * g)
        if gradient:
            noise = algorithm.noise.strength / eta * algorithm.noise.at(model, case.theta)
        step = q.T @ (np.eye(model.d) - eta * hessian @ ahead) @ q
        operator = operator + probability * np.kron(step, step)
        fresh = fresh + probability * eta**2 * q.T @ ahead @ noise @ ahead @ q
        terms.append((probability, weights, variances, hessian, ahead, noise))
    rank = local.rank
    s = q @ np.linalg.solve(np.eye(rank**2) - operator, fresh.reshape(-1)).reshape(rank, rank) @ q.T
    push, size = np.zeros(model.d), 0.0
    for probability, weights, variances, hessian, ahead, noise in terms:

        def third(x, weights=weights):
            local_batch = replace(local, jacobian=weights[:, None] * g * local.n)
            return local_batch.third(x)

        parts = [
            0.5 * third(ahead @ s @ ahead + rho**2 * noise),
            0.5 * rho * hessian @ third(s),
            forcing * rho * np.einsum("i,iab,ib->a", variances, second, g),
        ]
        push = push - eta * probability * sum(parts)
        size += eta * probability * sum(float(np.linalg.norm(p)) for p in parts)
    return {
        "covariance": s,
        "covariance scale": float(np.linalg.norm(s)),
        "drift": local.project(push),
        "drift scale": size,
        "radius": float(np.max(np.abs(np.linalg.eigvals(operator)))),
    }
