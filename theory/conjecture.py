"""The user's own theory: R(theta) with a strength, or a covariance S(theta)."""

from __future__ import annotations

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .algorithm import Algorithm
from .claim import Claim
from .derived import Derived
from .errors import NotApplicable
from .formulas import theory_formulas
from .geometry import LocalGeometry
from .model import Model
from .noise import FlippedLabels
from .numeric import numeric
from .slow import Paper, SlowTheory, SmallLearningRate, shared_theory

__all__ = ["Conjecture", "make_theory"]

Array = NDArray[np.float64]


class Conjecture(SlowTheory):
    """The user's own formula: R(theta) with a strength, or a covariance S(theta).

    Parameters
    ----------
    model, algorithm
        As for every theory.
    claim : Claim
        Holds `regularizer` and `strength`, or `covariance`.
    """

    name = "conjecture"

    def __init__(self, model: Model, algorithm: Algorithm, claim: Claim) -> None:
        super().__init__(model, algorithm)
        claim.check(model)
        self.claim = claim
        sigma_rms = float(np.sqrt(np.mean(algorithm.sigmas(model) ** 2)))
        if isinstance(algorithm.noise, FlippedLabels):
            sigma_rms *= float(np.sqrt(algorithm.noise.alpha))  # of the loss as the user gave it
        self._constants = {
            "eta": self.lr,
            "sigma": sigma_rms,
            "B": algorithm.batch(model),
            "beta": algorithm.beta,
            "n": algorithm.samples(model),
            "lam": self.strength,
        }
        self._own_strength = self.strength if claim.strength is None else float(self._compile(claim.strength)())
        self._regularizer = self._gradient = self._matrix = None
        if claim.regularizer is not None:
            self._regularizer = self._compile(claim.regularizer)
            regularizer = self._renamed(claim.regularizer)
            self._gradient = self._compile(sp.Matrix([regularizer.diff(p) for p in model.parameters]))
        else:
            self._matrix = self._compile(claim.covariance)

    def formulas(self) -> tuple[tuple[str, str], ...]:
        """The study's own, in LaTeX."""
        return theory_formulas(self.name, self.algorithm, self.claim)

    @np.errstate(all="ignore")  # a value that is not finite is refused below
    def covariance(self, local: LocalGeometry) -> Array | None:
        """S, shape (d, d)."""
        if self._matrix is None:
            return None
        s = self._finite("covariance", np.asarray(self._matrix(*local.theta), dtype=np.float64))
        if np.max(np.abs(s - s.T)) > 1e-9 * max(float(np.max(np.abs(s))), 1e-300):
            raise NotApplicable("conjecture", "its covariance is not symmetric on the zero-loss set")
        return s

    @np.errstate(all="ignore")
    def regularizer(self, local: LocalGeometry) -> float | None:
        """R, or None."""
        if self._regularizer is None:
            return None
        return float(self._finite("regularizer", np.asarray(self._regularizer(*local.theta), dtype=np.float64)))

    @np.errstate(all="ignore")
    def regularizer_gradient(self, local: LocalGeometry) -> Array | None:
        """P grad R, shape (d,), or None."""
        if self._gradient is None or self.regularizer(local) is None:
            return None
        gradient = np.asarray(self._gradient(*local.theta), dtype=np.float64).reshape(-1)
        return local.project(self._finite("regularizer", gradient))

    def drift(self, local: LocalGeometry) -> Array:
        """Change of Phi(theta) per step, shape (d,)."""
        gradient = self.regularizer_gradient(local)
        return super().drift(local) if gradient is None else -self.rate * self._own_strength * gradient

    def _renamed(self, expression: sp.Basic) -> sp.Basic:
        # Names decide, not assumptions: the user's Symbol("u") is the model's Symbol("u", real=True).
        own = {p.name: p for p in self.model.parameters}
        return expression.xreplace({s: own.get(s.name, sp.Symbol(s.name, real=True)) for s in expression.free_symbols})

    def _compile(self, expression: sp.Basic):  # type: ignore[no-untyped-def]
        expression, symbols = self._renamed(expression), self.model.parameters
        values = {
            s: sp.Float(self._constants[s.name], 17) for s in expression.free_symbols if s.name in self._constants
        }
        fixed = expression.subs(values)
        arguments = symbols if fixed.free_symbols else []
        compiled = numeric(symbols, fixed, dummify=True)
        return compiled if arguments else (lambda *_: compiled(*np.zeros(len(symbols))))

    def _finite(self, what: str, value: Array) -> Array:
        if not np.all(np.isfinite(value)):
            raise NotApplicable("conjecture", f"its {what} is not finite on the zero-loss set")
        return value


def make_theory(model: Model, algorithm: Algorithm, claim: Claim) -> SlowTheory:
    """Return the theory that `claim` names."""
    if claim.theory == "conjecture":
        return Conjecture(model, algorithm, claim)
    return shared_theory({t.name: t for t in (Derived, Paper, SmallLearningRate)}[claim.theory], model, algorithm)
