"""The linear process around a reference point: what a step of an algorithm is to first order there.

x' = M x - (1/B) sum_i rho_i G g_i + noise of its own, x the deviation of (theta, memory), g_i the gradients of the
predictions of the equivalent problem with a square loss, rho_i = count_i (g_i . x_theta) - (noise of sample i), the
first term with flips times a curvature that depends on the label. With K classes a sample has K - 1 such terms, and
its noise is a sum over how many of its draws have each class. It stays in the smallest invariant space
that holds all G g_i; z are coordinates there. To second order the limit of theta moves by
-(1/B) sum_i rho_i l G F_i x_theta, F_i the Hessian of f_i and the rows of l dual to the tangent space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.linear import discrete_lyapunov, linear_rule, slow_projector
from flatmin.theory.rules import SGD
from numpy.typing import NDArray

from .replay_rule import lower_root

__all__ = ["SampleLaw", "Segment"]

Array = NDArray[np.float64]

_RANK = 1e-9


@dataclass(frozen=True)
class SampleLaw:
    """How a draw of a sample acts in the equivalent problem: with a curvature and a force, which depend on its label.

    Attributes
    ----------
    unit : float
        Standard deviation of the noise as the algorithm tells it, over that in the equivalent problem.
    spread : float
        Variance of the curvature, whose mean is 1.
    forces : ndarray, shape (n, rows, classes)
        Change of each residual of a sample by a flip; with K classes by a draw of each, K - 1 residuals.
    labels : ndarray, shape (n,)
    numbers : ndarray
        Empty for label noise; else probability of a flip (to each class), curvature without, its change by a flip.
    """

    unit: float
    spread: float
    forces: Array
    labels: Array
    numbers: Array

    @classmethod
    def of(cls, model: Model, algorithm: Algorithm) -> SampleLaw:
        """The law of an algorithm on a model."""
        flips = algorithm.flips(model)
        if flips is None:
            gradient = algorithm.noise.kind == "gradient"
            return cls(1.0, 0.0, np.zeros((model.n, 1, 1)), model.y, np.array([0.0, 1.0, 0.0] if gradient else []))
        before, after = flips.curvatures
        numbers = np.array([flips.chance, before, after - before])
        return cls(float(np.sqrt(flips.alpha)), flips.spread, flips.kicks(model.y), model.y, numbers)

    @property
    def rows(self) -> int:
        """Residuals of a sample."""
        return self.forces.shape[1]


class Segment:
    """A reference point, from a step on, with the linear process around it.

    Parameters
    ----------
    first : int
    local : LocalGeometry
    model : Model
    algorithm : Algorithm
    law : SampleLaw

    Attributes
    ----------
    basis : ndarray, shape (D, s)
        Orthonormal; x = basis z.
    carried : ndarray, shape (s, s)
        M in these coordinates.
    gain : ndarray, shape (s, q)
        G/lr, on gradients in coordinates of `seen`.
    seen : ndarray, shape (q, s)
        From z to the coordinates of x_theta in which samples are.
    gradients : ndarray, shape (n rows, q)
        g_i.
    second : ndarray, shape (n rows, m, q)
        l (G/lr) F_i, in coordinates of the tangent space.
    kick : ndarray, shape (s, d) or (s, 0)
        What d normal numbers add in each step, for gradient noise.
    bent : ndarray, shape (m, q, d) or (m, q, 0)
        What they add along Gamma, times a coordinate of x_theta, because the covariance changes with theta.
    sound : bool
        Whether no noise acts along Gamma.
    limit : ndarray, shape (d, s)
        From z to where the noise-free iteration ends, to first order: zero when `sound`.
    """

    def __init__(self, first: int, local: LocalGeometry, model: Model, algorithm: Algorithm, law: SampleLaw) -> None:
        self.first, self.local, self.law, self.lr = first, local, law, algorithm.lr
        d, normal, tangent = model.d, local.normal, local.tangent
        linear = linear_rule(algorithm.update_rule, d, algorithm.lr)
        assert linear is not None
        gradient = algorithm.noise.kind == "gradient"
        self.plain = type(algorithm.update_rule) is SGD and not gradient
        mean = linear.carried.copy()
        mean[:, :d] -= linear.gain @ local.hessian
        slow = np.eye(d) if self.plain else slow_projector(mean)[:d]
        added = _added(model, algorithm, local.theta)
        # Noise along Gamma makes a random walk there, which not every control describes.
        size = 1 + float(np.max(np.abs(added), initial=0.0))
        self.sound = bool(np.max(np.abs(slow @ linear.gain @ added), initial=0.0) < 1e-9 * size)
        columns = normal if self.plain else _invariant(mean, linear.gain @ np.hstack([normal, added]))
        self.basis, there = columns, columns[:d]
        self.limit = np.zeros_like(there) if self.plain else slow @ columns
        self.fast = np.eye(d) - slow[:, :d]
        frame = normal if self.plain or _within(there, normal) else _span(np.hstack([normal, there]))
        # Of the terms of one sample the equivalent problem takes the mean, a draw their sum.
        share = 1 / np.sqrt(law.rows)
        self.gradients = np.ascontiguousarray(share * local.jacobian @ frame)
        gained = linear.gain / self.lr
        outward = tangent.T @ slow @ gained
        self.second = np.ascontiguousarray(np.einsum("ma,iab,bq->imq", share * outward, local.second, frame))
        self.seen = frame.T @ there
        self.gain = columns.T @ gained @ frame
        self.carried = columns.T @ linear.carried @ columns
        self.kick = columns.T @ linear.gain @ added
        # How the noise changes with theta, by central differences: any error here costs variance alone.
        step = 1e-5 * (1 + float(np.linalg.norm(local.theta)))
        changes = [
            (_added(model, algorithm, local.theta + e) - _added(model, algorithm, local.theta - e)) / (2 * step)
            for e in step * frame.T
        ]
        self.bent = np.einsum("ma,qak->mqk", tangent.T @ slow @ linear.gain, np.array(changes))

    @cached_property
    def packed(self) -> tuple[list[Array], list[Array], tuple[Array, Array, int, Array]]:
        """What its kernel takes: gradients and second; carried to bent, empty if `plain`; the law of the samples."""
        matrices = (self.carried, self.gain, self.seen, self.kick, self.bent)
        kept = [np.ascontiguousarray(np.empty(0) if self.plain else m).ravel() for m in matrices]
        law = (self.law.forces.ravel(), self.law.labels, self.law.rows, self.law.numbers)
        return [self.gradients.ravel(), self.second.ravel()], kept, law

    def ends(self, rows: Array) -> Array:
        """Where the noise-free iteration from z ends, to second order, shape (..., d, N) for z of shape (..., s, N)."""
        # Two steps: einsum would look for them at every call, which takes longer than they do.
        halves = (self.end.reshape(-1, self.size) @ rows).reshape(*rows.shape[:-2], *self.end.shape[:2], rows.shape[-1])
        return np.asarray((halves * rows[..., None, :, :]).sum(axis=-2))

    @property
    def size(self) -> int:
        """Coordinates of z, s."""
        return self.carried.shape[0]

    @property
    def theta(self) -> Array:
        """From z to the deviation of theta, shape (d, s)."""
        return np.asarray(self.basis[: len(self.local.theta)])

    @cached_property
    def mean_step(self) -> Array:
        """E z' = mean_step z, shape (s, s)."""
        h = self.gradients.T @ self.gradients / len(self.law.labels)
        return np.asarray(self.carried - self.lr * self.gain @ h @ self.seen)

    @cached_property
    def slope(self) -> Array:
        """Quadratic forms, shape (m, s, s): the mean second-order motion along Gamma of one step from z."""
        form = np.einsum("iq,imr->mqr", self.gradients, self.second) / len(self.law.labels)
        form = -self.lr * np.einsum("qs,mqr,rt->mst", self.seen, form, self.seen)
        return np.asarray(0.5 * (form + form.transpose(0, 2, 1)))

    @cached_property
    def rest(self) -> Array:
        """Quadratic forms, shape (m, s, s): the whole motion along Gamma of the noise-free iteration from z."""
        if self.plain:
            # Geometric sums: the step is diagonal in these coordinates.
            factors = np.diag(self.mean_step)
            return np.asarray(self.slope / (1 - np.multiply.outer(factors, factors)))
        if not self.sound:
            # What is along Gamma already does not move: of that part the sum has no term.
            m, size, stays = self.mean_step, self.size**2, slow_projector(self.mean_step)
            operator = np.eye(size) - np.kron(m.T, m.T)
            forms = np.linalg.lstsq(operator, self.slope.reshape(-1, size).T, rcond=_RANK)[0].T.reshape(
                self.slope.shape
            )
            return np.asarray(forms - stays.T @ forms @ stays)
        return discrete_lyapunov(self.mean_step.T, self.slope)

    @cached_property
    def end(self) -> Array:
        """Quadratic forms, shape (d, s, s): where the noise-free iteration from z ends, to second order."""
        along = np.einsum("am,mrq->arq", self.local.tangent, self.rest)
        if self.sound:
            return along
        # A step t along Gamma is one to theta + t - (1/2) J^+ (t F_i t)_i, up to what decays.
        bent = np.einsum("ar,iab,bq->irq", self.limit, self.local.second, self.limit)
        back = self.fast @ np.linalg.pinv(self.local.jacobian, rcond=1e-7)
        return along - 0.5 * np.einsum("ai,irq->arq", back, bent)

    @property
    def contracts(self) -> bool:
        """Whether everything but a walk along Gamma decays."""
        factors = np.linalg.eigvals(self.mean_step)
        return bool(np.all(np.abs(factors if self.sound else factors[np.abs(factors - 1) > _RANK]) < 1))


