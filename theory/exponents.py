"""Claims about a power of lambda: how a time or a distance scales as the noise vanishes."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .claim import Claim
from .rivals import Rival
from .slow import SlowTheory
from .statement import Statement

__all__ = ["ExponentStatement"]

Array = NDArray[np.float64]


class ExponentStatement(Statement):
    """p in "the statistic goes as lambda^p", shape (1,); with `bound` that it is at most of this order."""

    # Who else could be right.
    powers: tuple[float, ...] = ()

    @abstractmethod
    def exponent(self) -> float:
        """By the theory."""

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        return np.array([self.claim.settings.get("exponent", self.exponent())])

    def labels(self) -> tuple[str, ...]:
        """The exponent."""
        return ("exponent",)

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """See `Statement`."""
        return len(cls.powers)

    def rivals(self, value: Array, scale: float) -> tuple[Rival, ...]:
        """Other exponents, measured by the claim's own."""
        apart = [(other, abs(other - float(value[0])) / scale) for other in self.powers]
        return tuple(Rival(f"exponent {p:g}", np.array([p]), scale, far) for p, far in apart if far > 1e-9)
