"""One step of an algorithm in NumPy, for given counts and noise, to check the kernels; nothing here is fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, IndexedModel, Model
from flatmin.theory.numeric import numeric
from numpy.typing import NDArray

__all__ = ["Iteration", "lower_root"]

Array = NDArray[np.float64]


class Iteration:
    """theta and the memory of its rule, in lanes side by side.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    theta : ndarray, shape (lanes, d)
    """

    def __init__(self, model: Model, algorithm: Algorithm, theta: Array) -> None:
        self.model, self.algorithm, self.theta = model, algorithm, theta
        self.batch = algorithm.batch(model)
        # An indexed model has too many parameters for symbols, and knows one rule.
        self.rule = None if isinstance(model, IndexedModel) else _NumericRule(model.d, algorithm)
        rule = algorithm.update_rule
        self.memory = [np.zeros_like(theta) for _ in rule.memory]
        lam = algorithm.strength(model) if self.rule else 0.0
        self.constants = [*rule.constants.values(), algorithm.lr, lam]

    def step(self, count: Array, noise: Array, normals: Array) -> Array:
        """Theta after one more step, shape (lanes, d).

        Parameters
        ----------
        count : ndarray, shape (n, lanes)
            How often each sample is drawn.
        noise : ndarray, shape (n, lanes)
            Sum of its label noise, or how many of its labels are flipped; with K classes how many of its draws have
            each, shape (n K, lanes).
        normals : ndarray, shape (d, lanes)
            For gradient noise.
        """

        # Of the covariance at theta, wherever the rule takes gradients.
        kick = self._kick(normals.T) if self.algorithm.noise.kind == "gradient" else 0.0

        def gradient(point: Array) -> Array:
            return self._gradient(point, count.T, noise.T) - kick

        if self.rule is None:
            self.theta = self.theta - self.algorithm.lr * gradient(self.theta)
        else:
            self.theta, *self.memory = self.rule(self.theta, self.memory, self.constants, gradient)
        return self.theta

    def _gradient(self, point: Array, count: Array, noise: Array) -> Array:
        force = self._force(point, count, noise)
        return np.asarray(np.einsum("li,lij->lj", force, self.model.samples.jacobian(point)) / self.batch)

    def _force(self, point: Array, count: Array, noise: Array) -> Array:
        """Slope of the loss in each output, summed over the draws, shape (lanes, n), or (lanes, n K)."""
        model, kind = self.model, self.algorithm.noise.kind
        if model.outputs > 1:
            # Class by class: the slope that each label has, as often as it was drawn.
            f, k = model.samples.value(point), model.outputs
            drawn = [np.repeat(noise[:, c::k], k, axis=1) for c in range(k)]
            slopes = [model.sample_loss.values(1, f, np.full(model.n, float(c))) for c in range(k)]
            return np.asarray(sum(a * b for a, b in zip(drawn, slopes, strict=True)))
        force = count * model.residuals(point)
        if kind == "flip":
            loss = model.sample_loss
            f = model.samples.value(point)
            force += noise * (loss.values(1, f, -model.y) - loss.values(1, f, model.y))
        elif kind == "label":
            force -= noise
        return np.asarray(force)

    def _kick(self, normals: Array) -> Array:
        noise: Any = self.algorithm.noise
        covariance = numeric(self.model.parameters, list(noise.on(self.model)))
        d, out = self.model.d, np.empty_like(self.theta)
        for k, theta in enumerate(self.theta):
            out[k] = lower_root(np.array(covariance(*theta), dtype=np.float64).reshape(d, d)) @ normals[k]
        return out * float(np.sqrt(noise.strength / self.algorithm.lr))


def lower_root(covariance: Array) -> Array:
    """A lower triangular L with L L^T = covariance, column by column; zeros where nothing is left."""
    rest, root = covariance.copy(), np.zeros_like(covariance)
    for j in range(len(rest)):
        pivot = rest[j, j] - 1e-12 * covariance[j, j]  # the kernels call this much rounding
        if pivot > 0:
            root[j:, j] = rest[j:, j] / np.sqrt(pivot)
            root[j, j] = np.sqrt(pivot)
            rest = rest - np.outer(root[:, j], root[:, j])
    return root


class _NumericRule:
    """The declared update as NumPy functions: where it asks for gradients, and what it makes of them."""

    def __init__(self, d: int, algorithm: Algorithm) -> None:
        rule = algorithm.update_rule
        theta = sp.Matrix(sp.symbols(f"theta:{d}", real=True))
        memory = tuple(sp.Matrix(sp.symbols(f"memory{m}_:{d}", real=True)) for m in range(len(rule.memory)))
        constants = {name: sp.Symbol(f"constant_{name}", real=True) for name in rule.constants}
        lr, lam = sp.symbols("lr lam", real=True)
        known = [*theta, *(s for m in memory for s in m), *constants.values(), lr, lam]
        self.points: list[Callable[..., Any]] = []

        def gradient(point: sp.Matrix) -> sp.Matrix:
            self.points.append(numeric(known, list(point)))
            found = sp.Matrix(sp.symbols(f"gradient{len(self.points)}_:{d}", real=True))
            known.extend(found)
            return found

        after, kept = rule.update(theta, memory, gradient, rule.namespace(constants, lr, lam))
        self.new = numeric(known, [*after, *(e for m in kept for e in m)])

    def __call__(
        self, theta: Array, memory: list[Array], constants: list[float], gradient: Callable[[Array], Array]
    ) -> list[Array]:
        """Theta and memory after one step."""
        given = [*theta.T, *(row for m in memory for row in m.T), *constants]
        for point in self.points:
            given += list(gradient(_columns(point(*given), theta)).T)
        whole = self.new(*given)
        d = theta.shape[1]
        return [_columns(whole[k : k + d], theta) for k in range(0, len(whole), d)]


def _columns(entries: Any, like: Array) -> Array:
    return np.stack([np.broadcast_to(np.asarray(e, dtype=np.float64), len(like)) for e in entries], axis=1)
