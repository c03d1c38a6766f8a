"""The Kurdyka-Lojasiewicz property near a zero-loss point: L <= mu |grad L|^(1+delta), delta and mu in numbers.

Problem: the theorem asks for some delta with 0 < delta <= 1/2 near Gamma; a larger one implies it, with 1/2.
Where the Jacobian of the predictions has constant rank L is quadratic across Gamma: delta = 1 (the inequality of Polyak
and Lojasiewicz) and mu = 1/(2 h_min). At a singular point of Gamma, as the crossing of uv = 0, delta is smaller, and it
decides how fast gradient descent ends: L falls as k^(-(1+delta)/(1-delta)), no longer geometrically.
References: Damian, Ma, Lee (2021), Assumption 3 and Theorem 1; S. Lojasiewicz, *Ensembles semi-analytiques* (1965).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .assumptions import Assumption, rank_ratio
from .errors import NotApplicable
from .geometry import LocalGeometry, nearest_zero_loss_point
from .model import Model
from .shells import Shells

__all__ = ["KurdykaLojasiewicz", "NearStart", "kurdyka", "kurdyka_assumption", "kurdyka_near", "singular_point"]

Array = NDArray[np.float64]

# The exponent that the theorem makes use of at most.
LARGEST_USED = 0.5
# L on the shells over its size at the edge of the ball: from where only the lowest powers count, to where the residuals
# are still known to 1e-7.
_LEVELS = np.geomspace(1e-4, 1e-14, 6)
# A search for singular points and minima over many parameters would take minutes.
_MOST_PARAMETERS = 12


@dataclass(frozen=True)
class KurdykaLojasiewicz:
    """L <= mu |grad L|^(1+delta) near `theta`, with the largest delta.

    Attributes
    ----------
    theta : ndarray, shape (d,)
    delta : float
    mu : float
        The least constant in the limit at theta; in units of L over those of its gradient to the power 1 + delta.
    error : float
        Of delta: 0 where it follows from the constant rank of the Jacobian.
    """

    theta: Array
    delta: float
    mu: float
    error: float = 0.0

    @property
    def regular(self) -> bool:
        """Whether the Jacobian has constant rank there."""
        return self.error == 0 and self.delta == 1

    @property
    def used(self) -> float:
        """The delta of the theorem: at most 1/2."""
        return min(self.delta, LARGEST_USED)

    @property
    def time_exponent(self) -> float:
        """T = O(1/(eta lambda^this)) up to logarithms: 1 + delta."""
        return 1 + self.used

    @property
    def decay_exponent(self) -> float:
        """L falls as k^(-this) at least under gradient descent; infinite where it falls geometrically."""
        return float("inf") if self.delta >= 1 else (1 + self.delta) / (1 - self.delta)


@dataclass(frozen=True)
class NearStart:
    """The property at the zero-loss point nearest to a start, and at a singular point of Gamma if one was found.

    Attributes
    ----------
    points : tuple of KurdykaLojasiewicz
    reason : str
        Why something is missing, or "".
    """

    points: tuple[KurdykaLojasiewicz, ...]
    reason: str = ""

    def lines(self, names: Sequence[str]) -> Iterator[str]:
        """The section's text."""
        for point in self.points:
            where = ", ".join(f"{name} = {value:.6g}" for name, value in zip(names, point.theta))
            if point.regular:
                yield (
                    f"At {where}: delta = 1, mu = 1/(2 h_min) = {point.mu:.6g} (the Jacobian has constant rank: L is"
                    " quadratic across the zero-loss set)."
                )
            else:
                yield (
                    f"At {where}, a singular point of the zero-loss set: delta = {point.delta:.6g} +- {point.error:.1g}"
                    f" (numeric), mu = {point.mu:.6g}; gradient descent ends as L ~ k^-{point.decay_exponent:.4g}."
                )
        if self.points:
            used = min(p.used for p in self.points)
            yield (
                f"The theorem takes delta = {used:.6g}, the least of these and 1/2: a start within"
                f" O(lambda^{0.5 * (1 + used):.4g}) of the zero-loss set, T = O~(1/(eta lambda^{1 + used:.4g}))."
            )
        if self.reason:
            yield f"Not computed: {self.reason}."

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "points": [
                {"theta": p.theta.tolist(), "delta": p.delta, "mu": p.mu, "error": p.error, "regular": p.regular}
                for p in self.points
            ],
            "reason": self.reason,
        }


