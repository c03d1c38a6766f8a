"""How flat a two-layer network is at a point: tr H, the top eigenvalue, R and its gradient through the Gram matrix.

H = (1/n) sum_i J_i^T C_i J_i is hess L on the zero-loss set and the Gauss-Newton matrix elsewhere, with C at the
smoothed optimum. With C_i = M_i M_i^T it has the nonzero eigenvalues of G, of size n(K-1), with blocks
(1/n) M_i^T J_i J_j^T M_j, and J_i J_j^T = (a_i.a_j) 1 + (x_i.x_j) sum_h a'_ih a'_jh w_h w_h^T for two layers. So
R = -(1/(2 eta)) log det(1 - eta/2 G), and grad R = (1/4) sum W_ab grad G_ab with W = (1 - eta/2 G)^-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import scipy  # its parts are imported where they are used
from numpy.typing import NDArray

from .dense import factorize, invert, scratch
from .errors import InvalidInput, NoInterpolation, NotApplicable
from .network import NetworkProblem, smooth_relu
from .slow import learning_rate_rule

__all__ = ["MAX_GRAM", "NetworkGeometry", "to_optimum"]

Array = NDArray[np.float64]

# Larger matrices G take more than ten seconds.
MAX_GRAM = 5000


class NetworkGeometry:
    """Derivatives of the outputs at one point, and what follows from them.

    Parameters
    ----------
    problem : NetworkProblem
    theta : ndarray, shape (d,)

    Raises
    ------
    NotApplicable
        When an output is not finite there.
    """

    def __init__(self, problem: NetworkProblem, theta: Array) -> None:
        self.problem, self.theta = problem, np.asarray(theta, dtype=np.float64)
        self.activations, self.slope, self.outputs = problem.layers(self.theta)
        if not np.isfinite(self.outputs).all():
            raise NotApplicable("smoothness", "an output of the network is not finite at theta")

    @property
    def size(self) -> int:
        """Of G: n(K-1)."""
        return self.problem.n * (self.problem.classes - 1)

    @property
    def _factors(self) -> Array:
        """M of each sample, shape (n, K, K - 1)."""
        return self.problem.factors[self.problem.y]

    @cached_property
    def _turned(self) -> Array:
        """W2 M for each sample, shape (n, K - 1, m)."""
        second = self.problem.split(self.theta)[1][:-1]
        return np.asarray((second @ self.problem.factors).transpose(0, 2, 1)[self.problem.y])

    @cached_property
    def _slopes(self) -> Array:
        """What the factors do to the slopes in the first layer's arguments, shape (n, K - 1, m)."""
        return self._turned * self.slope[:, None, :]

    def product(self, direction: Array) -> Array:
        """F v, shape (n(K-1),), for v of shape (d,); H = F^T F and G = F F^T."""
        change = self.problem.forward(self.theta, self.activations, self.slope, direction)
        return np.einsum("ikm,ik->im", self._factors, change).ravel() / np.sqrt(self.problem.n)

    def adjoint(self, weights: Array) -> Array:
        """F^T w, shape (d,), for w of shape (n(K-1),)."""
        outer = np.einsum("ikm,im->ik", self._factors, weights.reshape(self.problem.n, -1))
        return self.problem.backward(self.theta, self.activations, self.slope, outer / np.sqrt(self.problem.n))

    def gauss_newton(self, direction: Array) -> Array:
        """H v, shape (d,)."""
        return self.adjoint(self.product(direction))

    def gram_product(self, weights: Array) -> Array:
        """G w, shape (n(K-1),), without G."""
        return self.product(self.adjoint(weights))

    @property
    def smaller(self) -> tuple[int, Callable[[Array], Array]]:
        """Size of the smaller one of H and G, and the product with it."""
        few = self.size <= self.problem.d
        return (self.size, self.gram_product) if few else (self.problem.d, self.gauss_newton)

    @property
    def trace(self) -> float:
        """Tr H."""
        sizes = np.einsum("ikm,ikm->i", self._factors, self._factors)
        second = np.sum(self.activations**2, axis=1) * sizes
        slopes = np.sum(self._slopes.reshape(self.problem.n, -1) ** 2, axis=1)
        return float(np.sum(second + np.sum(self.problem.x**2, axis=1) * slopes) / self.problem.n)

    @property
    def gram(self) -> Array:
        """G, shape (n(K-1), n(K-1)).

        Raises
        ------
        InvalidInput
            When it is too large.
        """
        self._require_affordable()
        n, rest = self.problem.n, self.problem.classes - 1
        blocks = np.empty((n, rest, n, rest))
        self._fill(blocks.transpose(1, 0, 3, 2), 1.0)
        for m, k in combinations(range(rest), 2):
            blocks[:, m, :, k] = blocks[:, k, :, m].T
        return blocks.reshape(self.size, -1)

    def _fill(self, blocks: Array, factor: float) -> None:
        """A multiple of G of samples i, j in blocks[m, i, l, j], for l <= m; no other entry is read."""
        factor /= self.problem.n
        inputs, activations = self.problem.x @ self.problem.x.T, self.activations @ self.activations.T
        for m, k, overlap in self._pairs:
            first, second = self._slopes[:, m], self._slopes[:, k]
            blocks[m, :, k] = factor * ((first @ second.T) * inputs + activations * overlap)

    @property
    def _pairs(self) -> Iterator[tuple[int, int, Array]]:
        """Pairs l <= m, and M_i^T M_j at (m, l) for all samples, shape (n, n)."""
        y = self.problem.y
        for m in range(self.problem.classes - 1):
            for k in range(m + 1):
                yield m, k, self._overlaps[:, m, :, k][y][:, y]

    def _require_affordable(self) -> None:
        if self.size > MAX_GRAM:
            rule = f"={self.size} is too many for their Gram matrix; use flatmin.sims.quadrature"
            raise InvalidInput("n(K-1)", rule)

    @cached_property
    def _overlaps(self) -> Array:
        """M^T M of two classes, shape (K, K - 1, K, K - 1)."""
        return np.einsum("akm,bkl->ambl", self.problem.factors, self.problem.factors)

    @cached_property
    def largest(self) -> float:
        """The top eigenvalue of H, to five digits: Lanczos steps from a fixed vector."""
        from scipy.sparse.linalg import LinearOperator, eigsh

        if self.size < 3:
            return float(np.linalg.eigvalsh(self.gram)[-1])
        operator = LinearOperator((self.size, self.size), matvec=self.gram_product, dtype=np.float64)
        start = 1.0 + np.arange(self.size) % 7
        return float(eigsh(operator, k=1, v0=start, tol=1e-4, return_eigenvectors=False)[0])

    def regularizer(self, step: float) -> float:
        """R of the paper at learning rate `step` (eta/(1+beta) with momentum); tr(H)/4 at step = 0.

        Raises
        ------
        NotApplicable
            When step h_max >= 2.
        """
        if step == 0:
            return self.trace / 4
        return float(-np.sum(np.log(np.diag(self._root(step)))) / step)

    def regularizer_gradient(self, step: float) -> Array:
        """Grad R, shape (d,), at fixed C; the gradient of tr(H)/4 at step = 0.

        Along the zero-loss set, P grad R, it is that of the paper's R; across it the paper's has a part more, from the
        residuals in hess L.

        Raises
        ------
        NotApplicable
            When step h_max >= 2.
        """
        if step == 0:
            return self._pulled(np.eye(self.size))
        root = self._root(step)
        invert(root)
        return self._pulled(root)

    def _root(self, step: float) -> Array:
        """The lower Cholesky factor of 1 - step/2 G, samples within components: there is none when step h_max >= 2.

        It stands in `scratch`: no other may be asked for in this thread while it is used.
        """
        self._require_affordable()
        matrix, n = scratch(self.size), self.problem.n
        self._fill(matrix.reshape(-1, n, self.problem.classes - 1, n), -step / 2)
        matrix[np.diag_indices(self.size)] += 1
        try:
            factorize(matrix)
        except np.linalg.LinAlgError:
            raise NotApplicable("learning rate", learning_rate_rule(step, self.largest, 2.0)) from None
        return matrix

    def _pulled(self, weights: Array) -> Array:
        """(1/4) sum W_ab grad G_ab for constant symmetric W: what dR is, pulled back through both layers.

        Of W, samples within components, the lower triangle is read.
        """
        problem, n = self.problem, self.problem.n
        first, _ = problem.split(self.theta)
        blocks, inputs = weights.reshape(-1, n, problem.classes - 1, n), problem.x @ problem.x.T
        shared, of_slopes = np.zeros((n, n)), np.zeros(self._slopes.shape)
        for m, k, overlap in self._pairs:
            block = blocks[m, :, k]
            if m == k:  # its upper triangle may hold anything
                block = np.tril(block) + np.tril(block, -1).T
            part = block * overlap
            shared += part if m == k else part + part.T
            part = block * inputs
            of_slopes[:, m] += part @ self._slopes[:, k]
            if m != k:
                of_slopes[:, k] += part.T @ self._slopes[:, m]
        of_slopes /= 2 * n
        of_activations = (shared @ self.activations)[:, :-1] / (2 * n)
        bend = smooth_relu(problem.x @ first)[2]
        arguments = of_activations * self.slope + np.sum(of_slopes * self._turned, axis=1) * bend
        second = np.einsum("imh,ikm->hk", of_slopes * self.slope[:, None, :], self._factors, optimize=True)
        # The last row of W2 is added to the outputs and changes no slope.
        return np.concatenate([(problem.x.T @ arguments).ravel(), second.ravel(), np.zeros(problem.classes)])


