"""Stationary points of the paper's R on the zero-loss set: found by Newton's method, proved by interval arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import NoInterpolation, NotApplicable
from .geometry import LocalGeometry, nearest_zero_loss_point, retract
from .intervals import NoEnclosure, working_precision
from .krawczyk import KktSystem, kkt_system, krawczyk
from .model import Model

__all__ = ["CertifiedRoot", "certify", "stationary_points"]

Array = NDArray[np.float64]

RADIUS = 1e-10
# Relative singular value of the KKT Jacobian below which a root counts as not isolated: true zeros come out
# near 1e-16, and the interval test would fail at 1e-10 anyway.
_SINGULAR = 1e-9
_MAX_UNKNOWNS = 40
_MAX_INTERVAL_WORK = 40_000
_SPREAD = 32


@dataclass(frozen=True)
class CertifiedRoot:
    """A zero of the KKT system of R on Gamma, and what is proved of it.

    Attributes
    ----------
    theta : ndarray, shape (d,)
        The point, in double precision.
    radius : float
        Half-width of the box around `theta` that the certificate speaks of.
    certified : bool
        Whether exactly one stationary point is proved to lie in the box.
    reason : str
        What was proved, or why nothing was.
    stable : bool or None
        Whether it is a minimum of R on Gamma (second derivative of the Lagrangian on the tangent space, in floating
        point); None when that derivative is singular.
    """

    theta: Array
    radius: float
    certified: bool
    reason: str
    stable: bool | None


class _Numeric:
    """The KKT system of one model at one learning rate, in floating point."""

    def __init__(self, model: Model, eta: float) -> None:
        self.model, self.eta = model, eta

    def gradient(self, theta: Array) -> Array:
        """grad R on Gamma by the d x d form, (1/2) D3L[(2 - eta H)^-1]."""
        local = LocalGeometry.at(self.model, theta)
        inverse = np.linalg.inv(2 * np.eye(self.model.d) - self.eta * local.hessian)
        return np.einsum("ikm,im->k", local.second, local.jacobian @ inverse) / self.model.n

    def regularizer(self, theta: Array) -> float:
        """R, or infinity outside its domain eta h_max < 2."""
        first = self.model.samples.jacobian(theta)
        if not np.all(np.isfinite(first)):
            return np.inf
        margins = 1 - self.eta / 2 * np.linalg.eigvalsh(_smaller_gram(first))
        return -float(np.sum(np.log(margins))) / (2 * self.eta) if np.min(margins) > 0 else np.inf

    def multipliers(self, theta: Array) -> Array:
        """The mu of least squares of grad R + J^T mu = 0."""
        return np.asarray(
            np.linalg.lstsq(self.model.samples.jacobian(theta).T, -self.gradient(theta), rcond=1e-10)[0],
            dtype=np.float64,
        )

    def kkt(self, theta: Array, mu: Array) -> KktSystem:
        samples = self.model.samples
        first = samples.jacobian(theta)
        inverse = np.linalg.inv(np.eye(self.model.n) - self.eta / 2 * first @ first.T / self.model.n)
        residual = self.model.residuals(theta)
        return kkt_system(residual, first, samples.hessians(theta), samples.thirds(theta), inverse, mu, self.eta)

    def newton(self, theta: Array, steps: int = 40) -> Array | None:
        """Newton's method on (theta, mu); steps of least norm, so that a family of roots is reached too."""
        d = self.model.d
        try:
            point = np.concatenate([theta, self.multipliers(theta)])
            for _ in range(steps):
                system = self.kkt(point[:d], point[d:])
                # LAPACK prints to the terminal when it is given NaN.
                if not (np.all(np.isfinite(system.jacobian)) and np.all(np.isfinite(system.value))):
                    return None
                step = np.linalg.lstsq(system.jacobian, system.value, rcond=1e-11)[0]
                size, scale = float(np.linalg.norm(step[:d])), 1 + float(np.linalg.norm(point[:d]))
                point = point - step * min(1.0, scale / size if size else 1.0)
                if size <= 1e-13 * scale:
                    break
            ends = self.kkt(point[:d], point[d:])
        except (np.linalg.LinAlgError, NotApplicable):
            return None
        small = 1e-9 * (1 + float(np.max(np.abs(ends.jacobian))))
        good = np.all(np.isfinite(point)) and np.max(np.abs(ends.value)) <= small
        return point[:d] if good and np.isfinite(self.regularizer(point[:d])) else None

    def descend(self, theta: Array, steps: int = 300) -> Array:
        """Go downhill in R along Gamma, roughly the slow flow, until Newton's method can take over."""
        height, length = self.regularizer(theta), 1.0
        for _ in range(steps):
            direction = LocalGeometry.at(self.model, theta).project(self.gradient(theta))
            if not np.isfinite(height) or np.linalg.norm(direction) < 1e-5:
                break
            while length > 1e-9:
                try:
                    trial = retract(self.model, theta - length * direction)
                except NoInterpolation:
                    trial = None
                if trial is not None and self.regularizer(trial) < height:
                    break
                length /= 2
            else:
                break
            theta, height, length = trial, self.regularizer(trial), 2 * length
        return theta


