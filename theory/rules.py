"""Update rules: each is declared once, in symbols; kernels are printed from it and the theory differentiates it.

A rule of one's own is a frozen dataclass whose fields are its constants::

    @dataclass(frozen=True)
    class Nesterov(UpdateRule):
        beta: float
        memory = ("velocity",)

        def update(self, theta, memory, gradient, c):
            (velocity,) = memory
            velocity = c.beta * velocity - c.lr * gradient(theta)
            return theta + c.beta * velocity - c.lr * gradient(theta), (velocity,)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias

import numpy as np
import sympy as sp

from .checks import real_array, real_number
from .errors import InvalidInput, short

__all__ = [
    "SGD",
    "HeavyBall",
    "Nesterov",
    "Preconditioned",
    "SharpnessAware",
    "UpdateRule",
    "WeightDecay",
]

Vector: TypeAlias = sp.Matrix
Oracle: TypeAlias = Callable[[Vector], Vector]


class UpdateRule(ABC):
    """theta and memory after one step, in symbols.

    A subclass is a frozen dataclass. Its fields are the constants of the rule, numbers or tuples of numbers; `memory`
    names the vectors of the size of theta that it keeps, zero at the start.
    """

    memory: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def update(
        self, theta: Vector, memory: tuple[Vector, ...], gradient: Oracle, c: Any
    ) -> tuple[Vector, tuple[Vector, ...]]:
        """Theta and memory after one step.

        Parameters
        ----------
        theta : sympy.Matrix, shape (d, 1)
        memory : tuple of sympy.Matrix, shape (d, 1)
        gradient : callable
            gradient(point): the gradient of the loss of this step's batch, with its noise, at a point; every call of
            one step sees the same batch and the same noise.
        c : namespace
            Symbols of the constants: `c.lr`, `c.lam` (the noise strength lambda) and the fields of the rule; a tuple
            is a column.
        """

    def check_constants(self) -> None:
        """Raise `InvalidInput` unless this is a frozen dataclass of numbers: what is derived from it is kept."""
        if not (is_dataclass(self) and type(self).__dataclass_params__.frozen):
            name = type(self).__name__
            rule = f"={name} must be a frozen dataclass; write @dataclass(frozen=True) above class {name}"
            raise InvalidInput("algorithm.rule", rule)
        for field in fields(self):
            value, name = getattr(self, field.name), f"algorithm.rule.{field.name}"
            if isinstance(value, (list, np.ndarray)):
                raise InvalidInput(name, f"={value!r} must be a number or a tuple of numbers; write tuple(...)")
            if isinstance(value, tuple):
                real_array(name, value, 1)
            else:
                real_number(name, value)

    def check(self, d: int) -> None:
        """Raise `InvalidInput` when a constant does not fit d parameters."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, tuple) and len(value) != d:
                name = f"algorithm.rule.{field.name}"
                raise InvalidInput(
                    name, f"={short(str(list(value)), 60)} has {len(value)} entries for {d} parameters; give one each"
                )

    @property
    def constants(self) -> dict[str, float]:
        """Name and value of each constant; entry k of a tuple is NAME_k."""
        out: dict[str, float] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                out |= {f"{field.name}_{k}": float(v) for k, v in enumerate(value)}
            else:
                out[field.name] = float(value)
        return out

    def namespace(self, symbols: dict[str, sp.Symbol], lr: sp.Expr, lam: sp.Expr) -> SimpleNamespace:
        """`c` of `update`, from a symbol (or value) for each constant."""
        entries: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                entries[field.name] = sp.Matrix([symbols[f"{field.name}_{k}"] for k in range(len(value))])
            else:
                entries[field.name] = symbols[field.name]
        return SimpleNamespace(lr=lr, lam=lam, **entries)


@dataclass(frozen=True)
class SGD(UpdateRule):
    """theta <- theta - lr g(theta).

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1.
    """

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        return theta - c.lr * gradient(theta), ()


class _Momentum(UpdateRule):
    """A rule with the field `beta`, at least 0 and below 1, and a velocity."""

    beta: float
    memory = ("velocity",)

    def check(self, d: int) -> None:
        """See `UpdateRule.check`."""
        super().check(d)
        if not 0 <= self.beta < 1:
            raise InvalidInput("algorithm.rule.beta", f"={self.beta} must be at least 0 and below 1")


@dataclass(frozen=True)
class HeavyBall(_Momentum):
    """v <- beta v - lr g(theta); theta <- theta + v.

    Parameters
    ----------
    beta : float
        Momentum.

    References
    ----------
    Damian, Ma, Lee (2021), Section 3.2 (momentum).
    """

    beta: float

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        velocity = c.beta * memory[0] - c.lr * gradient(theta)
        return theta + velocity, (velocity,)


@dataclass(frozen=True)
class Nesterov(_Momentum):
    """v <- beta v - lr g(theta); theta <- theta + beta v - lr g(theta), theta the point where g is evaluated.

    Parameters
    ----------
    beta : float
        Momentum.

    References
    ----------
    Nesterov (1983), in the form that deep learning frameworks use.
    """

    beta: float

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        kick = c.lr * gradient(theta)
        velocity = c.beta * memory[0] - kick
        return theta + c.beta * velocity - kick, (velocity,)


@dataclass(frozen=True)
class WeightDecay(UpdateRule):
    """theta <- theta - lr (g(theta) + lambda ratio theta): weight decay of the order of the noise strength lambda.

    Parameters
    ----------
    ratio : float
        Weight decay over lambda.
    """

    ratio: float

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        return theta - c.lr * (gradient(theta) + c.lam * c.ratio * theta), ()


@dataclass(frozen=True)
class Preconditioned(UpdateRule):
    """theta_j <- theta_j - lr d_j g_j(theta), with a fixed diagonal.

    Parameters
    ----------
    diagonal : tuple of float, length d
        Positive.
    """

    diagonal: tuple[float, ...]

    def check(self, d: int) -> None:
        """See `UpdateRule.check`."""
        super().check(d)
        if min(self.diagonal) <= 0:
            raise InvalidInput("algorithm.rule.diagonal", f"={self.diagonal} must be positive")

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        return theta - c.lr * c.diagonal.multiply_elementwise(gradient(theta)), ()


@dataclass(frozen=True)
class SharpnessAware(UpdateRule):
    """theta <- theta - lr g(theta + rho g(theta)): unnormalized sharpness-aware minimization.

    Parameters
    ----------
    rho : float
        Size of the ascent step, in units of a learning rate.

    References
    ----------
    Andriushchenko, Flammarion, *Towards understanding sharpness-aware minimization*, ICML 2022 (unnormalized form).
    """

    rho: float

    def update(self, theta, memory, gradient, c):  # type: ignore[no-untyped-def]
        """See `UpdateRule.update`."""
        return theta - c.lr * gradient(theta + c.rho * gradient(theta)), ()