@np.errstate(all="ignore")  # a search that overflows ends there
def kurdyka_near(model: Model, start: Array) -> NearStart:
    """Delta and mu at the zero-loss point nearest to `start`, shape (d,), and at a singular point near it."""
    points: list[KurdykaLojasiewicz] = []
    try:
        theta = nearest_zero_loss_point(model, start)
        points.append(kurdyka(model, theta))
        if (singular := singular_point(model, theta)) is not None and np.linalg.norm(singular - theta) > 1e-7:
            points.append(kurdyka(model, singular))
    except NotApplicable as error:
        return NearStart(tuple(points), str(error))
    return NearStart(tuple(points))


def kurdyka(model: Model, theta: Array) -> KurdykaLojasiewicz:
    """Delta and mu at a zero-loss point.

    At a singular point |grad L| is made as small as it can be on shells of constant L within a ball, from fixed starts;
    its logarithm over that of L has the slope 1/(1+delta). That is numeric, and an upper bound of delta if a valley of
    |grad L| was missed.

    Parameters
    ----------
    model : Model
        With a square loss.
    theta : ndarray, shape (d,)

    Raises
    ------
    NotApplicable
        When it cannot be computed: too many parameters, or no shell with such a loss in the ball.
    """
    local = LocalGeometry.at(model, theta)
    if local.rank and rank_ratio(model, local) > 1e-4:
        return KurdykaLojasiewicz(theta, 1.0, 0.5 / float(local.curvatures.min()))
    if model.d > _MOST_PARAMETERS:
        rule = f"d={model.d} is more than {_MOST_PARAMETERS}: not searched for at a singular point"
        raise NotApplicable("Kurdyka-Lojasiewicz property", rule)
    shells = Shells(model, theta)
    logs = []
    for level in _LEVELS * shells.size:
        steepness = shells.least_gradient(level)
        if np.isfinite(steepness):
            logs.append((np.log(level), steepness))
    if len(logs) < 3:
        raise NotApplicable("Kurdyka-Lojasiewicz property", f"no shells of small L around theta={theta.tolist()}")
    slopes = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(logs)]
    delta = slopes[-1] - 1
    log_mu = logs[-1][0] - (1 + delta) * logs[-1][1]
    error = max(abs(slopes[-1] - slopes[-2]), 1e-12)
    return KurdykaLojasiewicz(theta, float(delta), float(np.exp(log_mu)), float(error))


def kurdyka_assumption(model: Model, theta: Array) -> Assumption:
    """The assumption of the theorem at a zero-loss point; its value is delta."""
    name, rule = "Kurdyka-Lojasiewicz property", "L <= mu |grad L|^(1+delta) near Gamma with delta > 0"
    try:
        found = kurdyka(model, theta)
    except NotApplicable as error:
        return Assumption(name, False, None, error.reason)
    return Assumption(name, found.delta > found.error, found.delta, f"{rule}, here mu={found.mu:.4g}")


def singular_point(model: Model, theta: Array) -> Array | None:
    """A point of Gamma near `theta`, shape (d,), at which the gradients of the samples are linearly dependent, or None.

    Found from `theta` by least squares for f = y, J^T w = 0, |w| = 1, from each left singular vector of J: a numeric
    search, so that None proves nothing.
    """
    if model.d > _MOST_PARAMETERS or model.n > model.d:
        return None
    d, size = model.d, 1 + float(np.linalg.norm(theta))

    def equations(z: Array) -> Array:
        point, w = z[:d], z[d:]
        dependent = model.samples.jacobian(point).T @ w
        return np.concatenate([model.residuals(point), dependent, [w @ w - 1]])

    best: Array | None = None
    left = np.linalg.svd(model.samples.jacobian(theta))[0]
    for w in left.T[::-1]:
        try:
            found = scipy.optimize.least_squares(
                equations, np.concatenate([theta, w]), xtol=1e-15, ftol=1e-15, gtol=1e-15
            )
        except ValueError:  # a value that is not finite
            continue
        point = np.where(np.abs(found.x[:d]) < 1e-9 * size, 0.0, found.x[:d])
        near = float(np.linalg.norm(point - theta))
        closer = best is None or near < np.linalg.norm(best - theta)
        if np.max(np.abs(found.fun)) < 1e-7 and near < 10 * size and closer:
            best = point
    return best
