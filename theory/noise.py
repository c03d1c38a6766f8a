"""The laws of the noise in the gradient: label noise, label flips, noise of a given covariance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .checks import one_of, real_array, real_number
from .errors import InvalidInput, short
from .numeric import numeric

if TYPE_CHECKING:
    from .model import Model

__all__ = ["FlippedLabels", "GradientNoise", "LabelFlip", "LabelNoise", "Noise"]

_LAWS = ("rademacher", "gaussian")

Kind = Literal["label", "flip", "gradient"]


class Noise(ABC):
    """A law of the noise in the gradient, and what the rest needs to know of it.

    Attributes
    ----------
    kind : {"label", "flip", "gradient"}
        Where it enters: added to drawn labels, turning drawn labels, added to the gradient.
    symmetric : bool
        Whether the noise with all signs turned has the same law.
    falls_with_batch : bool
        Whether only a larger batch makes it weaker; the minibatch part of the noise then falls beside it.
    """

    kind: ClassVar[Kind]
    symmetric: ClassVar[bool] = True
    falls_with_batch: ClassVar[bool] = False

    @abstractmethod
    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the noise does not fit the model."""

    def scaled(self, ratio: float) -> Noise | None:
        """The law with a covariance of the gradient `ratio` times as large; None where only the batch changes it."""
        return None

    @abstractmethod
    def values(self, model: Model) -> dict[str, Any]:
        """What it was made of as plain data, by name."""

    def on(self, model: Model) -> sp.ImmutableMatrix | None:
        """Covariance of noise in the gradient itself in the model's own symbols, without lambda; None without any."""
        return None

    def at(self, model: Model, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """The matrix of `on`, which is not None, at a point, shape (d, d)."""
        with np.errstate(all="ignore"):
            value = _compiled(self, model)(*theta)
        return np.asarray(value, dtype=np.float64)


@dataclass(frozen=True)
class LabelNoise(Noise):
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
    kind = "label"

    def __post_init__(self) -> None:
        field = "algorithm.noise.sigma"
        if isinstance(self.sigma, (Sequence, np.ndarray)) and not isinstance(self.sigma, str):
            object.__setattr__(self, "sigma", tuple(real_array(field, self.sigma, 1).tolist()))
        else:
            object.__setattr__(self, "sigma", real_number(field, self.sigma))
        if np.min(self.sigma, initial=0.0) < 0:
            raise InvalidInput(field, f"={self.sigma} must not be negative")
        one_of("algorithm.noise.law", self.law, _LAWS)

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the noise does not fit the model."""
        if isinstance(self.sigma, tuple) and len(self.sigma) != model.n:
            shown = short(str(list(self.sigma)), 60)
            rule = f"has {len(self.sigma)} entries for {model.n} samples; give one each"
            raise InvalidInput("algorithm.noise.sigma", f"={shown} {rule}")
        if model.loss_name != "square" and np.max(self.sigma, initial=0.0) > 0:
            raise InvalidInput(
                "algorithm.noise.kind",
                f'="label" is for the square loss; with the {model.loss_name} loss labels are -1 or 1: use "flip"',
            )

    def scaled(self, ratio: float) -> LabelNoise:
        """See `Noise.scaled`."""
        root = float(np.sqrt(ratio))
        sigma = tuple(s * root for s in self.sigma) if isinstance(self.sigma, tuple) else self.sigma * root
        return replace(self, sigma=sigma)

    def values(self, model: Model) -> dict[str, Any]:
        """See `Noise.values`; one sigma for each sample."""
        return {"law": self.law, "sigma": np.broadcast_to(self.sigma, model.n).tolist()}

    def __str__(self) -> str:
        if not np.any(self.sigma):
            return "no noise"
        sigma = f"{list(self.sigma)}" if isinstance(self.sigma, tuple) else f"{self.sigma:g}"
        return f"label noise {sigma} ({self.law})"


@dataclass(frozen=True)
class FlippedLabels(LabelNoise):
    """Label noise that stands for flips in the equivalent problem with a square loss; see `effective`.

    Parameters
    ----------
    alpha : float
        Curvature of the mean loss in the user's prediction.
    rows : int
        Residuals that stand for one sample.
    """

    alpha: float = 1.0
    rows: int = 1
    falls_with_batch = True


@dataclass(frozen=True)
class LabelFlip(Noise):
    """Label flips: every drawn label y_i is changed with probability p, freshly.

    A label in {-1, 1} is turned into -y_i, one of K classes into a uniformly random other class.

    Parameters
    ----------
    flip : float
        p, above 0 and below 1/2; below (K-1)/K for K classes.

    References
    ----------
    Damian, Ma, Lee (2021), Section 3.3 (label flipping, classification).
    """

    flip: float
    kind = "flip"
    symmetric = False
    falls_with_batch = True

    def __post_init__(self) -> None:
        flip = real_number("algorithm.noise.flip", self.flip)
        if not 0 < flip < 1:
            raise InvalidInput("algorithm.noise.flip", f"={flip} must be above 0 and below 1")
        object.__setattr__(self, "flip", flip)

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the noise does not fit the model."""
        # From there on the label is no likelier than another.
        classes = max(model.outputs, 2)
        if self.flip * classes >= classes - 1:
            rule = f"must be above 0 and below {classes - 1}/{classes} for {classes} classes"
            raise InvalidInput("algorithm.noise.flip", f"={self.flip} {rule}")
        if model.outputs == 1 and np.any(np.abs(model.y) != 1):
            raise InvalidInput("data.y", " must hold labels -1 or 1 for label flips")

    def values(self, model: Model) -> dict[str, Any]:
        """See `Noise.values`."""
        return {"flip": self.flip}

    def __str__(self) -> str:
        return f"label flips {self.flip:g}"


@dataclass(frozen=True)
class GradientNoise(Noise):
    """Normal noise of a given covariance: each step adds noise of covariance eta strength Sigma(theta).

    It is added to the gradient, the same in all gradients that a rule takes in a step.

    Parameters
    ----------
    covariance : sympy.Matrix or nested sequence of sympy.Expr
        Sigma(theta), d x d, symmetric and positive semidefinite.
    strength : float
        lambda.

    References
    ----------
    Damian, Ma, Lee (2021), Section 3 (general noise covariance).
    """

    covariance: Any
    strength: float
    kind = "gradient"

    def __post_init__(self) -> None:
        strength = real_number("algorithm.noise.strength", self.strength)
        if strength < 0:
            raise InvalidInput("algorithm.noise.strength", f"={strength} must not be negative")
        object.__setattr__(self, "strength", strength)
        try:
            matrix = sp.ImmutableMatrix(self.covariance)
        except (TypeError, ValueError):
            raise InvalidInput("algorithm.noise.covariance", " must be a square matrix of expressions") from None
        if matrix.rows != matrix.cols:
            raise InvalidInput("algorithm.noise.covariance", f" has shape {matrix.shape}; it must be square")
        object.__setattr__(self, "covariance", matrix)

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the noise does not fit the model."""
        field = "algorithm.noise.covariance"
        if self.covariance.rows != model.d:
            raise InvalidInput(field, f" has shape {self.covariance.shape}; it must be ({model.d}, {model.d})")
        names = {p.name for p in model.parameters}
        unknown = sorted({s.name for s in self.covariance.free_symbols} - names)
        if unknown:
            raise InvalidInput(field, f" uses undeclared names {unknown}")

    def scaled(self, ratio: float) -> GradientNoise:
        """See `Noise.scaled`."""
        return replace(self, strength=self.strength * ratio)

    def values(self, model: Model) -> dict[str, Any]:
        """See `Noise.values`."""
        return {"covariance": [[str(e) for e in row] for row in self.covariance.tolist()], "strength": self.strength}

    def __str__(self) -> str:
        return f"gradient noise {self.covariance.tolist()} of strength {self.strength:g}"

    def on(self, model: Model) -> sp.ImmutableMatrix:
        """Sigma in the model's own symbols; names decide, not assumptions."""
        own = {p.name: p for p in model.parameters}
        return self.covariance.xreplace({s: own[s.name] for s in self.covariance.free_symbols})


@lru_cache(maxsize=32)
def _compiled(noise: Noise, model: Model) -> Callable[..., Any]:
    return numeric(model.parameters, noise.on(model))
