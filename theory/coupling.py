"""Local coupling: theta_k = Phi_k + xi_k + Delta_k on the same noise, and how sup |Delta| scales with lambda.

Phi is the slow flow of the theory, which gradient descent on L + lambda R follows to order lambda; xi is the linear
process of the fast fluctuation, around points of Phi. What is left is led by the motion of theta along Gamma that the
noise makes at second order: of variance O(rate lambda^2) in a step, so of size lambda^(1/2), lambda^(3/4), lambda after
1/(rate lambda), 1/(rate sqrt lambda), 50/rate steps.

References
----------
Damian, Ma, Lee (2021), Section 2, for the decomposition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .algorithm import Algorithm
from .assumptions import Assumption
from .claim import Claim
from .exponents import ExponentStatement
from .flow import SlowFlow
from .integration import nodes
from .linear import linear_rule
from .model import Model

__all__ = ["CouplingStatement"]

Array = NDArray[np.float64]

_EXPONENTS = {"long": 0.5, "middle": 0.75, "short": 1.0}
# Slow time of the longest window: its number of steps is rounded, and half a step is 1/100 at most.
_WINDOW = 1.01
# Below this part of its size without the projection the motion along Gamma is rounding.
_NO_MOTION = 1e-12


class CouplingStatement(ExponentStatement):
    """The exponent of sup_k |theta_k - Phi_k - xi_k| over a window of steps."""

    powers = (0.0, 0.5, 0.75, 1.0, 1.5)

    def exponent(self) -> float:
        """See `ExponentStatement`."""
        return _EXPONENTS[self.claim.settings["window"]]

    @classmethod
    def assumptions(cls, model: Model, algorithm: Algorithm, claim: Claim, theta: Array) -> tuple[Assumption, ...]:
        """See `Statement`."""
        linear = linear_rule(algorithm.update_rule, model.d, algorithm.lr) is not None
        rule = "xi is the linear process of a rule that is linear in the gradient at theta"
        return (*super().assumptions(model, algorithm, claim, theta), Assumption("linear rule", linear, None, rule))

    def visited(self) -> tuple[Array, float, float]:
        """See `Statement`."""
        self._check_motion()
        horizon = 1.0 if self.claim.settings["window"] == "long" else 0.0
        times = horizon * np.array([0.0, 0.1, 0.25, 0.5, 1.0])[: None if horizon else 1]
        return SlowFlow(self.motion).path(self.theta, times), horizon, 0.0

    def given(self) -> Mapping[str, Array]:
        """The path of the slow flow over a window; see `flatmin.theory.integration.nodes`."""
        times, points = nodes(SlowFlow(self.theory).steps(self.theta, _WINDOW))
        return {"times": times, "points": points}

    def _check_motion(self) -> None:
        """Without a motion along Gamma by the noise, Delta may be of a higher order than the exponent says."""
        if self.claim.settings["bound"]:
            return
        local, s = self.local, self.derived.covariance(self.local)
        moved = np.einsum("am,iab->imb", local.tangent, local.second)
        along = float(np.einsum("imb,bc,imc->", moved, s, moved))
        whole = float(np.einsum("iab,bc,iac->", local.second, s, local.second))
        share = along / whole if whole > 0 else 0.0
        rule = "hess f_i must turn the fast fluctuation along Gamma: otherwise the exponent is a bound (bound = true)"
        self.extra.append(Assumption("motion along Gamma", share > _NO_MOTION, share, rule))
