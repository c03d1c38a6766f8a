"""What the loss of an `IndexedModel` looks like at a point: through n x n matrices, whatever the number of parameters.

Nothing here has d x d entries. With J the Jacobian, H = J^T J/n (the
Gauss-Newton matrix, hess L on the zero-loss set) and G = J J^T/n have the same nonzero eigenvalues, and
(2 - eta H)^-1 J^T = J^T (2 - eta G)^-1. So R(theta) = -(1/(2 eta)) log det(1 - eta/2 G), and
grad R = (1/n) sum_i (hess f_i) v_i with v_i = sum_j W_ij grad f_j, W = (2 - eta G)^-1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput, NotApplicable
from .indexed import IndexedModel
from .slow import learning_rate_rule

__all__ = ["IndexedGeometry"]

Array = NDArray[np.float64]

# As in `geometry`: relative singular values of the Jacobian below this count as zero.
_RANK_TOLERANCE = 1e-7
# Beyond, n x n matrices take minutes.
_MAX_SAMPLES = 5000


class IndexedGeometry:
    """Derivatives of the predictions of an `IndexedModel` at one point, and what follows from them.

    Parameters
    ----------
    model : IndexedModel
    theta : array_like, shape (d,)
        On the zero-loss set for whatever speaks of the loss; R is that of the Gauss-Newton matrix elsewhere.

    Raises
    ------
    NotApplicable
        When a derivative is not finite there.
    """

    def __init__(self, model: IndexedModel, theta: Any) -> None:
        self.model, self.theta = model, model.point(theta, "theta")
        self.slopes, self.curves = model.samples.slopes(self.theta), model.samples.curves(self.theta)
        if not all(np.isfinite(a).all() for a in (*self.slopes.values(), *self.curves.values())):
            raise NotApplicable("smoothness", "a derivative of the prediction is not finite at theta")

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.model.n

    def product(self, direction: Array) -> Array:
        """J v, shape (..., n) for v of shape (..., d)."""
        changes = self.model.samples.spread(direction)
        total = sum(self.slopes[name] * change for name, change in changes.items())
        return np.asarray(np.sum(total, axis=-1))

    def adjoint(self, weights: Array) -> Array:
        """J^T w, shape (..., d) for w of shape (..., n)."""
        return self.model.samples.gather({m: weights[..., None] * slope for m, slope in self.slopes.items()})

    def gauss_newton(self, direction: Array) -> Array:
        """H v, shape (..., d)."""
        return self.adjoint(self.product(direction)) / self.n

    def gram_product(self, weights: Array) -> Array:
        """G w, shape (..., n), without G."""
        return self.product(self.adjoint(weights)) / self.n

    @property
    def smaller(self) -> tuple[int, Callable[[Array], Array]]:
        """Size of the smaller one of H and G, and the product with it."""
        few = self.n <= self.model.d
        return (self.n, self.gram_product) if few else (self.model.d, self.gauss_newton)

    @property
    def trace(self) -> float:
        """Tr H."""
        squares = {m: float(np.sum(slope**2 * self._lengths(m))) for m, slope in self.slopes.items()}
        return sum(squares.values()) / self.n

    @cached_property
    def gram(self) -> Array:
        """G, shape (n, n).

        Raises
        ------
        InvalidInput
            When there are too many samples.
        """
        if self.n > _MAX_SAMPLES:
            rule = f" are {self.n}, too many for n x n matrices; use flatmin.sims.quadrature"
            raise InvalidInput("data samples", rule)
        total = np.zeros((self.n, self.n))
        for name, slope in self.slopes.items():
            total += (slope @ slope.T) * self._products(name)
        return total / self.n

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        """Nonzero eigenvalues of G, descending, with eigenvectors in columns."""
        values, vectors = np.linalg.eigh(self.gram)
        kept = values[::-1] > _RANK_TOLERANCE**2 * max(float(values[-1]), 1e-300)
        return values[::-1][kept], vectors[:, ::-1][:, kept]

    @property
    def curvatures(self) -> Array:
        """Nonzero eigenvalues of H, descending, shape (rank,)."""
        return self._spectrum[0]

    @property
    def rank(self) -> int:
        """Rank of the Jacobian."""
        return len(self.curvatures)

    @cached_property
    def normal(self) -> Array:
        """Orthonormal eigenvectors of H that span its range, in rows, shape (rank, d)."""
        values, vectors = self._spectrum
        return self.adjoint(vectors.T / np.sqrt(self.n * values)[:, None])

    def project(self, direction: Array) -> Array:
        """P v: the part along the zero-loss set, shape (d,)."""
        values, vectors = self._spectrum
        inside = vectors @ ((vectors.T @ self.product(direction)) / values) / self.n
        return direction - self.adjoint(inside)

    def third(self, vectors: Array, weights: Array) -> Array:
        """D3L[S] with S = sum_r w_r v_r v_r^T at a zero-loss point, shape (d,); `vectors` has shape (r, d).

        There D3L[S] = (1/n) sum_i [2 (hess f_i) S g_i + tr((hess f_i) S) g_i].
        """
        total = {name: np.zeros((self.n, self.model.size)) for name in self.slopes}
        for vector, weight in zip(vectors, weights, strict=True):
            change = self.model.samples.spread(vector)
            along = self.product(vector)[:, None]
            turned = self._turned(change)
            twice = sum(np.sum(change[m] * turned[m], axis=-1, keepdims=True) for m in change)
            for name in total:
                total[name] += weight * (2 * along * turned[name] + twice * self.slopes[name])
        return self.model.samples.gather(total) / self.n

    def regularizer(self, step: float) -> float:
        """R of the paper at learning rate `step` (eta/(1+beta) with momentum); tr(H)/4 at step = 0.

        Raises
        ------
        NotApplicable
            When step h_max >= 2.
        """
        if step == 0:
            return self.trace / 4
        self._require_stable(step)
        return float(-np.sum(np.log1p(-0.5 * step * self.curvatures)) / (2 * step))

    def regularizer_gradient(self, step: float) -> Array:
        """Grad R, shape (d,): the gradient of `regularizer` at this step.

        Along the zero-loss set, P grad R, it is that of the paper's R; across it the paper's has a part more, from the
        residuals in hess L.
        """
        self._require_stable(step)
        weights = np.linalg.inv(2 * np.eye(self.n) - step * self.gram)
        change = {m: (weights * self._products(m)) @ slope for m, slope in self.slopes.items()}
        return self.model.samples.gather(self._turned(change)) / self.n

    def covariance(self, step: float, strength: float) -> tuple[Array, Array]:
        """S = strength (2 - step H)^-1 on range(H), as (vectors, weights) for `third`."""
        self._require_stable(step)
        return self.normal, strength / (2 - step * self.curvatures)

    def velocity(self, step: float) -> Array:
        """The slow velocity -P grad R, per unit of slow time eta lambda k, shape (d,)."""
        return -self.project(self.regularizer_gradient(step))

    def _turned(self, change: dict[str, Array]) -> dict[str, Array]:
        """(hess f_i) v in the arguments of every term, for v that changes them so."""
        return {a: np.asarray(sum(self.curves[a, b] * change[b] for b in change)) for a in change}

    def _products(self, name: str) -> Array | float:
        """What the product of the slopes of two samples counts in G, shape (n, n): x_i x_j for a matrix."""
        return self.model.x @ self.model.x.T if name == self.model.matrix else 1.0

    def _lengths(self, name: str) -> Array | float:
        return np.sum(self.model.x**2, axis=1)[:, None] if name == self.model.matrix else 1.0

    def _require_stable(self, step: float) -> None:
        largest = float(self.curvatures.max(initial=0.0))
        if step * largest >= 2:
            raise NotApplicable("learning rate", learning_rate_rule(step, largest, 2.0))
