"""Cross-entropy of K logits with a class, and what flips of the class to a random other one make of it.

With flips of probability p a sample of class y has the mean loss -sum_c q_c log softmax(f)_c, where q_y = 1 - p and
q_c = e = p/(K-1) for the other classes. It is least where softmax(f) = q, that is f_c - f_y = -log((1-p)/e): logits
count modulo constants alone. Its Hessian in f there is C = diag q - q q^T, and so is the covariance of its slope over
the flips (Fisher's identity). C = W^T W with the K - 1 rows

    (W f)_c = sqrt(e) [(f_c - f_y) - k sum_j (f_j - f_y)],  c and j other than y,  k = (1 - sqrt(1-p))/(K-1),

so that to second order the mean loss is that of K - 1 residuals W f - W log q with a square loss and uncorrelated label
noise of variance 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .errors import InvalidInput

__all__ = ["ClassFlipLaw", "CrossEntropy"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CrossEntropy:
    """-log softmax(f)_y of the K logits f of a sample and its class y.

    Attributes
    ----------
    classes : int
        K.
    """

    classes: int

    name = "cross-entropy"

    def __str__(self) -> str:
        return "-log(softmax(f)[y])"

    def check_labels(self, y: Array) -> None:
        """Raise `InvalidInput` unless the labels are classes."""
        if np.any(y != np.rint(y)) or np.any(y < 0) or np.any(y >= self.classes):
            rule = f"must hold classes, whole numbers from 0 to {self.classes - 1}, for the {self.name} loss"
            raise InvalidInput("data.y", f"={y.tolist()} {rule} of {self.classes} outputs")

    def values(self, order: int, f: Array, y: Array) -> Array:
        """The loss (order 0, shape (..., n)) or its slopes (order 1, shape (..., n K)) at f of shape (..., n K)."""
        logits = f.reshape(*f.shape[:-1], len(y), self.classes)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        total = np.exp(shifted).sum(axis=-1, keepdims=True)
        own = np.arange(self.classes) == y[:, None]
        if order == 0:
            return np.asarray((np.log(total) - shifted).sum(axis=-1, where=own))
        return np.asarray((np.exp(shifted) / total - own).reshape(f.shape))

    def drawn_slopes(
        self, f: Sequence[sp.Expr], y: sp.Expr, count: sp.Expr, labels: Sequence[sp.Expr]
    ) -> list[sp.Expr]:
        """Slopes in each logit, summed over the draws of a sample.

        Parameters
        ----------
        f : sequence of Expr, length K
        y : Expr
            The label tells nothing beyond `labels`.
        count : Expr
            How often the sample is drawn.
        labels : sequence of Expr, length K
            How many of the draws have each class.
        """
        # Differences of logits in one sum: an exponential that overflows gives the limit 0.
        sums = [sp.Add(1, *(sp.exp(g - f[c]) for j, g in enumerate(f) if j != c)) for c in range(self.classes)]
        return [count / total - label for total, label in zip(sums, labels, strict=True)]


@dataclass(frozen=True)
class ClassFlipLaw:
    """What flips to a uniformly random other class, with probability p, make of the cross-entropy.

    Attributes
    ----------
    loss : CrossEntropy
    flip : float
    """

    loss: CrossEntropy
    flip: float

    # In the equivalent problem; the curvature of the cross-entropy does not depend on the label.
    curvatures = (1.0, 1.0)
    spread = 0.0

    @property
    def rows(self) -> int:
        """Residuals of a sample in the equivalent problem: K - 1."""
        return self.loss.classes - 1

    @property
    def chance(self) -> float:
        """Probability e that a draw has a given other class."""
        return self.flip / self.rows

    def targets(self, y: Array) -> Array:
        """q of each sample, shape (n, K)."""
        own = np.arange(self.loss.classes) == y[:, None]
        return np.where(own, 1 - self.flip, self.chance)

    @property
    def variance(self) -> float:
        """Variance of the slope in one logit over the flips, the mean over the logits: (1/K) sum_c q_c (1 - q_c)."""
        return (1 - (1 - self.flip) ** 2 - self.flip * self.chance) / self.loss.classes

    @property
    def alpha(self) -> float:
        """Curvature of the mean loss in one logit, the mean over the logits: the variance again."""
        return self.variance

    def whitened(self, y: Array) -> tuple[Array, Array]:
        """W of each sample, shape (n, K-1, K), and W log q, shape (n, K-1)."""
        k = (1 - np.sqrt(1 - self.flip)) / self.rows
        weights = np.sqrt(self.chance) * (np.eye(self.rows) - k) @ self._differences(y)
        return weights, np.einsum("ikc,ic->ik", weights, np.log(self.targets(y)))

    def kicks(self, y: Array) -> Array:
        """Change of each residual of the equivalent problem by a draw of each class, less its mean: (n, K-1, K)."""
        k = (1 / np.sqrt(1 - self.flip) - 1) / self.rows
        others = np.abs(self._differences(y)) * (np.arange(self.loss.classes) != y[:, None, None])
        return np.asarray(-(np.eye(self.rows) + k) @ others / np.sqrt(self.chance))

    def _differences(self, y: Array) -> Array:
        """From f to (f_c - f_y), c other than y in order; shape (n, K-1, K)."""
        n, r = len(y), self.rows
        out = np.zeros((n, r, r + 1))
        others = np.arange(r) + (np.arange(r) >= y[:, None])
        out[np.arange(n)[:, None], np.arange(r), others] = 1.0
        out[np.arange(n), :, y.astype(int)] = -1.0
        return out

    def labels(self, count: sp.Expr, noise: Sequence[sp.Expr], y: float) -> list[sp.Expr]:
        """How many draws of a sample have each class, by uncorrelated noise of variance count q_c each.

        count q_c + e_c - q_c sum_j e_j has the mean and the covariance of a multinomial law.
        """
        q = [sp.Float(v, 17) for v in self.targets(np.array([y]))[0]]
        return [share * (count - sum(noise)) + own for share, own in zip(q, noise, strict=True)]

    def label_variances(self, y: Array) -> Array:
        """Variance of the noise in `labels` for each draw, shape (n K,)."""
        return self.targets(y).ravel()
