"""`Ensemble`: what a simulation gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ensemble"]


@dataclass(frozen=True, repr=False)
class Ensemble:
    """Replicas of one run at the scheduled steps.

    Parameters
    ----------
    points : ndarray, shape (M, d, N)
        theta of each replica after schedule[m] steps; with `settle`, where the noise-free iteration from it ends.
    schedule : ndarray of int, shape (M,)
        Step counts.
    status : ndarray of int, shape (N,)
        -1, or the step at which the replica was first seen out of bounds.
    settled : ndarray of bool, shape (M, N), or None
        Whether the noise-free iteration came to rest; None without `settle`.
    linear : ndarray, shape (Q, d, N), or None
        The linear SGD on the same draws at the marks of its control; None without one.
    second : ndarray, shape (Q, d, N), or None
        The motion along the zero-loss set that it predicts, from each mark to the next.
    ends : ndarray, shape (Q, d, N), or None
        That of the noise-free iteration from the linear SGD at each mark.
    sigmas : ndarray, shape (n,)
        Standard deviation of each sample's label noise.
    seed : int
        Of the study.
    key : tuple of int
        What the random numbers were for; with `seed` it determines them.
    replica_steps : int
        Steps taken, summed over the replicas.
    seconds : float
        Wall time of running, without compiling.
    mirror : ndarray, shape (M, d, N), or None
        `points` of the same replicas with the signs of all label noise turned.
    """

    points: NDArray[np.float64]
    schedule: NDArray[np.int64]
    status: NDArray[np.int64]
    settled: NDArray[np.bool_] | None
    linear: NDArray[np.float64] | None
    second: NDArray[np.float64] | None
    ends: NDArray[np.float64] | None
    sigmas: NDArray[np.float64]
    seed: int
    key: tuple[int, ...]
    replica_steps: int
    seconds: float
    mirror: NDArray[np.float64] | None = None

    @property
    def replicas(self) -> int:
        """Number of replicas, N."""
        return len(self.status)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Replicas that went out of bounds or, with `settle`, did not come to rest; shape (N,)."""
        out = self.status >= 0
        return out if self.settled is None else out | ~self.settled.all(axis=0)

    def __repr__(self) -> str:
        shown = f"{self.replicas} replicas, {len(self.schedule)} times up to step {self.schedule[-1]}"
        failed = int(self.failed.sum())
        if failed:
            shown += f", {failed} failed"
            if (self.status >= 0).any():
                shown += f" (out of bounds from step {self.status[self.status >= 0].min()} on)"
        return f"Ensemble({shown}, seed={self.seed}, key={self.key}, {self.seconds:.3g} s)"