def _smaller_gram(first: Array) -> Array:
    n, d = first.shape
    return (first @ first.T if n <= d else first.T @ first) / n


def stationary_points(model: Model, algorithm: Algorithm, starts: Sequence[Array] = ()) -> list[CertifiedRoot]:
    """Stationary points of R on Gamma with eta h_max < 2, each with its certificate.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
        Its learning rate is the eta of R.
    starts : sequence of array_like, shape (d,)
        Points to search from. The root that descent along Gamma from the first one reaches comes first. A fixed
        spread of points (an unscrambled Sobol sequence at the scale of the starts) is searched too: the list need not
        be complete.

    Returns
    -------
    list of CertifiedRoot
        One member stands for each family of roots that are not isolated.

    Raises
    ------
    NoInterpolation
        When no start leads to a zero-loss point.
    TooLarge
        When the model's third derivatives are too many.

    References
    ----------
    Damian, Ma, Lee (2021), Theorem 1: where grad(L + lambda R) vanishes as lambda -> 0.
    """
    if model.n + model.d > _MAX_UNKNOWNS:
        raise NotApplicable(
            "size", f"n + d = {model.n + model.d}; stationary points are searched up to {_MAX_UNKNOWNS}"
        )
    numeric = _Numeric(model, algorithm.lr)
    given = [np.asarray(s, dtype=np.float64) for s in starts]
    scale = max([1.5, *(1.2 * float(np.max(np.abs(s))) for s in given)])
    # The first two points, a corner and the centre, are too symmetric to lead anywhere.
    from scipy.stats import qmc  # half a second, which most runs need not wait for

    spread = scale * (1 - 2 * qmc.Sobol(model.d, scramble=False).random(_SPREAD)[2:])
    on_gamma = []
    for index, start in enumerate((*given, *spread)):
        try:
            near = nearest_zero_loss_point if index < len(given) else retract
            on_gamma.append((index, near(model, start)))
        except (NoInterpolation, NotApplicable):
            continue
    if not on_gamma:
        raise NoInterpolation("no zero-loss point was found from any start")
    guesses = []
    for index, theta in on_gamma:
        if index < max(len(given), 1) and np.isfinite(numeric.regularizer(theta)):
            guesses.append(numeric.descend(theta))
    guesses += [theta for _, theta in on_gamma]
    roots = _distinct(model, algorithm, numeric, guesses)
    ahead = 1 if given else 0
    by_height = sorted(roots[ahead:], key=lambda r: (round(numeric.regularizer(r.theta), 9), tuple(-r.theta)))
    return roots[:ahead] + by_height


