"""Is the slow field a gradient on Gamma? Its curl at a point, its circulation on loops, and its potential along paths.

The slow velocity v is the gradient field -grad R of some R, in the metric that the rule gives Gamma, exactly when the
one-form w(X) = <X, v> is closed and has no circulation on any loop; then R(b) - R(a) = -(integral of w from a to b),
whatever the path. In a tangent frame t_1..t_q the curl is dw(t_a, t_b) = t_b . D_a v - t_a . D_b v, D_a along Gamma:
the antisymmetric part of the covariant derivative (normal parts drop out), the circulation per area of a small loop.
Derivatives and integrals come with a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .algorithm import Algorithm
from .errors import NotApplicable
from .geometry import LocalGeometry, retract
from .linear import linear_rule, slow_projector
from .model import Model
from .slow import SlowTheory

__all__ = ["Curl", "Integral", "SlowForm", "rule_metric", "small_loop"]

Array = NDArray[np.float64]

# Below this part of its scale a curl or a circulation is zero: differences and quadrature leave some 1e-10 of it.
_ZERO = 1e-7
# Steps of the differences, each half of the one before.
_LEVELS = 4
# Points on a path or a loop: doubled until two results agree, or to the last.
_NODES = (8, 16, 32, 64, 128)
_AGREE = 1e-11


@dataclass(frozen=True)
class Curl:
    """The curl of a slow field at a point of Gamma.

    Attributes
    ----------
    matrix : ndarray, shape (q, q)
        Antisymmetric, in the tangent frame of `LocalGeometry`; per unit of slow time and squared unit of theta.
    error : float
        Bound on its norm's error.
    scale : float
        Norm of the derivative whose antisymmetric part it is.
    """

    matrix: Array
    error: float
    scale: float

    @property
    def size(self) -> float:
        """Frobenius norm."""
        return float(np.linalg.norm(self.matrix))

    @property
    def vanishes(self) -> bool | None:
        """True: zero to its error; False: larger than its error; None: the error is too large to tell."""
        return _vanishes(self.size, self.error, self.scale)


@dataclass(frozen=True)
class Integral:
    """The one-form along a path: minus the change of R, or on a loop the circulation.

    Attributes
    ----------
    value : float
    error : float
        Bound, from half as many points.
    scale : float
        Integral of |w| |dtheta|: what it would be if nothing cancelled.
    """

    value: float
    error: float
    scale: float

    @property
    def vanishes(self) -> bool | None:
        """As for `Curl`."""
        return _vanishes(abs(self.value), self.error, self.scale)


def _vanishes(size: float, error: float, scale: float) -> bool | None:
    small = _ZERO * scale
    if size + error <= small:
        return True
    return False if size - error > small else None


class SlowForm:
    """The one-form w(X) = <X, v> of a slow velocity v on Gamma.

    Parameters
    ----------
    model : Model
        With a square loss (`effective`).
    velocity : callable
        From a zero-loss point, shape (d,), to v there.
    metric : ndarray, shape (d, d), optional
        <X, v> = X^T metric v; the Euclidean one by default.
    """

    def __init__(self, model: Model, velocity: Callable[[Array], Array], metric: Array | None = None) -> None:
        self.model, self.velocity = model, velocity
        self.metric = np.eye(model.d) if metric is None else metric

    @classmethod
    def of(cls, theory: SlowTheory, metric: Array | None = None) -> SlowForm:
        """That of a theory, in the metric of its rule (`rule_metric`) unless another is given."""
        if metric is None:
            metric = rule_metric(theory.algorithm, theory.model.d)
        model = theory.model
        return cls(model, lambda theta: theory.velocity(LocalGeometry.at(model, theta)), metric)

    def at(self, theta: Array) -> Array:
        """The covector metric v at a zero-loss point, shape (d,)."""
        return np.asarray(self.metric @ self.velocity(theta))

    def curl(self, theta: Array, step: float = 8e-3) -> Curl:
        """The curl at the zero-loss point `theta`, by central differences along Gamma, extrapolated.

        Parameters
        ----------
        theta : ndarray, shape (d,)
        step : float
            Largest step, in units of the size of theta.

        Raises
        ------
        NotApplicable
            Where the theory has no velocity.
        """
        tangent = LocalGeometry.at(self.model, theta).tangent
        h = step * (1 + float(np.linalg.norm(theta)))
        count, size, rows = tangent.shape[1], 0.0, []
        for k in range(_LEVELS):
            columns = []
            for direction in tangent.T:
                ends = [retract(self.model, theta + side * h / 2**k * direction) for side in (1.0, -1.0)]
                ahead, behind = (self.at(end) for end in ends)
                size = max(size, float(np.linalg.norm(ahead)))
                columns.append(tangent.T @ (ahead - behind) / (2 * h / 2**k))
            rows.append(np.array(columns).reshape(count, count))
        # Errors in h^2, h^4, ... removed one after the other; the last step shows what is left.
        for order in range(1, _LEVELS):
            before = rows[-1]
            rows = [b + (b - a) / (4**order - 1) for a, b in pairwise(rows)]
        best = rows[0]
        # Rounding, of the velocity and of points of Gamma, is divided by the smallest step.
        error = float(np.linalg.norm(best - before)) + 1e-14 * size / (h / 2 ** (_LEVELS - 1))
        scale = max(float(np.linalg.norm(best)), size / (1 + float(np.linalg.norm(theta))))
        return Curl(best - best.T, 2 * error, scale)

    def circulation(self, loop: Callable[[float], Array]) -> Integral:
        """The integral of w around a closed curve of Gamma.

        Parameters
        ----------
        loop : callable
            From an angle to a zero-loss point, smooth with period 2 pi; see `small_loop`.

        Raises
        ------
        NotApplicable
            Where the theory has no velocity.
        """

        def rule(count: int) -> tuple[float, float]:
            points = np.array([loop(2 * np.pi * k / count) for k in range(count)])
            # Exact for a trigonometric polynomial: the points of a smooth loop determine its tangents.
            waves = np.fft.fftfreq(count, 1 / count)
            waves[count // 2] = 0.0
            tangents = np.fft.ifft(1j * waves[:, None] * np.fft.fft(points, axis=0), axis=0).real
            forms = np.array([self.at(p) for p in points])
            lengths = np.linalg.norm(forms, axis=1) * np.linalg.norm(tangents, axis=1)
            return 2 * np.pi * float(np.mean(np.sum(forms * tangents, axis=1))), 2 * np.pi * float(np.mean(lengths))

        return _refined(rule)

    def regularizer(self, *points: Array) -> Integral:
        """R at the last point less R at the first: minus the integral of w along Gamma through `points`.

        Where w is a gradient it does not depend on the points between. The path is the straight one from point to
        point, brought to Gamma; give points between when that is too far.

        Raises
        ------
        NotApplicable
            Where the path leaves Gamma or the domain of the theory.
        """
        legs = [_refined(self._leg(a, b)) for a, b in pairwise(points)]
        return Integral(-sum(i.value for i in legs), sum(i.error for i in legs), sum(i.scale for i in legs))

    def _leg(self, begin: Array, end: Array) -> Callable[[int], tuple[float, float]]:
        def rule(count: int) -> tuple[float, float]:
            nodes = chebyshev.chebpts2(count + 1)
            path = np.array([retract(self.model, begin + 0.5 * (1 + s) * (end - begin)) for s in nodes])
            tangents = chebyshev.chebval(nodes, chebyshev.chebder(chebyshev.chebfit(nodes, path, count))).T
            forms = np.array([self.at(p) for p in path])
            weights = _clenshaw_curtis(count)
            lengths = np.linalg.norm(forms, axis=1) * np.linalg.norm(tangents, axis=1)
            return float(weights @ np.sum(forms * tangents, axis=1)), float(weights @ lengths)

        return rule


def rule_metric(algorithm: Algorithm, d: int) -> Array:
    """The metric of Gamma in which the rule descends: the inverse of its slow response to a constant gradient.

    The identity for plain SGD and momentum, mean(D) D^-1 for a fixed preconditioner D; Euclidean where the rule is not
    linear in the gradient, or answers with no symmetric positive matrix.
    """
    linear = linear_rule(algorithm.update_rule, d, algorithm.lr)
    if linear is None:
        return np.eye(d)
    response = (slow_projector(linear.carried) @ linear.gain)[:d] / algorithm.slow_rate(d)
    symmetric = np.max(np.abs(response - response.T)) <= 1e-12 * np.max(np.abs(response))
    if not symmetric or np.linalg.eigvalsh(response)[0] <= 1e-12 * np.max(np.abs(response)):
        return np.eye(d)
    return np.asarray(np.linalg.inv(response))


def small_loop(model: Model, theta: Array, radius: float, plane: Sequence[int] = (0, 1)) -> Callable[[float], Array]:
    """A circle of this radius around the zero-loss point `theta` in two directions of its tangent frame, on Gamma.

    Raises
    ------
    NotApplicable
        When Gamma has fewer than two dimensions there.
    """
    tangent = LocalGeometry.at(model, theta).tangent
    if tangent.shape[1] < 2:
        raise NotApplicable("dimension of Gamma", f"it is {tangent.shape[1]} at the start: there is no small loop")
    first, second = tangent[:, plane[0]], tangent[:, plane[1]]
    return lambda angle: retract(model, theta + radius * (np.cos(angle) * first + np.sin(angle) * second))


def _refined(rule: Callable[[int], tuple[float, float]]) -> Integral:
    """Double the points until two results agree."""
    value, scale = rule(_NODES[0])
    error = scale
    for count in _NODES[1:]:
        before, (value, scale) = value, rule(count)
        error = abs(value - before)
        if error <= _AGREE * scale:
            break
    return Integral(value, error + 1e-14 * scale, scale)


@lru_cache(maxsize=8)
def _clenshaw_curtis(count: int) -> Array:
    """Weights of the Chebyshev points of the second kind on [-1, 1]."""
    moments = np.array([2 / (1 - k**2) if k % 2 == 0 else 0.0 for k in range(count + 1)])
    values = chebyshev.chebvander(chebyshev.chebpts2(count + 1), count)
    return np.asarray(np.linalg.solve(values.T, moments))
