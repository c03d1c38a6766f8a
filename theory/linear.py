"""Update rules that are linear in the gradient at theta, as matrices.

For such a rule x' = M x - G g(theta) + lambda f(x) with the state x = (theta, memory); plain SGD, momentum, fixed
preconditioning and weight decay are of this form, sharpness-aware minimization is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .numeric import numeric
from .rules import SGD, UpdateRule

__all__ = ["LinearRule", "StepSymbols", "discrete_lyapunov", "is_linear", "linear_rule", "slow_projector"]

Array = NDArray[np.float64]


class StepSymbols:
    """Symbols of one step of a rule, and the new state in them.

    Parameters
    ----------
    rule : UpdateRule
    theta : sequence of Symbol
    gradient : callable or None
        The oracle; by default symbols for the gradient at theta, and an error for any other point.

    Attributes
    ----------
    state, new : list of Symbol, list of Expr
        (theta, memory) before and after.
    constants : list of Symbol
        One for each constant of the rule, in the order of `UpdateRule.constants`.
    total : list of Symbol
        The gradient at theta.
    """

    def __init__(
        self,
        rule: UpdateRule,
        theta: list[sp.Symbol],
        gradient: Callable[[sp.Matrix], sp.Matrix] | None = None,
        symbol: Callable[[str], sp.Symbol] = lambda name: sp.Symbol(name, real=True),
        lr: sp.Expr | None = None,
    ) -> None:
        self.lr = symbol("lr") if lr is None else lr
        self.lam = symbol("lam")
        names = rule.constants
        self.constants = [symbol(name) for name in names]
        self.total = [symbol(f"total_{t}") for t in theta]
        memory = [sp.Matrix([symbol(f"{m}_{t}") for t in theta]) for m in rule.memory]
        point = sp.Matrix(theta)
        own = sp.Matrix(self.total)

        def at_theta(where: sp.Matrix) -> sp.Matrix:
            if where != point:
                raise NotLinear
            return own

        namespace = rule.namespace(dict(zip(names, self.constants, strict=True)), self.lr, self.lam)
        after, kept = rule.update(point, tuple(memory), gradient or at_theta, namespace)
        self.state = [*theta, *(s for m in memory for s in m)]
        self.new = [sp.expand(e) if gradient is None else e for block in (after, *kept) for e in block]


class NotLinear(Exception):
    """The rule asks for the gradient at another point than theta."""


@dataclass(frozen=True)
class LinearRule:
    """x' = M x - G g(theta) + lambda f(x).

    Attributes
    ----------
    d : int
    carried : ndarray, shape (D, D)
        M, for the state of D = d (1 + number of memory vectors) numbers.
    gain : ndarray, shape (D, d)
        G.
    forcing : callable
        From the state to f, shape (D,).
    """

    d: int
    carried: Array
    gain: Array
    forcing: Callable[[Array], Array]

    @property
    def size(self) -> int:
        """D."""
        return len(self.carried)

    @cached_property
    def slow_rate(self) -> float:
        """Speed of theta per unit of gradient when only the slow motion is left; the mean over the coordinates."""
        slow = slow_projector(self.carried)
        return float(np.mean(np.diag((slow @ self.gain)[: self.d])))


def discrete_lyapunov(a: Array, q: Array) -> Array:
    """X = a X a^T + q, for q of shape (..., s, s) and a spectral radius of a, shape (s, s), below 1.

    The sum of a^k q (a^T)^k, of which each round doubles the number of terms (R. A. Smith, 1968). SciPy's solver is no
    more accurate, and takes a fifth of a second to import.
    """
    total = np.array(q, dtype=np.float64)
    for _ in range(64):
        more = a @ total @ a.T
        total += more
        a = a @ a
        if not np.max(np.abs(more), initial=0.0) > 1e-17 * np.max(np.abs(total), initial=0.0):
            break
    return total


def slow_projector(a: Array, tolerance: float = 1e-8) -> Array:
    """The projection onto the eigenvectors of `a` with eigenvalue 1, along the others; shape (D, D).

    Parameters
    ----------
    a : ndarray, shape (D, D)
    tolerance : float
        Singular values of a - 1 below this, relative to the largest, are zero.
    """
    left, singular, right = np.linalg.svd(a - np.eye(len(a)))
    null = singular <= tolerance * max(1.0, float(singular.max(initial=0.0)))
    if not null.any():
        return np.zeros_like(a)
    l_null, r_null = left[:, null], right[null].T
    return np.asarray(r_null @ np.linalg.solve(l_null.T @ r_null, l_null.T), dtype=np.float64)


def is_linear(rule: UpdateRule, d: int) -> bool:
    """Whether a rule on d parameters is of the form of `LinearRule`."""
    # An indexed model has too many parameters for symbols, and knows one rule.
    return type(rule) is SGD or _functions(rule, d) is not None


@lru_cache(maxsize=256)
def linear_rule(rule: UpdateRule, d: int, lr: float) -> LinearRule | None:
    """The matrices of a rule; None when it is not linear in the gradient at theta."""
    functions = _functions(rule, d)
    if functions is None:
        return None
    matrices, forcing = functions
    constants = (lr, *rule.constants.values())
    carried, gain = (np.asarray(m, dtype=np.float64) for m in matrices(*constants))
    return LinearRule(d, carried, gain, lambda x: np.array([float(v) for v in forcing(*x, *constants)]))


@lru_cache(maxsize=64)
def _functions(rule: UpdateRule, d: int) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """M and G as a function of lr and the constants, f of the state too; None when the rule is not linear."""
    theta = [sp.Symbol(f"theta_{j}", real=True) for j in range(d)]
    try:
        step = StepSymbols(rule, theta)
    except NotLinear:
        return None
    new = sp.Matrix(step.new)
    gain, leading = new.jacobian(step.total), new.subs(step.lam, 0)
    moving = {*step.state, *step.total}
    carried = leading.jacobian(step.state)
    forcing = new.diff(step.lam)
    if gain.free_symbols & (moving | {step.lam}) or carried.free_symbols & moving:
        return None
    if forcing.free_symbols & {*step.total, step.lam}:
        return None
    constants = [step.lr, *step.constants]
    matrices = numeric(constants, [carried, -gain])
    return matrices, numeric([*step.state, *constants], list(forcing))
