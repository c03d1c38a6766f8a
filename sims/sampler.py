"""Rows at a noise strength: simulate, reduce to one row per replica, and subtract what the control explains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from flatmin.theory import Algorithm, Model
from numpy.typing import NDArray

from .control import Control
from .engine import simulate
from .ensemble import Ensemble
from .kernel import Kernel
from .measurement import Measurement
from .progress import Progress
from .random import claim_key
from .regression import regress
from .strengths import reachable

__all__ = ["ControlMismatch", "Sampler"]

Array = NDArray[np.float64]

# Standard errors between the mean of a control and its exact mean at which the exact one is not believed. The controls
# of a study are some hundred numbers: by chance it happens once in 10^6 studies.
_MISMATCH = 7.0
# Part of the variance that a regressed control must leave at most, to be worth running.
_WORTHWHILE = 0.7


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
    fitted_columns : int
        How many independent columns they came from.
    total_steps : int
        Replica-steps taken so far.
    gain : float or None
        Variance of the last rows without control over that with it; None without one.
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
    fitted_columns: int = 0
    total_steps: int = 0
    gain: float | None = None
    _controls: dict[float, Control | None] = field(default_factory=dict)

    @property
    def own_strength(self) -> float:
        """lambda of the study."""
        return self.algorithm.strength(self.model)

    def at(self, strength: float) -> Algorithm:
        """The algorithm at a strength."""
        return self.algorithm.at_strength(self.model, strength)

    def sigmas(self, strength: float) -> Array:
        """Noise in each sample's residual at a strength, shape (n,)."""
        return self.at(strength).sigmas(self.model)

    def reachable(self, strength: float) -> float:
        """The strength near `strength` at which the schedule is exact; with flips, as nearly as whole batches allow."""
        return reachable(self.measurement.admissible, self.model, self.algorithm, strength)

    def control(self, strength: float) -> Control | None:
        """The control at a strength."""
        if strength not in self._controls:
            self._controls[strength] = self.measurement.control(self.model, self.at(strength), strength, self.reference)
        return self._controls[strength]

    @property
    def mirrored(self) -> bool:
        """Whether every replica has a mirror image with the signs of all noise turned."""
        return self.measurement.antithetic and self.algorithm.noise.symmetric

    def refer_to(self, reference: Array) -> None:
        """Build the controls around this path from now on."""
        self.reference = reference
        self.coefficients = None
        self._controls.clear()

    def drop_control(self) -> None:
        """Go on without one."""
        self.reference = None
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
            claim_key(measurement.problem.statistic),
            self.stage,
            *(claim_key(k) if isinstance(k, str) else k for k in key),
        )
        control = self.control(strength) if controlled and schedule is None else None
        simulated = partial(
            simulate,
            self.kernel,
            self.at(strength),
            self.sigmas(strength),
            measurement.begin(strength),
            replicas,
            steps,
            key=words,
            seed=self.seed,
            threads=self.threads,
            settle=measurement.settle if settle is None else settle,
            on_progress=self.progress.advance,
        )
        ensemble = simulated(control=control.linear if control else None)
        if control and self.mirrored:
            mirror = simulated(antithetic=True)
            ensemble = replace(
                ensemble,
                mirror=mirror.points,
                status=np.maximum(ensemble.status, mirror.status),
                replica_steps=ensemble.replica_steps + mirror.replica_steps,
                seconds=ensemble.seconds + mirror.seconds,
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
        both = plain
        if ensemble.mirror is not None:
            both = 0.5 * (plain + self.measurement.reduce(ensemble.mirror, ensemble.schedule, strength))
        rows: Array = both - (excess if self.coefficients is None else excess @ self.coefficients)
        left = float(np.sum(rows.var(axis=0)))
        self.gain = float(np.sum(plain.var(axis=0))) / left if left > 0 else None
        return rows

    def regress(self, ensemble: Ensemble, strength: float) -> None:
        """Take the coefficients from rows that decide nothing: what decides is then subtracted without bias."""
        control = self.control(strength)
        if control is None or not control.regressed or ensemble.linear is None:
            return
        excess = self._excess(control, ensemble, strength)
        plain = self.measurement.reduce(ensemble.points, ensemble.schedule, strength)
        found = regress(excess, plain)
        self.coefficients = found.coefficients if found.left < _WORTHWHILE else None
        self.fitted_columns = found.columns

    def _excess(self, control: Control, ensemble: Ensemble, strength: float) -> Array:
        excess = control.rows(ensemble) - control.mean(self.sigmas(strength))
        error = np.abs(excess.mean(axis=0))
        allowed = _MISMATCH * excess.std(axis=0) / np.sqrt(len(excess))
        # Rounding of sums of so many terms.
        if np.any(error > allowed + 1e-9 * np.abs(excess).max(initial=0.0)):
            worst = _MISMATCH * float(np.max(error / np.maximum(allowed, 1e-300)))
            raise ControlMismatch(
                f"control variate at lambda={strength:.3g}: its mean is {worst:.1f} standard errors from its exact"
                " value: tails too heavy to be judged, as near the second-moment limit, or a fault to be reported"
            )
        return excess
