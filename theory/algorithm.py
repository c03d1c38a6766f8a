"""`Algorithm` and its noise: label noise SGD, Algorithm 1 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .checks import real_array, real_number
from .errors import InvalidInput
from .model import Model

__all__ = ["Algorithm", "LabelNoise", "sgd_update"]

Array = NDArray[np.float64]

_MAX_BATCH = 10**6
_SAMPLINGS = ("with-replacement", "without-replacement")
_LAWS = ("rademacher", "gaussian")


@dataclass(frozen=True)
class LabelNoise:
    """Label noise: every drawn label y_i is replaced by y_i + eps with a fresh eps.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation of eps (units of y), one number or one per sample; 0 is no label noise.
    law : {"rademacher", "gaussian"}
        eps = +-sigma with equal probability (the paper), or normal.

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1.
    """

    sigma: float | tuple[float, ...]
    law: Literal["rademacher", "gaussian"] = "rademacher"

    def __post_init__(self) -> None:
        field = "algorithm.noise.sigma"
        if isinstance(self.sigma, (Sequence, np.ndarray)) and not isinstance(self.sigma, str):
            object.__setattr__(self, "sigma", tuple(real_array(field, self.sigma, 1).tolist()))
        else:
            object.__setattr__(self, "sigma", real_number(field, self.sigma))
        if np.min(self.sigma, initial=0.0) < 0:
            raise InvalidInput(field, f"={self.sigma} must not be negative")
        if self.law not in _LAWS:
            raise InvalidInput("algorithm.noise.law", f"={self.law!r} must be one of {list(_LAWS)}")


@dataclass(frozen=True)
class Algorithm:
    """Minibatch SGD with label noise: theta <- theta - lr (1/B) sum_b (f_i - y_i - eps) grad f_i.

    Parameters
    ----------
    lr : float
        Learning rate eta.
    batch_size : int or "full"
        B draws per step; "full" takes every sample once per step, each with fresh noise (B = n).
    noise : LabelNoise
        The law of the label noise. Every draw has its own, also when an index is drawn twice.
    sampling : {"with-replacement", "without-replacement"}
        How the B indices are drawn; ignored for "full".
    momentum : float
        Heavy-ball beta; only 0 is supported so far.

    Raises
    ------
    InvalidInput
        When a value breaks a rule.

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1.
    """

    lr: float
    batch_size: int | Literal["full"]
    noise: LabelNoise
    sampling: Literal["with-replacement", "without-replacement"] = "with-replacement"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        lr = real_number("algorithm.lr", self.lr)
        if lr <= 0:
            raise InvalidInput("algorithm.lr", f"={lr} must be positive")
        object.__setattr__(self, "lr", lr)
        size = self.batch_size
        if not (isinstance(size, str) and size == "full"):
            if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, np.integer)):
                raise InvalidInput("algorithm.batch_size", f"={size!r} must be a whole number or 'full'")
            if not 1 <= size <= _MAX_BATCH:
                raise InvalidInput("algorithm.batch_size", f"={size} must be between 1 and {_MAX_BATCH}")
            object.__setattr__(self, "batch_size", int(size))
        if self.sampling not in _SAMPLINGS:
            raise InvalidInput("algorithm.sampling", f"={self.sampling!r} must be one of {list(_SAMPLINGS)}")
        momentum = real_number("algorithm.momentum", self.momentum)
        if not 0 <= momentum < 1:
            raise InvalidInput("algorithm.momentum", f"={momentum} must be at least 0 and below 1")
        if momentum:
            raise InvalidInput("algorithm.momentum", f"={momentum} is not supported yet; use 0")
        object.__setattr__(self, "momentum", momentum)
        if not isinstance(self.noise, LabelNoise):
            raise InvalidInput("algorithm.noise", f"={self.noise!r} must be a LabelNoise")

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the algorithm cannot run on this model's data."""
        if self.sampling == "without-replacement" and self.batch(model) > model.n:
            raise InvalidInput(
                "algorithm.batch_size",
                f"={self.batch_size} must be at most n={model.n} without replacement; draw with replacement",
            )
        if isinstance(self.noise.sigma, tuple) and len(self.noise.sigma) != model.n:
            raise InvalidInput(
                "algorithm.noise.sigma", f" has {len(self.noise.sigma)} entries for {model.n} samples; give one each"
            )

    def batch(self, model: Model) -> int:
        """B as a number: n for "full"."""
        return model.n if self.batch_size == "full" else int(self.batch_size)

    def sigmas(self, model: Model) -> Array:
        """The standard deviation of the label noise of each sample, shape (n,)."""
        return np.broadcast_to(np.asarray(self.noise.sigma, dtype=np.float64), (model.n,)).copy()

    def homoscedastic(self, model: Model) -> bool:
        """Whether every sample has the same label noise, as the paper assumes."""
        sigmas = self.sigmas(model)
        return bool(np.all(sigmas == sigmas[0]))

    def strength(self, model: Model) -> float:
        """lambda = eta sigma^2 / B, with the mean of sigma_i^2 over the samples; the paper's Theorem 1."""
        return self.lr * float(np.mean(self.sigmas(model) ** 2)) / self.batch(model)

    def minibatch_factor(self, model: Model) -> float:
        """Weight of the minibatch part of the gradient noise: 1 with replacement, (n-B)/(n-1) without, 0 for full."""
        n, b = model.n, self.batch(model)
        if self.batch_size == "full" or n == 1:
            return 0.0
        return 1.0 if self.sampling == "with-replacement" else (n - b) / (n - 1)


def sgd_update(theta: Sequence[sp.Expr], gradient: Sequence[sp.Expr], lr: sp.Expr) -> list[sp.Expr]:
    """One update of the algorithm in symbols: the only place where the update rule is written.

    The simulation kernels are printed from it, and the generic averaging differentiates it.
    """
    return [t - lr * g for t, g in zip(theta, gradient, strict=True)]
