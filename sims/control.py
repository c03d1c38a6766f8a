"""Control variates: the linear SGD on the same draws, whose moments are known exactly.

Around a zero-loss point p the replicas follow, to first order, z <- z - (eta/B) sum_b (g_b . z - eps_b) g_b with the
gradients g_i of the predictions at p; to second order they move along the zero-loss set by the increments
-(eta/B) sum_b (g_b . z - eps_b) P F_b z, F_i the Hessian of f_i and P the projection on ker H. Both are run beside
every replica. What is measured minus what they predict for the same draws has a small variance; the mean of what they
predict follows from the law of the draws alone. So the mean of an estimate stays where it was, whatever is true of the
model: a reference point that is badly chosen costs variance, not truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.geometry import LocalGeometry
from numpy.typing import NDArray

from .ensemble import Ensemble

__all__ = ["Control", "LinearControl", "LinearMoments", "Segment", "second_moment_map"]

Array = NDArray[np.float64]
Steps = Sequence[int] | NDArray[np.int64]

# Coordinates of the normal space: the exact moments need the eigenvalues of a matrix with so many squared rows.
MOST_NORMAL = 24
# Sum over draws costs rank * (1 + tangent dimension) operations.
MOST_PRODUCTS = 400


def second_moment_map(g: Array, lr: float, batch: int, full: bool, replacement: bool) -> Array:
    """E[M x M] for M = 1 - (lr/B) sum_b g_b g_b^T, as a matrix on r x r matrices; shape (r^2, r^2).

    Parameters
    ----------
    g : ndarray, shape (n, r)
        Gradients of the samples.
    lr : float
    batch : int
        B draws in a step.
    full : bool
        Every sample is drawn once.
    replacement : bool
        Whether the B draws are independent; ignored for `full`.
    """
    n, r = g.shape
    one, h = np.eye(r), g.T @ g / n
    # Two draws of one step: the same draw with probability 1/B, else two samples whose joint law is the sampling's.
    same = np.einsum("ia,ib,ic,id->acbd", g, g, g, g).reshape(r * r, r * r) / n
    apart = np.kron(h, h)
    if full or n == 1:
        batch = n
    if (full or not replacement) and n > 1:
        apart = (n * apart - same) / (n - 1)
    pairs = same / batch + (1 - 1 / batch) * apart
    moved: Array = np.eye(r * r) - lr * (np.kron(h, one) + np.kron(one, h)) + lr**2 * pairs
    return moved


class LinearMoments:
    """E[z_k z_k^T] of the linear SGD from a given second moment on.

    Parameters
    ----------
    second_moment : ndarray, shape (r^2, r^2)
        From `second_moment_map`.
    fresh : ndarray, shape (r, r)
        Covariance that every step adds.
    """

    def __init__(self, second_moment: Array, fresh: Array) -> None:
        self.rank = len(fresh)
        self.values, self.vectors = np.linalg.eigh(0.5 * (second_moment + second_moment.T))
        self.fresh = self.vectors.T @ fresh.ravel()

    def after(self, start: Array, steps: int) -> tuple[Array, Array]:
        """E[z z^T] after so many steps, and the sum of it over the steps before: both of shape (r, r)."""
        power = self.values ** float(steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Sums of a geometric series, and of those sums; where the ratio is 1 by counting.
            once = np.where(self.values == 1, float(steps), (1 - power) / (1 - self.values))
            twice = np.where(self.values == 1, steps * (steps - 1) / 2, (steps - once) / (1 - self.values))
        begun = self.vectors.T @ start.ravel()
        now = power * begun + once * self.fresh
        total = once * begun + twice * self.fresh
        shape = (self.rank, self.rank)
        return (self.vectors @ now).reshape(shape), (self.vectors @ total).reshape(shape)


@dataclass(frozen=True)
class Segment:
    """A reference point, from a step on.

    Attributes
    ----------
    first : int
    local : LocalGeometry
    """

    first: int
    local: LocalGeometry

    @cached_property
    def gradients(self) -> Array:
        """g_i in coordinates of the normal space, shape (n, r)."""
        return np.ascontiguousarray(self.local.jacobian @ self.local.normal)

    @cached_property
    def second(self) -> Array:
        """P F_i in coordinates, shape (n, m, r)."""
        return np.ascontiguousarray(
            np.einsum("am,iab,br->imr", self.local.tangent, self.local.second, self.local.normal)
        )


class LinearControl:
    """The linear SGD around one reference point, or around several, one after the other.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    points : ndarray, shape (S, d)
        Zero-loss points.
    firsts : sequence of int
        The step from which each serves, increasing; before the first nothing runs.
    marks : sequence of int
        Steps at which the linear process is read, increasing.
    """

    def __init__(self, model: Model, algorithm: Algorithm, points: Array, firsts: Steps, marks: Steps) -> None:
        self.algorithm, self.n = algorithm, model.n
        self.batch = algorithm.batch(model)
        self.segments = [Segment(int(k), LocalGeometry.at(model, p)) for k, p in zip(firsts, points, strict=True)]
        self.marks = np.asarray(marks, dtype=np.int64)
        self.rank = self.segments[0].local.rank
        self.free = model.d - self.rank

    @property
    def usable(self) -> bool:
        """Whether the moments can be had, and the dimensions are the same everywhere."""
        small = self.rank <= MOST_NORMAL and self.rank * (1 + self.free) <= MOST_PRODUCTS
        return small and all(s.local.rank == self.rank for s in self.segments)

    def transport(self, s: int) -> Array:
        """What remains of z where segment s takes over from the one before, shape (r, r)."""
        return self.segments[s].local.normal.T @ self.segments[s - 1].local.normal

    def spans(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Segment, first and last step of each stretch between two steps."""
        ends = [*(s.first for s in self.segments[1:]), last]
        spans = [(s, max(first, seg.first), min(last, end)) for s, (seg, end) in enumerate(zip(self.segments, ends))]
        return [(s, a, b) for s, a, b in spans if a < b]

    def moments(self, sigmas: Array) -> tuple[Array, Array]:
        """Exact moments at the marks.

        Parameters
        ----------
        sigmas : ndarray, shape (n,)
            Standard deviation of each sample's label noise.

        Returns
        -------
        covariance : ndarray, shape (Q, d, d)
            Of the linear process.
        increments : ndarray, shape (Q, d)
            Mean second-order motion along the zero-loss set since the mark before.
        """
        algorithm, s_now, at = self.algorithm, np.zeros((self.rank, self.rank)), self.segments[0].first
        covariances, increments, current = [], [], 0
        for mark in self.marks:
            moved = np.zeros(len(self.segments[0].local.theta))
            for s, a, b in self.spans(at, int(mark)):
                segment = self.segments[s]
                for t in range(current + 1, s + 1):
                    s_now = self.transport(t) @ s_now @ self.transport(t).T
                current = s
                s_now, total = self._moments(s, sigmas).after(s_now, b - a)
                slope = np.einsum("ir,imq,rq->m", segment.gradients, segment.second, total) / self.n
                moved += segment.local.tangent @ (-algorithm.lr * slope)
            at = max(at, int(mark))
            normal = self.segments[current].local.normal
            covariances.append(normal @ s_now @ normal.T)
            increments.append(moved)
        return np.array(covariances), np.array(increments)

    def _moments(self, s: int, sigmas: Array) -> LinearMoments:
        g, lr = self.segments[s].gradients, self.algorithm.lr
        full = self.algorithm.batch_size == "full"
        replacement = self.algorithm.sampling == "with-replacement"
        fresh = (lr**2 / self.batch) * (g.T * sigmas**2) @ g / self.n
        return LinearMoments(second_moment_map(g, lr, self.batch, full, replacement), fresh)


@dataclass(frozen=True)
class Control:
    """A linear process and the columns that are made of it.

    Attributes
    ----------
    linear : LinearControl
    rows : callable
        From an ensemble to the columns of each replica, shape (N, C).
    mean : callable
        From the label noise of each sample to the exact mean of the columns, shape (C,).
    regressed : bool
        Whether the columns need coefficients; else they predict the rows themselves.
    """

    linear: LinearControl
    rows: Callable[[Ensemble], Array]
    mean: Callable[[Array], Array]
    regressed: bool = False
