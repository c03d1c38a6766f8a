"""A two-layer network with K outputs, cross-entropy, and labels that are flipped to a random other class.

Problem: z(x) = W2^T [a(W1^T [x, 1]), 1] with the smooth ReLU a(t) = (t + sqrt(t^2 + 1))/2; the label of a sample is y
with probability 1 - p and each other class with probability p/(K-1): the law q. L is the mean cross-entropy over labels
and samples less its least value, (1/n) sum_i KL(q_i, softmax z_i); it vanishes where softmax z_i = q_i.
Matrix: there hess L = (1/n) sum_i J_i^T C_i J_i with C = diag q - q q^T, which is also the covariance of a sample's
slope over the flips (Fisher's identity), so that lambda = eta/B.
Reference: Damian, Ma, Lee (2021), Section 2.3 and Section 4.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import real_array
from .cross_entropy import ClassFlipLaw, CrossEntropy
from .errors import InvalidInput

__all__ = ["NetworkProblem", "accuracy", "smooth_relu", "with_one"]

Array = NDArray[np.float64]


class NetworkProblem:
    """Samples with classes, flips, and the width of the network.

    Parameters
    ----------
    x : array_like, shape (n, D)
    y : array_like, shape (n,)
        Classes, whole numbers from 0 to K - 1.
    hidden : int
        Width m of the hidden layer.
    flip : float
        Probability p that a label is flipped, 0 < p < (K-1)/K.
    classes : int, optional
        K; one more than the largest class by default.

    Attributes
    ----------
    x : ndarray, shape (n, D + 1)
        With a column of ones.
    y : ndarray of int, shape (n,)

    Raises
    ------
    InvalidInput
    """

    def __init__(self, x: Any, y: Any, hidden: int, flip: float, classes: int | None = None) -> None:
        self.x = with_one(real_array("x", x, 2))
        labels = real_array("y", y, 1)
        self.y = labels.astype(np.int64)
        self.classes = int(labels.max()) + 1 if classes is None else classes
        self.hidden, self.flip = hidden, flip
        if len(labels) != len(self.x):
            raise InvalidInput("y", f" has {len(labels)} entries for {len(self.x)} samples; give one for each")
        if (self.y != labels).any() or self.y.min() < 0 or self.y.max() >= self.classes or self.classes < 2:
            raise InvalidInput("y", f" must be whole numbers from 0 to {max(self.classes, 2) - 1}")
        if not 0 < flip < 1 - 1 / self.classes:
            raise InvalidInput("flip", f"={flip} must be above 0 and below 1 - 1/K={1 - 1 / self.classes:.3g}")
        if hidden < 1:
            raise InvalidInput("hidden", f"={hidden} must be at least 1")

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of W1, (D + 1, m), and W2, (m + 1, K); the last row of each is added to all samples."""
        return (self.x.shape[1], self.hidden), (self.hidden + 1, self.classes)

    @property
    def d(self) -> int:
        """Number of parameters."""
        return sum(rows * columns for rows, columns in self.shapes)

    def split(self, theta: Array) -> tuple[Array, Array]:
        """W1 and W2, views of theta, shape (d,)."""
        first, second = self.shapes
        end = first[0] * first[1]
        return theta[:end].reshape(first), theta[end:].reshape(second)

    @cached_property
    def laws(self) -> Array:
        """The law of the label, q, for each class, shape (K, K)."""
        return self._flips.targets(np.arange(float(self.classes)))

    @cached_property
    def factors(self) -> Array:
        """M with M M^T = diag q - q q^T for each class, shape (K, K, K - 1)."""
        weights, _ = self._flips.whitened(np.arange(float(self.classes)))
        return np.ascontiguousarray(weights.transpose(0, 2, 1))

    @property
    def _flips(self) -> ClassFlipLaw:
        return ClassFlipLaw(CrossEntropy(self.classes), self.flip)

    def layers(self, theta: Array) -> tuple[Array, Array, Array]:
        """Activations with a one (n, m + 1), their slopes (n, m), outputs (n, K)."""
        first, second = self.split(theta)
        value, slope, _ = smooth_relu(self.x @ first)
        activations = with_one(value)
        return activations, slope, activations @ second

    def loss(self, theta: Array) -> float:
        """L, 0 at its least."""
        laws, outputs = self.laws[self.y], self.layers(theta)[2]
        return float(np.sum(laws * (np.log(laws) - _log_softmax(outputs))) / self.n)

    def gradient(self, theta: Array) -> Array:
        """Grad L, shape (d,)."""
        activations, slope, outputs = self.layers(theta)
        return self.backward(theta, activations, slope, (np.exp(_log_softmax(outputs)) - self.laws[self.y]) / self.n)

    def forward(self, theta: Array, activations: Array, slope: Array, direction: Array) -> Array:
        """Change of the outputs along `direction`, shape (n, K)."""
        first, second = self.split(direction)
        return np.asarray((slope * (self.x @ first)) @ self.split(theta)[1][:-1] + activations @ second)

    def backward(self, theta: Array, activations: Array, slope: Array, weights: Array) -> Array:
        """sum_ik weights_ik grad z_ik, shape (d,)."""
        second = self.split(theta)[1]
        return np.concatenate(
            [(self.x.T @ (slope * (weights @ second[:-1].T))).ravel(), (activations.T @ weights).ravel()]
        )


def smooth_relu(t: Array) -> tuple[Array, Array, Array]:
    """a(t) = (t + sqrt(t^2 + 1))/2, a'(t) and a''(t)."""
    root = np.sqrt(t * t + 1)
    value = (t + root) / 2
    return value, value / root, 0.5 / root**3


def with_one(x: Array) -> Array:
    """The rows of x with a one at their ends."""
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def accuracy(first: Array, second: Array, x: Array, y: NDArray[np.int64]) -> float:
    """Share of samples whose largest output is that of their class.

    Parameters
    ----------
    first, second : ndarray
        W1 and W2.
    x : ndarray, shape (n, D)
    y : ndarray of int, shape (n,)
    """
    outputs = with_one(smooth_relu(with_one(x) @ first)[0]) @ second
    return float(np.mean(outputs.argmax(axis=1) == y))


def _log_softmax(outputs: Array) -> Array:
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
