"""`Form`: what of an algorithm the text of a kernel depends on; and one step of its update rule in symbols.

The state of a replica is (theta, memory), rows of numbers. Constants of the algorithm that its rule uses stand in rows
behind it and are carried over by every step: so they are arguments, and another value needs no other text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, Model
from flatmin.theory.linear import StepSymbols, is_linear
from flatmin.theory.noise import Kind
from flatmin.theory.rules import SGD, UpdateRule
from numpy.typing import NDArray

__all__ = ["Form", "RuleStep"]

Array = NDArray[np.float64]
Symbols = Callable[[str], sp.Symbol]


class RuleStep:
    """One step of a rule, in symbols of a caller.

    Parameters
    ----------
    rule : UpdateRule
    theta, total : sequence of Symbol
        theta, and the total gradient of a batch there: B times the gradient.
    rate : Symbol
        lr/B.
    symbol : callable
        Makes a symbol of a name.

    Attributes
    ----------
    state, new : list
        (theta, memory) before and after a step.
    constants : list of Symbol
        What stands in the rows behind the state.
    names : tuple of str
        What these are: constants of the rule, "lr", "lam".
    points : list of (list of Expr, list of Symbol)
        Where the total gradient is taken, and its symbols there; a point may use totals of those before.
    """

    def __init__(
        self, rule: UpdateRule, theta: Sequence[sp.Symbol], total: Sequence[sp.Symbol], rate: sp.Symbol, symbol: Symbols
    ) -> None:
        self.theta, self.total = list(theta), list(total)
        self.points: list[tuple[list[sp.Expr], list[sp.Symbol]]] = []
        lr = symbol("lr")

        def gradient(asked: sp.Matrix) -> sp.Matrix:
            point = list(asked)
            totals = next((known for where, known in self.points if where == point), None)
            if totals is None:
                # theta has the totals of the caller.
                at_theta = point == self.theta
                totals = self.total if at_theta else [symbol(f"total{len(self.points)}_{t}") for t in self.theta]
                self.points.append((point, totals))
            return sp.Matrix([rate / lr * t for t in totals])

        step = StepSymbols(rule, self.theta, gradient, symbol, lr)
        self.state, self.new = step.state, list(map(sp.sympify, step.new))
        used = set().union(*(e.free_symbols for e in (*self.new, *(e for point, _ in self.points for e in point))))
        known = [*zip(rule.constants, step.constants, strict=True), ("lr", step.lr), ("lam", step.lam)]
        kept = [(name, s) for name, s in known if s in used]
        self.names, self.constants = tuple(name for name, _ in kept), [s for _, s in kept]

    @property
    def affine(self) -> list[tuple[sp.Expr, dict[int, sp.Expr]]]:
        """For each number of the state its new value without a gradient, and its slopes in the totals at theta."""
        zero = dict.fromkeys(self.total, sp.S.Zero)
        return [(e.xreplace(zero), {k: e.diff(g) for k, g in enumerate(self.total) if e.has(g)}) for e in self.new]


@dataclass(frozen=True)
class Form:
    """The forms of rule and noise of an algorithm, without its numbers.

    Attributes
    ----------
    rule : UpdateRule
    noise : {"label", "flip", "gradient"}
    covariance : sympy.Matrix or None
        Of gradient noise, in the model's own symbols.
    """

    rule: UpdateRule = field(default_factory=SGD)
    noise: Kind = "label"
    covariance: Any = None

    @classmethod
    def of(cls, model: Model, algorithm: Algorithm) -> Form:
        """The form of an algorithm on a model."""
        return cls(algorithm.update_rule, algorithm.noise.kind, algorithm.noise.on(model))

    @property
    def plain(self) -> bool:
        """Whether it is plain SGD with label noise."""
        return type(self.rule) is SGD and self.noise == "label"

    def counted(self, model: Model) -> bool:
        """Whether a step goes over all samples, with how often each was drawn and its noise."""
        square = model.loss_name == "square"
        return self.noise != "label" or not square or not self.linear(model.d)

    def linear(self, d: int) -> bool:
        """Whether the rule is linear in the gradient at theta."""
        return is_linear(self.rule, d)

    def names(self, d: int) -> tuple[str, ...]:
        """What stands in the rows behind the state."""
        return (*_constants(self.rule, d), *(["flip"] if self.noise == "flip" else []))

    def width(self, d: int) -> int:
        """Numbers of a state without constants."""
        return d * (1 + len(self.rule.memory))

    def state(self, theta: Array, algorithm: Algorithm, model: Model) -> Array:
        """The whole state at theta with the memory at rest, shape (rows,)."""
        d = len(theta)
        known = {**algorithm.update_rule.constants, "lr": algorithm.lr}
        known["flip"] = float(getattr(algorithm.noise, "flip", 0.0))
        if "lam" in self.names(d):
            known["lam"] = algorithm.strength(model)
        rest = np.zeros(self.width(d) - d)
        return np.concatenate([theta, rest, [known[name] for name in self.names(d)]])

    def silence(self, rows: Array, d: int) -> None:
        """Set lambda to zero in flat rows of replicas, for steps without noise."""
        if "lam" in self.names(d):
            at = self.width(d) + self.names(d).index("lam")
            rows.reshape(self.width(d) + len(self.names(d)), -1)[at] = 0.0


@lru_cache(maxsize=64)
def _constants(rule: UpdateRule, d: int) -> tuple[str, ...]:
    """Names of the constants that the update uses besides lr/B."""
    if type(rule) is SGD:  # an indexed model has too many parameters for symbols
        return ()
    theta, total = (sp.symbols(f"{name}:{d}", real=True) for name in ("theta", "total"))
    return RuleStep(rule, theta, total, sp.Symbol("rate", real=True), lambda name: sp.Symbol(name, real=True)).names
