"""Traces of functions of large symmetric matrices that are known by their products alone, with their error.

Problem: tr f(A), A of size N with eigenvalues in [0, b], f analytic with derivatives that are all positive there.
Algorithm: stochastic Lanczos quadrature. For a random z of signs E[z^T f(A) z] = tr f(A); z^T f(A) z is an integral
over the spectrum, and m Lanczos steps from z give the m nodes and weights of its Gauss rule.
Guarantee: the Gauss rule lies below z^T f(A) z and the Gauss-Radau rule with a node at b above it, so that the error
of each has two parts: the spread over z, a standard error, and the distance of the two rules, a bracket.
References: Ubaru, Chen, Saad (2017), *Fast estimation of tr(f(A)) via stochastic Lanczos quadrature*; Golub and Meurant
(2010), *Matrices, Moments and Quadrature*, Chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from flatmin.theory import InvalidInput, NotApplicable
from numpy.typing import NDArray

__all__ = ["Curvature", "TraceEstimate", "stochastic_regularizer", "stochastic_trace"]

Array = NDArray[np.float64]

# A Lanczos vector this much shorter than the largest is rounding: the space is exhausted, and the rule is exact.
_EXHAUSTED = 1e-10


class Curvature(Protocol):
    """A point of a model at which H is known by products: `IndexedGeometry`, `NetworkGeometry`."""

    @property
    def trace(self) -> float:
        """Tr H."""

    @property
    def smaller(self) -> tuple[int, Callable[[Array], Array]]:
        """Size of the smaller one of H and the Gram matrix, and the product with it."""


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of tr f(A).

    Attributes
    ----------
    value : float
        The mean of all rules.
    standard_error : float
        Of the mean over random vectors; NaN with one vector.
    bracket : float
        Half of the mean distance of upper and lower rules: z^T f(A) z is no further from its estimate, on average.
    largest : float
        The largest eigenvalue of A that was seen, a lower bound.
    probes, steps : int
        Random vectors, and products with A for each.
    """

    value: float
    standard_error: float
    bracket: float
    largest: float
    probes: int
    steps: int

    @property
    def error(self) -> float:
        """Standard error and bracket together."""
        return self.standard_error + self.bracket


def stochastic_trace(
    product: Callable[[Array], Array],
    size: int,
    function: Callable[[Array], Array],
    *,
    upper: float | Callable[[float], float],
    probes: int = 32,
    steps: int = 30,
    seed: int = 0,
) -> TraceEstimate:
    """Estimate tr f(A) by stochastic Lanczos quadrature.

    Parameters
    ----------
    product : callable
        v to A v, shape (size,); A symmetric, positive semidefinite.
    size : int
    function : callable
        f, of an array; all derivatives positive on [0, upper].
    upper : float or callable
        No eigenvalue of A is above it. A callable is given the largest eigenvalue that was seen.
    probes, steps : int
        Random vectors and Lanczos steps for each.
    seed : int

    Raises
    ------
    InvalidInput
        When a number breaks a rule.
    """
    for name, value in (("size", size), ("probes", probes), ("steps", steps)):
        if value < 1:
            raise InvalidInput(name, f"={value} must be at least 1")
    rng = np.random.default_rng([seed, size])
    tridiagonals = [_lanczos(product, rng.choice([-1.0, 1.0], size), min(steps, size)) for _ in range(probes)]
    largest = max(float(np.linalg.eigvalsh(_matrix(*t[:2]))[-1]) for t in tridiagonals)
    end = upper(largest) if callable(upper) else float(upper)
    if not end >= largest * (1 - 1e-9):
        raise InvalidInput("upper", f"={end:g} is below an eigenvalue, {largest:g}; it must be above all of them")
    lower_rules = np.array([size * _rule(function, *t[:2]) for t in tridiagonals])
    upper_rules = np.array([size * _rule(function, *_with_node(*t, end)) for t in tridiagonals])
    middle = (lower_rules + upper_rules) / 2
    spread = float(np.std(middle, ddof=1) / np.sqrt(probes)) if probes > 1 else float("nan")
    bracket = float(np.mean(np.abs(upper_rules - lower_rules)) / 2)
    return TraceEstimate(float(np.mean(middle)), spread, bracket, largest, probes, min(steps, size))


def stochastic_regularizer(
    geometry: Curvature, step: float, *, probes: int = 32, steps: int = 30, seed: int = 0
) -> TraceEstimate:
    """R at a point where no Gram matrix can be afforded: the `regularizer` of a geometry, from products alone.

    Parameters
    ----------
    geometry : Curvature
    step : float
        The learning rate eta (over 1+beta with momentum), above 0.
    probes, steps, seed : int
        As in `stochastic_trace`.

    Raises
    ------
    NotApplicable
        When step h_max >= 2.
    """
    if not step > 0:
        raise InvalidInput("step", f"={step} must be positive; R at step 0 is tr(H)/4, its `trace`")
    (size, product), limit = geometry.smaller, 2 / step

    def upper(largest: float) -> float:
        if largest >= limit:
            rule = f"step={step:g} must be below 2/h_max={2 / largest:.4g}"
            raise NotApplicable("learning rate", rule)
        # No eigenvalue is above the trace; nor above the limit, where R holds.
        return min(geometry.trace, (largest + limit) / 2)

    def function(h: Array) -> Array:
        return np.asarray(-np.log1p(-0.5 * step * h) / (2 * step))

    return stochastic_trace(product, size, function, upper=upper, probes=probes, steps=steps, seed=seed)


def _lanczos(product: Callable[[Array], Array], start: Array, steps: int) -> tuple[Array, Array, float]:
    """Diagonal (m,) and off-diagonal (m - 1,) of the tridiagonal matrix, and the length of what is left."""
    basis = np.empty((steps, len(start)))
    diagonal, beside, left = np.empty(steps), np.empty(steps), 0.0
    vector, largest = start / np.linalg.norm(start), 0.0
    for m in range(steps):
        basis[m] = vector
        after = product(vector)
        diagonal[m] = vector @ after
        for _ in range(2):  # twice is enough for orthogonality to rounding
            after = after - basis[: m + 1].T @ (basis[: m + 1] @ after)
        beside[m] = left = float(np.linalg.norm(after))
        largest = max(largest, abs(diagonal[m]), left)
        if left <= _EXHAUSTED * largest:
            return diagonal[: m + 1], beside[:m], 0.0
        vector = after / left
    return diagonal, beside[:-1], left


def _matrix(diagonal: Array, beside: Array) -> Array:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


def _with_node(diagonal: Array, beside: Array, left: float, node: float) -> tuple[Array, Array]:
    """The Gauss-Radau rule: one node more, at `node` (Golub and Meurant, Section 6.2)."""
    if left == 0.0:
        return diagonal, beside
    last = np.zeros(len(diagonal))
    last[-1] = left**2
    shift = np.linalg.solve(_matrix(diagonal, beside) - node * np.eye(len(diagonal)), last)
    return np.append(diagonal, node + shift[-1]), np.append(beside, left)


def _rule(function: Callable[[Array], Array], diagonal: Array, beside: Array) -> float:
    """e_1^T f(T) e_1."""
    nodes, vectors = np.linalg.eigh(_matrix(diagonal, beside))
    # A node below 0 is rounding.
    return float(vectors[0] ** 2 @ function(np.maximum(nodes, 0.0)))
