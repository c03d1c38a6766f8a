"""Claims about the start alone: the stationary covariance of the fast fluctuation, and the slow drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import NotApplicable
from .slow import SlowTheory
from .statement import Statement

__all__ = ["CovarianceStatement", "DriftStatement"]

Array = NDArray[np.float64]


class CovarianceStatement(Statement):
    """S, shape (d, d)."""

    along_gamma = False

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        s = theory.covariance(self.local)
        if s is None:
            raise NotApplicable("prediction", f"{theory.name} names no covariance")
        return speed * s

    def natural_scale(self) -> tuple[float, float]:
        """See `Statement`."""
        return float(np.linalg.norm(self.derived.covariance(self.local))), 0.0


class DriftStatement(Statement):
    """Change of Phi(theta) per step, shape (d,)."""

    def value(self, theory: SlowTheory, speed: float = 1.0, own: bool = False) -> Array:
        """See `Statement`."""
        return speed * theory.drift(self.local)

    def labels(self) -> tuple[str, ...]:
        """The parameters."""
        return self.parameter_names()

    def natural_scale(self) -> tuple[float, float]:
        """Its size before the projection on Gamma."""
        s, local = self.derived.covariance(self.local), self.local
        half = 0.5 * self.theory.rate
        # D3L[S] is a sum of products of these; where they cancel, the curvature does not change along S.
        terms = np.linalg.norm(local.second) * np.linalg.norm(local.jacobian) * np.linalg.norm(s)
        return half * float(np.linalg.norm(local.third(s))), 1e-12 * half * float(terms) / self.model.n
