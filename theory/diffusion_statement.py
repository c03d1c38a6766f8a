"""Claims about noise with a part along Gamma: the first two moments of the diffusion that it makes of Phi(theta)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption
from .claim import Claim
from .conjecture import Conjecture
from .errors import NotApplicable
from .geometry import LocalGeometry
from .model import Model
from .slow import SlowTheory
from .statement import Statement
from .tangent import DiffusionLimit, GradientFlowLimit, NoiseAlongOnly, NoItoTerm, UnprojectedNoise

__all__ = ["DiffusionStatement"]

Array = NDArray[np.float64]

_RIVALS: dict[str, tuple[type[DiffusionLimit], ...]] = {
    "mean": (NoItoTerm, NoiseAlongOnly),
    "covariance": (UnprojectedNoise,),
}
# Less than this part of the noise is rounding.
_LEAST = 1e-9


class DiffusionStatement(Statement):
    """Per step, in the limit of weak noise: the mean of the change of Phi, shape (d,), or its covariance, (d, d)."""

    derived_theory = DiffusionLimit

    def __init__(self, *case: Any) -> None:
        super().__init__(*case)
        self.moment = self.claim.settings["moment"]
        self.theory = self._theory()

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """See `Statement`; and there must be noise along Gamma."""
        checked = super().assumptions(model, algorithm, claim, theta)
        if not all(a.holds for a in checked):
            return checked
        averaged = DiffusionLimit(model, algorithm).averaged(LocalGeometry.at(model, theta))
        along = float(np.trace(averaged.diffusion)) / max(float(np.trace(averaged.covariance)), 1e-300)
        rule = "noise must act along Gamma; claims of kind drift describe noise that does not"
        return (*checked, Assumption("noise along Gamma", along > _LEAST, along, rule))

    @classmethod
    def rival_count(cls, claim: Claim, algorithm: Algorithm) -> int:
        """See `Statement`: derived or small-lr, those of the moment, lambda x 2, and staying."""
        return 4 + len(_RIVALS[claim.settings["moment"]])

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        if self.moment == "mean":
            return speed * theory.drift(self.local)
        if isinstance(theory, (DiffusionLimit, GradientFlowLimit)):
            return speed * theory.diffusion(self.local)
        matrix = theory.covariance(self.local)
        if matrix is None:
            raise NotApplicable("prediction", f"{theory.name} names no covariance")
        return speed * matrix

    def candidates(self) -> Iterator[tuple[str, Callable[[], SlowTheory], float]]:
        """See `Statement`."""
        theories: tuple[type[SlowTheory], ...] = (DiffusionLimit, GradientFlowLimit, *_RIVALS[self.moment])
        for theory in theories:
            if theory.name != self.theory.name:
                yield theory.name, lambda t=theory: t(self.model, self.algorithm), 1.0  # type: ignore[misc]
        yield "lambda x 2", lambda: self.theory, 2.0

    def labels(self) -> tuple[str, ...]:
        """The parameters, for the mean."""
        return self.parameter_names() if self.moment == "mean" else ()

    def natural_scale(self) -> tuple[float, float]:
        """The size of what is added up in it, by the derived theory."""
        averaged = self.derived.averaged(self.local)
        spread = float(np.trace(averaged.diffusion))
        if self.moment == "covariance":
            return spread, 0.0
        fast = 0.5 * self.theory.rate * float(np.linalg.norm(self.local.third(averaged.covariance)))
        return fast + spread / max(float(np.linalg.norm(self.theta)), 1e-300), 0.0

    def _theory(self) -> SlowTheory:
        if isinstance(self.theory, Conjecture):
            return self.theory
        if self.theory.name == "derived":
            return self.derived
        if self.theory.name == "small-lr":
            return GradientFlowLimit(self.model, self.algorithm)
        raise NotApplicable("noise normal to Gamma", "the paper has no theorem for noise along Gamma")
