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

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.effective import effective
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.linear import linear_rule
from numpy.typing import NDArray

from .ensemble import Ensemble
from .linear_process import SampleLaw, Segment

__all__ = ["Control", "LinearControl", "LinearMoments", "second_moment_map"]

Array = NDArray[np.float64]
Steps = Sequence[int] | NDArray[np.int64]

# Coordinates of the normal space: the exact moments need the eigenvalues of a matrix with so many squared rows.
MOST_NORMAL = 24
# Sum over draws costs rank * (1 + tangent dimension) operations.
MOST_PRODUCTS = 400


def second_moment_map(
    g: Array,
    lr: float,
    batch: int,
    full: bool,
    replacement: bool,
    segment: Segment | None = None,
) -> Array:
    """E[M x M] for M = 1 - (lr/B) sum_b g_b g_b^T, as a matrix on r x r matrices; shape (r^2, r^2).

    Parameters
    ----------
    g : ndarray, shape (n, r) or (n rows, r)
        Gradients of the samples; of K - 1 terms for each with K classes.
    lr : float
    batch : int
        B draws in a step.
    full : bool
        Every sample is drawn equally often.
    replacement : bool
        Whether the B draws are independent; ignored for `full`.
    segment : Segment, optional
        Of another rule than plain SGD: M = carried - (lr/B) gain sum_b kappa_b g_b g_b^T seen, with curvatures kappa_b.
    """
    rows, r = 1 if segment is None else segment.law.rows, g.shape[1]
    n = len(g) // rows
    h = g.T @ g / n
    terms = g.reshape(n, rows, r)
    each = np.einsum("ika,ikb->iab", terms, terms)
    same = np.einsum("iab,icd->acbd", each, each).reshape(r * r, r * r) / n
    carried, spread = np.eye(r), 0.0
    if segment is not None:
        carried, spread = segment.carried, segment.law.spread
        same = np.kron(segment.gain, segment.gain) @ same @ np.kron(segment.seen, segment.seen)
        h = segment.gain @ h @ segment.seen
    # Which samples are drawn varies by this part of what it would if draws were independent.
    varied = 0.0 if full or n == 1 else 1.0 if replacement else (n - batch) / (n - 1)
    mean = carried - lr * h
    pairs = (varied + spread) * same - varied * np.kron(h, h)
    return np.asarray(np.kron(mean, mean) + lr**2 / batch * pairs)


