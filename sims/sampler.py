"""Rows at a noise strength: simulate, reduce to one row per replica, and subtract what the control explains."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from flatmin.theory import Algorithm, Model
from numpy.typing import NDArray

from .engine import simulate
from .ensemble import Ensemble
from .kernel import Kernel
from .measure import Control, Measurement
from .progress import Progress
from .random import claim_key

__all__ = ["ControlMismatch", "Sampler"]

Array = NDArray[np.float64]

# Standard errors between the mean of a control and its exact mean at which the exact one is not believed. The controls
# of a study are some hundred numbers: by chance it happens once in 10^6 studies.
_MISMATCH = 7.0


class ControlMismatch(RuntimeError):
    """The mean of a control variate is not what it must be: nothing can be subtracted."""


@dataclass
class Sampler:
    """Draws rows of one measurement.

    Attributes
    ----------
    model, algorithm, kernel, measurement
    seed : int
    threads : int or None
    progress : Progress
    stage : int
        Each stage has its own random numbers.
    reference : ndarray, shape (M, d), or None
        Mean of the recorded points in a run that decides nothing: where controls of slow statistics are built.
    coefficients : ndarray, shape (C, D), or None
        Of the columns of the control, from data that decide nothing; None: rows predicted with coefficient 1.
    total_steps : int
        Replica-steps taken so far.
    gain : float
        Variance of the last rows without control over that with it; 1 without a control.
    """

    model: Model
    algorithm: Algorithm
    kernel: Kernel
    measurement: Measurement
    seed: int
    threads: int | None
    progress: Progress
    stage: int = 1
    reference: Array | None = None
    coefficients: Array | None = None
    total_steps: int = 0
    gain: float = 1.0
    _controls: dict[float, Control | None] = field(default_factory=dict)

    @property
    def own_strength(self) -> float:
        """lambda of the study."""
        return self.algorithm.strength(self.model)

    def sigmas(self, strength: float) -> Array:
        """Label noise of each sample at a strength, shape (n,)."""
        return self.algorithm.sigmas(self.model) * np.sqrt(strength / self.own_strength)

    def control(self, strength: float) -> Control | None:
        """The control at a strength."""
        if strength not in self._controls:
            self._controls[strength] = self.measurement.control(self.model, self.algorithm, strength, self.reference)
        return self._controls[strength]

    def refer_to(self, reference: Array) -> None:
        """Build the controls around this path from now on."""
        self.reference = reference
        self._controls.clear()

    def run(
        self,
        strength: float,
        replicas: int,
        key: tuple[str | int, ...],
        schedule: NDArray[np.int64] | None = None,
        settle: bool | None = None,
        announce: bool = True,
        controlled: bool = True,
    ) -> Ensemble:
        """Simulate; `schedule` and `settle` by default those of the measurement."""
        measurement = self.measurement
        steps = measurement.schedule(strength) if schedule is None else schedule
        if announce:
            self.progress.phase(str(key[0]), float(steps[-1]) * replicas)
        # Keyed by claim and strength, so that the numbers do not depend on what else runs, or when.
        words = (
            claim_key(measurement.problem.kind),
            self.stage,
            *(claim_key(k) if isinstance(k, str) else k for k in key),
        )
        control = self.control(strength) if controlled and schedule is None else None
        ensemble = simulate(
            self.kernel,
            self.algorithm,
            self.sigmas(strength),
            measurement.problem.start,
            replicas,
            steps,
            key=words,
            seed=self.seed,
            threads=self.threads,
            settle=measurement.settle if settle is None else settle,
            control=control.linear if control else None,
            on_progress=self.progress.advance,
        )
        self.total_steps += ensemble.replica_steps
        return ensemble

    def rows(self, ensemble: Ensemble, strength: float) -> Array:
        """One row per replica, shape (N, D), with what the control explains beyond its exact mean taken away.

        Raises
        ------
        ControlMismatch
        """
        plain = self.measurement.reduce(ensemble.points, ensemble.schedule, strength)
        control = self.control(strength)
        if control is None or ensemble.linear is None or (control.regressed and self.coefficients is None):
            return plain
        excess = self._excess(control, ensemble, strength)
        rows: Array = plain - (excess if self.coefficients is None else excess @ self.coefficients)
        left = float(np.sum(rows.var(axis=0)))
        self.gain = float(np.sum(plain.var(axis=0))) / left if left > 0 else 1.0
        return rows

    def regress(self, ensemble: Ensemble, strength: float) -> None:
        """Take the coefficients from rows that decide nothing: what decides is then subtracted without bias."""
        control = self.control(strength)
        if control is None or not control.regressed or ensemble.linear is None:
            return
        excess = self._excess(control, ensemble, strength)
        plain = self.measurement.reduce(ensemble.points, ensemble.schedule, strength)
        scale = excess.std(axis=0)
        kept = scale > 1e-12 * max(float(scale.max(initial=0.0)), 1e-300)
        self.coefficients = np.zeros((excess.shape[1], plain.shape[1]))
        centred = (excess - excess.mean(axis=0))[:, kept] / scale[kept]
        fitted = np.linalg.lstsq(centred, plain - plain.mean(axis=0), rcond=1e-6)[0]
        self.coefficients[kept] = fitted / scale[kept, None]

    def _excess(self, control: Control, ensemble: Ensemble, strength: float) -> Array:
        excess = control.rows(ensemble) - control.mean(self.sigmas(strength))
        error = np.abs(excess.mean(axis=0))
        allowed = _MISMATCH * excess.std(axis=0) / np.sqrt(len(excess))
        # Rounding of sums of so many terms.
        if np.any(error > allowed + 1e-9 * np.abs(excess).max(initial=0.0)):
            raise ControlMismatch(
                f"control variate at lambda={strength:.3g}: its mean is {float(np.max(error / allowed)) * _MISMATCH:.1f}"
                " standard errors from its exact value; please report this model"
            )
        return excess