def _added(model: Model, algorithm: Algorithm, theta: Array) -> Array:
    """Factor of normal numbers in the gradient at theta, shape (d, d), or (d, 0) without gradient noise."""
    if algorithm.noise.kind != "gradient":
        return np.zeros((model.d, 0))
    amplitude = float(np.sqrt(algorithm.strength(model) / algorithm.lr))
    return lower_root(algorithm.noise.at(model, theta)) * amplitude


def _span(columns: Array) -> Array:
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, singular > _RANK * max(float(singular.max(initial=0.0)), 1e-300)])


def _within(columns: Array, space: Array) -> bool:
    return bool(np.max(np.abs(columns - space @ (space.T @ columns)), initial=0.0) < 1e-9)


def _invariant(a: Array, columns: Array) -> Array:
    """An orthonormal basis of the smallest space that holds these columns and with x also a x."""
    size = np.linalg.norm(columns, axis=0)
    space = _span(columns[:, size > 0] / size[size > 0])
    while True:
        grown = a @ space
        outside = grown - space @ (space.T @ grown)
        outside -= space @ (space.T @ outside)
        left, singular, _ = np.linalg.svd(outside, full_matrices=False)
        new = left[:, singular > _RANK]
        if not new.shape[1]:
            return space
        space = np.hstack([space, new])