def _distinct(model: Model, algorithm: Algorithm, numeric: _Numeric, guesses: Sequence[Array]) -> list[CertifiedRoot]:
    found: list[CertifiedRoot] = []
    families = 0
    for guess in guesses:
        theta = numeric.newton(guess)
        if theta is None or any(np.max(np.abs(theta - r.theta)) < 1e-6 * (1 + np.max(np.abs(theta))) for r in found):
            continue
        theta = np.where(np.abs(theta) < 1e-13, 0.0, theta)  # rounding, not a coordinate
        root = certify(model, algorithm, theta)
        isolated = root.stable is not None
        if isolated or not families:
            found.append(root)
        families += not isolated
    return found


def certify(model: Model, algorithm: Algorithm, theta: Any, radius: float = RADIUS) -> CertifiedRoot:
    """Prove, where possible, that exactly one stationary point of R on Gamma lies within `radius` of `theta`.

    The data are taken as the decimals that print them; the proof covers every rounding error. It is the Krawczyk
    test: with c = (theta, mu), Y close to F'(c)^-1 and X the box, K = c - Y F(c) + (1 - Y F'(X)) (X - c) in the
    interior of X proves a zero of F in X and that it is the only one.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    theta : array_like, shape (d,)
    radius : float

    References
    ----------
    R. Krawczyk, Computing 4 (1969) 187-201; S. M. Rump, Acta Numerica 19 (2010) 287-449, Section 13.
    """
    theta = model.point(np.asarray(theta, dtype=np.float64), "theta")
    numeric = _Numeric(model, algorithm.lr)
    first = model.samples.jacobian(theta)
    singular = np.linalg.svd(first, compute_uv=False)
    rank = int(np.sum(singular > 1e-8 * max(singular[0], 1e-300)))
    if not np.isfinite(numeric.regularizer(theta)):
        return CertifiedRoot(theta, radius, False, "outside the domain: eta*h_max is 2 or more here", None)
    if rank < model.n:
        return CertifiedRoot(
            theta,
            radius,
            False,
            f"J J^T is singular (rank {rank} of n={model.n}): the multipliers are not unique",
            None,
        )
    mu = numeric.multipliers(theta)
    system = numeric.kkt(theta, mu)
    stable = _stability(system, first)
    scales = np.linalg.svd(system.jacobian, compute_uv=False)
    if scales[-1] < _SINGULAR * scales[0]:
        reason = "not isolated: the KKT Jacobian is singular (a continuous symmetry, or a degenerate point)"
        return CertifiedRoot(theta, radius, False, reason, None)
    work = model.n * comb(model.d + 3, 3) * max(1, *(int(sp.count_ops(f)) for f in model.prediction))
    if work > _MAX_INTERVAL_WORK:
        return CertifiedRoot(theta, radius, False, "not certified: too large for interval arithmetic", stable)
    try:
        with working_precision(100):
            inside = krawczyk(model, algorithm.lr, theta, mu, system, radius)
    except NoEnclosure as error:
        return CertifiedRoot(theta, radius, False, f"not certified: {error}", stable)
    if not inside:
        reason = f"not certified: no stationary point could be proved within {radius:g}"
        return CertifiedRoot(theta, radius, False, reason, stable)
    return CertifiedRoot(theta, radius, True, f"exactly one stationary point within {radius:g} (Krawczyk test)", stable)


def _stability(system: KktSystem, first: Array) -> bool | None:
    n, d = first.shape
    tangent = np.linalg.svd(first, full_matrices=True)[2][n:].T
    if not tangent.size:
        return True  # Gamma is a point
    lagrangian = system.jacobian[:d, :d]
    lowest = float(np.linalg.eigvalsh(tangent.T @ lagrangian @ tangent)[0])
    if abs(lowest) <= _SINGULAR * float(np.max(np.abs(system.jacobian))):
        return None
    return lowest > 0
