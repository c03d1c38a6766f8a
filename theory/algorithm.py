"""`Algorithm`: learning rate, batch, noise and update rule; label noise SGD is Algorithm 1 of the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .checks import nearest, one_of, real_number
from .cross_entropy import ClassFlipLaw
from .errors import InvalidInput
from .linear import linear_rule
from .losses import FlipLaw, flip_law
from .model import Model
from .noise import FlippedLabels, GradientNoise, LabelFlip, LabelNoise, Noise
from .rules import SGD, HeavyBall, UpdateRule

__all__ = ["Algorithm"]

Array = NDArray[np.float64]

_MAX_BATCH = 10**6
_SAMPLINGS = ("with-replacement", "without-replacement")


@dataclass(frozen=True)
class Algorithm:
    """Minibatch SGD with noise: theta <- theta - lr (1/B) sum_b (f_i - y_i - eps) grad f_i, or another update rule.

    Parameters
    ----------
    lr : float
        Learning rate eta.
    batch_size : int or "full"
        B draws per step; "full" takes every sample once per step, each with fresh noise (B = n).
    noise : LabelNoise, LabelFlip or GradientNoise
        The law of the noise. Every draw has its own, also when an index is drawn twice.
    sampling : {"with-replacement", "without-replacement"}
        How the B indices are drawn; ignored for "full".
    momentum : float
        Heavy-ball beta: short for `rule=HeavyBall(beta)`.
    rule : UpdateRule, optional
        How theta is updated; plain SGD, or the heavy ball, by default.
    repeats : int
        With "full": how often every sample is taken per step, each time with fresh noise (B = n repeats).

    Raises
    ------
    InvalidInput
        When a value breaks a rule.

    References
    ----------
    Damian, Ma, Lee (2021), Algorithm 1; Section 3 for momentum, flips and general noise.
    """

    lr: float
    batch_size: int | Literal["full"]
    noise: Noise
    sampling: Literal["with-replacement", "without-replacement"] = "with-replacement"
    momentum: float = 0.0
    rule: UpdateRule | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        lr = real_number("algorithm.lr", self.lr)
        if lr <= 0:
            raise InvalidInput("algorithm.lr", f"={lr} must be positive")
        object.__setattr__(self, "lr", lr)
        size = self.batch_size
        if not (isinstance(size, str) and size == "full"):
            if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, np.integer)):
                raise InvalidInput(
                    "algorithm.batch_size", f"={size!r} must be a whole number or 'full'{nearest(size, ['full'])}"
                )
            if not 1 <= size <= _MAX_BATCH:
                raise InvalidInput("algorithm.batch_size", f"={size} must be between 1 and {_MAX_BATCH}")
            object.__setattr__(self, "batch_size", int(size))
        one_of("algorithm.sampling", self.sampling, _SAMPLINGS)
        momentum = real_number("algorithm.momentum", self.momentum)
        if not 0 <= momentum < 1:
            raise InvalidInput("algorithm.momentum", f"={momentum} must be at least 0 and below 1")
        object.__setattr__(self, "momentum", momentum)
        if not isinstance(self.noise, Noise):
            raise InvalidInput("algorithm.noise", f"={self.noise!r} must be a LabelNoise, LabelFlip or GradientNoise")
        if self.rule is not None and not isinstance(self.rule, UpdateRule):
            raise InvalidInput("algorithm.rule", f"={self.rule!r} must be an UpdateRule")
        if self.rule is not None:
            self.rule.check_constants()
        if self.rule is not None and momentum:
            raise InvalidInput("algorithm.momentum", f"={momentum} is given beside a rule; give either")

    @cached_property
    def update_rule(self) -> UpdateRule:
        """The rule: plain SGD or the heavy ball where none was given."""
        return self.rule or (HeavyBall(self.momentum) if self.momentum else SGD())

    @property
    def beta(self) -> float:
        """Momentum of the rule, 0 for a rule without."""
        return float(getattr(self.update_rule, "beta", 0.0))

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the algorithm cannot run on this model's data."""
        if self.sampling == "without-replacement" and self.batch(model) > model.n:
            raise InvalidInput(
                "algorithm.batch_size",
                f"={self.batch_size} must be at most n={model.n} without replacement; draw with replacement",
            )
        if model.outputs > 1 and not isinstance(self.noise, LabelFlip):
            rule = f'must be "flip" with the {model.loss_name} loss, which has no minimum without flips'
            raise InvalidInput("algorithm.noise.kind", f" {rule}")
        self.noise.check(model)
        self.update_rule.check(model.d)

    def samples(self, model: Model) -> int:
        """n; that of the user's problem where several residuals of the equivalent one stand for a sample."""
        return model.n // self.noise.rows if isinstance(self.noise, FlippedLabels) else model.n

    def batch(self, model: Model) -> int:
        """B as a number: n repeats for "full"."""
        return self.samples(model) * self.repeats if self.batch_size == "full" else int(self.batch_size)

    def flips(self, model: Model) -> FlipLaw | ClassFlipLaw | None:
        """What the label flips make of the model's loss; None for other noise."""
        return flip_law(model.sample_loss, self.noise.flip) if isinstance(self.noise, LabelFlip) else None

    def sigmas(self, model: Model) -> Array:
        """The standard deviation of the noise in each sample's residual, shape (n,); 0 for gradient noise.

        With K classes in one logit, as the mean over the logits.
        """
        if isinstance(self.noise, LabelNoise):
            return np.broadcast_to(np.asarray(self.noise.sigma, dtype=np.float64), (model.n,)).copy()
        flips = self.flips(model)
        return np.full(model.n, 0.0 if flips is None else float(np.sqrt(flips.variance)))

    def homoscedastic(self, model: Model) -> bool:
        """Whether every sample has the same label noise, as the paper assumes."""
        sigmas = self.sigmas(model)
        return bool(np.all(sigmas == sigmas[0]))

    def strength(self, model: Model) -> float:
        """lambda: the size of the noise.

        rate sigma^2/B with the mean of sigma_i^2 over the samples, rate = eta/(1 - beta) (`slow_rate`); over alpha for
        flips; as given for gradient noise.

        References
        ----------
        Damian, Ma, Lee (2021), Theorem 1 and Section 3.
        """
        if isinstance(self.noise, GradientNoise):
            return self.noise.strength
        flips = self.flips(model)
        variance = float(np.mean(self.sigmas(model) ** 2)) / (1.0 if flips is None else flips.alpha)
        return self.slow_rate(model.d) * variance / self.batch(model)

    def slow_rate(self, d: int) -> float:
        """Speed of slow time per step over lambda: eta/(1 - beta) for the heavy ball, eta for plain SGD."""
        if type(self.update_rule) is SGD:  # an indexed model has too many parameters for symbols
            return self.lr
        linear = linear_rule(self.update_rule, d, self.lr)
        return self.lr if linear is None else linear.slow_rate

    def minibatch_factor(self, model: Model) -> float:
        """Weight of the minibatch part of the gradient noise: 1 with replacement, (n-B)/(n-1) without, 0 for full.

        0 for label flips too: their noise falls as the batch grows, and so does the minibatch part beside it.
        """
        n, b = model.n, self.batch(model)
        if self.batch_size == "full" or n == 1 or self.noise.falls_with_batch:
            return 0.0
        return 1.0 if self.sampling == "with-replacement" else (n - b) / (n - 1)

    def at_strength(self, model: Model, strength: float) -> Algorithm:
        """The same algorithm at another noise strength, as a ladder takes it.

        Label noise has another sigma, gradient noise another strength, flips another batch size: "full" repeats every
        sample with fresh flips; batches that would be larger than n are drawn with replacement. Without noise it is the
        same at every strength.
        """
        own = self.strength(model)
        if not own:
            return self
        ratio = strength / own
        scaled = self.noise.scaled(ratio)
        if scaled is not None:
            return replace(self, noise=scaled)
        if self.batch_size == "full":
            return replace(self, repeats=max(1, round(self.repeats / ratio)))
        size = min(max(1, round(self.batch(model) / ratio)), _MAX_BATCH)
        return replace(self, batch_size=size, sampling="with-replacement" if size > model.n else self.sampling)
