"""The zero-loss set Gamma: finding it, staying on it, and what the loss looks like at one of its points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import NoInterpolation, NotApplicable
from .model import Model

__all__ = ["LocalGeometry", "nearest_zero_loss_point", "noise_free_limit", "retract"]

Array = NDArray[np.float64]

# Relative singular values of the Jacobian below this count as zero. Gamma is found to 1e-12, so that a
# true zero comes out near 1e-12, and a fast direction slower than 1e-14 of the fastest cannot be simulated.
_RANK_TOLERANCE = 1e-7


@dataclass(frozen=True)
class LocalGeometry:
    """First and second derivatives of the predictions at a zero-loss point, and what follows from them.

    Attributes
    ----------
    theta : ndarray, shape (d,)
    jacobian : ndarray, shape (n, d)
        Rows g_i = grad f_i.
    second : ndarray, shape (n, d, d)
        Hessians of the f_i.
    """

    theta: Array
    jacobian: Array
    second: Array

    @classmethod
    def at(cls, model: Model, theta: Array) -> LocalGeometry:
        """Evaluate at `theta`, which should be on Gamma; raises `NotApplicable` when a derivative is not finite."""
        jacobian, second = model.samples.jacobian(theta), model.samples.hessians(theta)
        if not (np.all(np.isfinite(jacobian)) and np.all(np.isfinite(second))):
            raise NotApplicable("smoothness", f"a derivative of the prediction is not finite at theta={theta.tolist()}")
        return cls(theta, jacobian, second)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.jacobian)

    @cached_property
    def _svd(self) -> tuple[Array, Array, int]:
        # All d right vectors, but never the n x n left ones.
        n, d = self.jacobian.shape
        _, singular, rows = np.linalg.svd(self.jacobian / np.sqrt(n), full_matrices=n < d)
        rank = int(np.sum(singular > _RANK_TOLERANCE * max(singular[0], 1e-300)))
        return singular, rows.T, rank

    @property
    def rank(self) -> int:
        """Rank of the Jacobian: the number of fast directions."""
        return self._svd[2]

    @property
    def curvatures(self) -> Array:
        """Nonzero eigenvalues of H = hess L, descending, shape (rank,)."""
        return self._svd[0][: self.rank] ** 2

    @property
    def normal(self) -> Array:
        """Orthonormal eigenvectors that span range(H), shape (d, rank)."""
        return self._svd[1][:, : self.rank]

    @property
    def tangent(self) -> Array:
        """Orthonormal basis of ker H, the tangent space of Gamma, shape (d, d - rank)."""
        return self._svd[1][:, self.rank :]

    @property
    def hessian(self) -> Array:
        """H = (1/n) sum g_i g_i^T, shape (d, d)."""
        return self.jacobian.T @ self.jacobian / self.n

    def project(self, vector: Array) -> Array:
        """P vector: the part along Gamma; shape (..., d)."""
        return (vector @ self.tangent) @ self.tangent.T

    def third(self, s: Array) -> Array:
        """D3L[S] at a zero-loss point, where the third derivatives of f drop out; S symmetric, shape (d,)."""
        n, d = self.jacobian.shape
        # Products of matrices: for small models it takes longer to plan an einsum than to do it.
        twice = 2 * (self.jacobian @ s).ravel() @ self.second.reshape(n * d, d)
        return np.asarray((twice + (self.second.reshape(n, -1) @ s.ravel()) @ self.jacobian) / n)


def retract(model: Model, theta: Array, steps: int = 30) -> Array:
    """Return a zero-loss point near `theta` by Gauss-Newton steps of least norm, to rounding.

    Raises
    ------
    NoInterpolation
        When the steps do not converge.
    """
    theta = np.array(theta, dtype=np.float64)
    before = np.inf
    for _ in range(steps):
        step = _gauss_newton(model, theta)
        size = float(np.linalg.norm(step))
        if not np.isfinite(size):
            break
        theta = theta - step
        scale = 1 + float(np.linalg.norm(theta))
        # Quadratic convergence: this small, the next step is rounding.
        if size <= 1e-11 * scale or (size >= 0.5 * before and size <= 1e-9 * scale):
            # The step vanishes too where the Jacobian does (exp far to the left) and at a least-squares minimum.
            if np.max(np.abs(model.residuals(theta))) > 1e-6 * (1 + float(np.max(np.abs(model.y)))):
                break
            return theta
        before = size
    raise NoInterpolation(f"no zero-loss point near theta={np.round(theta, 6).tolist()}")


def nearest_zero_loss_point(model: Model, start: Array) -> Array:
    """Return the zero-loss point nearest to `start` (a local minimum of the distance), shape (d,).

    Raises
    ------
    NoInterpolation
        When the loss could not be brought to zero from the start.
    """
    theta = retract(model, _descend_residual(model, start))
    # Minimise the distance along Gamma: go along the tangent part of start - theta, halving the step until it helps.
    for _ in range(500):
        local = LocalGeometry.at(model, theta)
        direction = local.project(start - theta)
        if np.linalg.norm(direction) <= 1e-11 * (1 + np.linalg.norm(theta)):
            break
        distance, fraction = np.linalg.norm(start - theta), 1.0
        while fraction > 1e-6:
            try:
                candidate = retract(model, theta + fraction * direction)
            except NoInterpolation:
                candidate = theta
            if np.linalg.norm(start - candidate) < distance:
                break
            fraction /= 2
        else:
            break
        theta = candidate
    return theta


@np.errstate(over="ignore", invalid="ignore")  # a divergence ends in the exception, not in warnings
def noise_free_limit(model: Model, lr: float, theta: Array, max_steps: int = 200_000) -> Array:
    """Phi(theta): where theta <- theta - lr grad L ends; shape (..., d) for theta of shape (..., d).

    Raises
    ------
    NotApplicable
        When the iteration has not settled after `max_steps`.
    """
    theta = np.array(theta, dtype=np.float64)
    before = np.inf
    for step in range(max_steps):
        change = lr * model.gradient(theta)
        theta -= change
        if step % 16:
            continue
        size, scale = float(np.max(np.abs(change))), 1 + float(np.max(np.abs(theta)))
        # At rest, or as still as rounding lets it be: the change is tiny and no longer falls.
        if size <= 1e-16 * scale or (size <= 1e-12 * scale and size > 0.999 * before):
            return theta
        if not np.isfinite(size):
            break
        before = size
    raise NotApplicable("noise-free convergence", f"gradient descent at lr={lr} does not settle on the zero-loss set")


def _gauss_newton(model: Model, theta: Array) -> Array:
    residual, jacobian = model.residuals(theta), model.samples.jacobian(theta)
    if not (np.all(np.isfinite(residual)) and np.all(np.isfinite(jacobian))):
        return np.full(model.d, np.nan)
    return np.asarray(np.linalg.lstsq(jacobian, residual, rcond=_RANK_TOLERANCE)[0], dtype=np.float64)


def _descend_residual(model: Model, start: Array) -> Array:
    """Levenberg-Marquardt from `start` until the Gauss-Newton step is small."""
    theta, damping = np.array(start, dtype=np.float64), 1e-3
    loss = float(model.loss(theta))
    if not np.isfinite(loss):
        raise NoInterpolation(f"the prediction is not finite at start={start.tolist()}")
    for _ in range(2000):
        residual, jacobian = model.residuals(theta), model.samples.jacobian(theta)
        gram = jacobian @ jacobian.T if model.n <= model.d else None
        trace = float(np.sum(jacobian**2)) or 1.0
        while damping < 1e12:
            if gram is not None:
                step = jacobian.T @ np.linalg.solve(gram + damping * trace * np.eye(model.n), residual)
            else:
                lhs = jacobian.T @ jacobian + damping * trace * np.eye(model.d)
                step = np.linalg.solve(lhs, jacobian.T @ residual)
            trial = float(model.loss(theta - step))
            if np.isfinite(trial) and trial < loss:
                break
            damping *= 4
        else:
            break
        theta, loss, damping = theta - step, trial, max(damping / 10, 1e-15)
        if loss <= 1e-16 * (1 + float(np.max(np.abs(model.y))) ** 2):
            return theta
    # A small loss alone proves nothing (exp(u) = 0 has none): `retract` asks for Gauss-Newton steps that vanish.
    newton = float(np.linalg.norm(_gauss_newton(model, theta)))
    if newton <= 1e-5 * (1 + float(np.linalg.norm(theta))) and loss <= 1e-9:
        return theta
    raise NoInterpolation(f"the least loss found from the start is L={loss:.3g}, not 0: no theta near it fits all y")