class LinearMoments:
    """E[z_k z_k^T] of the linear process from a given second moment on.

    Parameters
    ----------
    second_moment : ndarray, shape (r^2, r^2)
        From `second_moment_map`.
    fresh : ndarray, shape (r, r)
        Covariance that every step adds.
    """

    def __init__(self, second_moment: Array, fresh: Array) -> None:
        self.rank = len(fresh)
        scale = float(np.max(np.abs(second_moment), initial=1.0))
        self.symmetric = bool(np.max(np.abs(second_moment - second_moment.T), initial=0.0) < 1e-12 * scale)
        if self.symmetric:
            self.values, self.vectors = np.linalg.eigh(0.5 * (second_moment + second_moment.T))
            self.fresh = self.vectors.T @ fresh.ravel()
            return
        # Symmetric matrices alone, by their upper triangle.
        upper = np.triu_indices(self.rank)
        at = upper[0] * self.rank + upper[1]
        spread = np.zeros((self.rank**2, len(at)))
        columns = np.arange(len(at))
        spread[at, columns] = spread[upper[1] * self.rank + upper[0], columns] = 1.0
        self.upper, self.spread = at, spread
        power = (second_moment @ spread)[at]
        added = fresh.ravel()[at]
        # After 2^j steps: S is power S + added, and the sum over the steps before is sums S + counted.
        self.levels = [(power, added, np.eye(len(at)), np.zeros(len(at)))]

    def after(self, start: Array, steps: int) -> tuple[Array, Array]:
        """E[z z^T] after so many steps, and the sum of it over the steps before: both of shape (r, r)."""
        if not self.symmetric:
            return self._doubled(start, steps)
        power = self.values ** float(steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Sums of a geometric series, and of those sums; where the ratio is 1 by counting.
            fixed = np.abs(self.values - 1) < 1e-13
            once = np.where(fixed, float(steps), (1 - power) / (1 - self.values))
            twice = np.where(fixed, steps * (steps - 1) / 2, (steps - once) / (1 - self.values))
        begun = self.vectors.T @ start.ravel()
        now = power * begun + once * self.fresh
        total = once * begun + twice * self.fresh
        shape = (self.rank, self.rank)
        return (self.vectors @ now).reshape(shape), (self.vectors @ total).reshape(shape)

    def _doubled(self, start: Array, steps: int) -> tuple[Array, Array]:
        now, total = start.ravel()[self.upper], np.zeros(len(self.upper))
        for j in range(steps.bit_length()):
            if j == len(self.levels):
                power, added, sums, counted = self.levels[-1]
                self.levels.append(
                    (power @ power, power @ added + added, sums @ power + sums, 2 * counted + sums @ added)
                )
            if steps >> j & 1:
                power, added, sums, counted = self.levels[j]
                total = total + sums @ now + counted
                now = power @ now + added
        shape = (self.rank, self.rank)
        return (self.spread @ now).reshape(shape), (self.spread @ total).reshape(shape)


class LinearControl:
    """The linear process around one reference point, or around several, one after the other.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    points : ndarray, shape (S, d)
        Points of rest.
    firsts : sequence of int
        The step from which each serves, increasing; before the first nothing runs.
    marks : sequence of int
        Steps at which the linear process is read, increasing.
    walks : bool
        Read where the noise-free iteration from the linear process ends, instead of theta in it: noise may then act
        along the zero-loss set.
    """

    def __init__(
        self, model: Model, algorithm: Algorithm, points: Array, firsts: Steps, marks: Steps, walks: bool = False
    ) -> None:
        self.walks = walks
        self.algorithm, self.n = algorithm, model.n
        self.batch = algorithm.batch(model)
        law = SampleLaw.of(model, algorithm)
        self.segments: list[Segment] = []
        if linear_rule(algorithm.update_rule, model.d, algorithm.lr) is not None:
            square = effective(model, algorithm)[0]
            self.segments = [
                Segment(int(k), LocalGeometry.at(square, p), model, algorithm, law)
                for k, p in zip(firsts, points, strict=True)
            ]
        self.marks = np.asarray(marks, dtype=np.int64)
        self.rank = self.segments[0].size if self.segments else 0
        self.free = model.d - self.segments[0].local.rank if self.segments else 0

    @property
    def usable(self) -> bool:
        """Whether the rule is linear, the moments can be had, and the dimensions are the same everywhere."""
        if not self.segments or not (self.walks or all(s.sound for s in self.segments)):
            return False
        first = self.segments[0]
        small = self.rank <= MOST_NORMAL and first.gradients.shape[1] * (1 + self.free) <= MOST_PRODUCTS
        alike = all(s.size == self.rank and s.gradients.shape == first.gradients.shape for s in self.segments)
        alike = alike and all(s.second.shape == first.second.shape for s in self.segments)
        return small and alike and all(s.contracts for s in self.segments)

    def shown(self, segment: Segment) -> Array:
        """From z to what is read, shape (d, r)."""
        return segment.limit if self.walks else segment.theta

    def transport(self, s: int) -> Array:
        """What remains of z where segment s takes over from the one before, shape (r, r)."""
        return np.asarray(self.segments[s].basis.T @ self.segments[s - 1].basis)

    def spans(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Segment, first and last step of each stretch between two steps."""
        ends = [*(s.first for s in self.segments[1:]), last]
        spans = [(s, max(first, seg.first), min(last, end)) for s, (seg, end) in enumerate(zip(self.segments, ends))]
        return [(s, a, b) for s, a, b in spans if a < b]

    def moments(self, sigmas: Array) -> tuple[Array, Array, Array]:
        """Exact moments at the marks.

        Parameters
        ----------
        sigmas : ndarray, shape (n,)
            Standard deviation of the noise in each sample's residual.

        Returns
        -------
        covariance : ndarray, shape (Q, d, d)
            Of what is read of the linear process.
        increments : ndarray, shape (Q, d)
            Mean second-order motion along the zero-loss set since the mark before.
        ends : ndarray, shape (Q, d)
            Mean of the motion of the noise-free iteration from the process at the mark.
        """
        s_now, at = np.zeros((self.rank, self.rank)), self.segments[0].first
        covariances, increments, ends, current = [], [], [], 0
        for mark in self.marks:
            moved = np.zeros(len(self.segments[0].local.theta))
            for s, a, b in self.spans(at, int(mark)):
                segment = self.segments[s]
                for t in range(current + 1, s + 1):
                    s_now = self.transport(t) @ s_now @ self.transport(t).T
                current = s
                s_now, total = self._moments(s, sigmas).after(s_now, b - a)
                moved += segment.local.tangent @ np.einsum("mrq,rq->m", segment.slope, total)
            at = max(at, int(mark))
            segment = self.segments[current]
            shown = self.shown(segment)
            covariances.append(shown @ s_now @ shown.T)
            increments.append(moved)
            ends.append(np.einsum("arq,rq->a", segment.end, s_now))
        return np.array(covariances), np.array(increments), np.array(ends)

    def _moments(self, s: int, sigmas: Array) -> LinearMoments:
        segment, lr = self.segments[s], self.algorithm.lr
        g = segment.gradients
        full = self.algorithm.batch_size == "full"
        replacement = self.algorithm.sampling == "with-replacement"
        fresh = segment.kick @ segment.kick.T
        if self.law_has_forces:
            pushed, own = g @ segment.gain.T, np.repeat(sigmas / segment.law.unit, segment.law.rows)
            fresh = fresh + (lr**2 / self.batch) * (pushed.T * own**2) @ pushed / self.n
        other = None if segment.plain and segment.law.numbers.size == 0 else segment
        return LinearMoments(second_moment_map(g, lr, self.batch, full, replacement, other), fresh)

    @property
    def law_has_forces(self) -> bool:
        """Whether samples have noise of their own."""
        return self.algorithm.noise.kind != "gradient"


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