def to_optimum(problem: NetworkProblem, theta: Any, tolerance: float = 1e-12, rounds: int = 30) -> Array:
    """The zero-loss point near theta: Gauss-Newton steps of least length.

    Parameters
    ----------
    problem : NetworkProblem
    theta : ndarray, shape (d,)
    tolerance : float
        Largest L; steps converge quadratically, so that one more would give rounding.
    rounds : int

    Raises
    ------
    NoInterpolation
        When no such point is found.
    """
    theta = np.array(theta, dtype=np.float64)
    loss = problem.loss(theta)
    for _ in range(rounds):
        if not loss > tolerance:
            break
        geometry = NetworkGeometry(problem, theta)
        missing = np.log(problem.laws[problem.y]) - geometry.outputs
        aim = np.einsum("ikm,ik->im", geometry._factors, missing).ravel() / np.sqrt(problem.n)
        step = geometry.adjoint(_solved(geometry.gram, aim))
        # Far away a whole step can lead too far; the loss falls along the step at first.
        tried = [theta + step / 2**halved for halved in range(8)]
        theta, loss = next(((t, new) for t in tried if (new := problem.loss(t)) < loss), (tried[-1], np.inf))
    if not loss <= tolerance:
        reached = "does not fall any more" if loss == np.inf else f"is {loss:.2g}"
        rule = f"the loss {reached} after Gauss-Newton steps; the network cannot fit these labels"
        raise NoInterpolation(rule)
    return theta


def _solved(gram: Array, aim: Array) -> Array:
    """gram^-1 aim; a ridge of rounding size keeps samples that are alike apart."""
    gram[np.diag_indices(len(gram))] += 1e-12 * float(np.trace(gram))
    return np.asarray(scipy.linalg.solve(gram, aim, assume_a="pos", check_finite=False))
