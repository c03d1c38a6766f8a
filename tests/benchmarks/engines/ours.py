"""flatmin's own engine.

A placeholder: every step is recorded and summed afterwards, and each call starts again from theta0. To be replaced by
sums in the kernel; `Engine` and `measure_drift` are what the benchmark asks for.
"""

from __future__ import annotations

import numpy as np
from flatmin.sims import Kernel, simulate

from ..drift import Measured
from ..models import algorithm, model
from ..protocol import Array, Sums, Unavailable, grouped
from ..works import Work


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        if work.model not in ("uv", "tanh"):
            raise Unavailable(f"ours: no kernel for {work.d} parameters")
        self.work, self.cores = work, cores
        self.model, self.algorithm = model(work), algorithm(work)
        self.kernel = Kernel.for_model(self.model)

    def start(self, seed: int) -> None:
        self.seed, self.done = seed, 0
        self.state = np.repeat(self.work.theta0[:, None], self.work.replicas, axis=1)

    def theta(self) -> Array:
        return self.state

    def run(self, steps: int) -> Sums:
        work = self.work
        end = self.done + steps
        schedule = np.arange(self.done, end + 1) if work.statistics else np.array([end])
        sigmas = self.algorithm.sigmas(self.model)
        ensemble = simulate(
            self.kernel,
            self.algorithm,
            sigmas,
            work.theta0,
            work.replicas,
            schedule,
            seed=self.seed,
            threads=self.cores,
        )
        self.state, self.done = ensemble.points[-1], end
        rows, columns = work.pairs
        points = ensemble.points[:-1]
        second = np.stack([(points[:, i] * points[:, j]).sum(axis=0) for i, j in zip(rows, columns)])
        return grouped(points.sum(axis=0)), grouped(second)


def measure_drift(work: Work, seconds: float, seed: int) -> Measured | None:
    """Measure the component of the drift that `drift.component` takes, by the library's best estimator.

    About `seconds` long; `work` is W1, W2a or W2b. None: not written yet, the plain estimator is used.
    """
    return None
