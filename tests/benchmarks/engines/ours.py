"""flatmin's own engine: generated kernels with sums over all steps, and the coupled estimator of the drift."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from flatmin.sims import simulate
from flatmin.sims.blocks import Setting
from flatmin.sims.control import LinearControl
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, LANES, RADEMACHER, WITH_REPLACEMENT
from flatmin.sims.memory import aligned
from flatmin.sims.regression import regress

from ..drift import PLANS, Measured, component, expansion
from ..models import algorithm, indexed, model
from ..protocol import Array, Sums, grouped
from ..works import Work

_FIRST = 512  # replicas of the run that gives the coefficients


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        self.map = ThreadPoolExecutor(cores).map if cores > 1 else map
        self.kernel = Kernel.for_model(model(work) if work.model in ("uv", "tanh") else indexed(work))
        self.rows = work.d + len(work.pairs[0])
        self.kernel.prepare(FULL if work.full else WITH_REPLACEMENT, RADEMACHER, work.statistics)

    def start(self, seed: int) -> None:
        fitting, sgd = self.kernel.model, algorithm(self.work)
        sigmas = sgd.sigmas(fitting)
        self.setting = Setting(self.kernel, sgd, sigmas, self.work.theta0, self.work.replicas, (), seed)
        self.blocks = [self.setting.block(b) for b in range(-(-self.work.replicas // LANES))]
        self.done = 0

    def theta(self) -> Array:
        parts = [block.theta.reshape(self.work.d, -1) for block in self.blocks]
        return np.concatenate(parts, axis=1)[:, : self.work.replicas]

    def run(self, steps: int) -> Sums:
        ends = (self.done, self.done + steps)
        sums = np.concatenate(list(self.map(lambda block: self._run(block, *ends), self.blocks)), axis=1)
        self.done += steps
        # The kernel's sums are shifted by theta0.
        theta0, (rows, columns) = self.work.theta0, self.work.pairs
        first, second = (
            grouped(sums[: self.work.d, : self.work.replicas]),
            grouped(sums[self.work.d :, : self.work.replicas]),
        )
        count = steps * self.work.replicas / len(first)
        raw = second + theta0[rows] * first[:, columns] + theta0[columns] * first[:, rows]
        return first + count * theta0, raw + count * theta0[rows] * theta0[columns]

    def _run(self, block, first: int, last: int) -> Array:
        setting, used = self.setting, block.theta.size // self.work.d
        sums = aligned(np.zeros(self.rows * used))
        if self.work.statistics:
            shift = setting.start
            bound = setting.bound
            self.kernel.accumulate(block, first, last, sums, shift, setting.sigmas, bound=bound, **setting.arguments)
        else:
            out, ends = np.empty((1, block.theta.size)), np.array([last])
            self.kernel.advance(block, first, ends, out, setting.sigmas, bound=setting.bound, **setting.arguments)
        return sums.reshape(self.rows, used)


def measure_drift(work: Work, seconds: float, seed: int) -> Measured | None:
    """Measure what the plain estimator of `drift` measures, less what the linear process on the same draws explains.

    A first run, which decides nothing, gives the coefficients of the control and says whether antithetic pairs pay.
    Then as many replicas run as take about `seconds`.
    """
    coupled = _Coupled(work, seed)
    pairs = min((False, True), key=coupled.first)
    replicas = 64
    while replicas == 64 or (coupled.seconds < 0.5 * seconds and replicas < 2**18):
        replicas *= 2
        error = coupled.error(replicas, pairs)
    return Measured(coupled.mean, error, coupled.seconds)


class _Coupled:
    """The component of the drift and its error, for growing numbers of replicas."""

    def __init__(self, work: Work, seed: int) -> None:
        self.work, self.seed = work, seed
        fitting, sgd = model(work), algorithm(work)
        self.marks = np.cumsum(PLANS[work.name])
        self.how = (Kernel.for_model(fitting), sgd, sgd.sigmas(fitting), work.theta0)
        self.control = LinearControl(fitting, sgd, work.theta0[None], [0], self.marks)
        self.gradient, self.curvature = expansion(work)
        covariance, increments, _ = self.control.moments(sgd.sigmas(fitting))
        spread = np.einsum("ab,qab->q", self.curvature, covariance)
        self.expected = self._columns(np.zeros((2, work.d, 1)), increments[..., None], spread[:, None])[0]
        self.coefficients: dict[bool, Array] = {}
        self.mean = self.seconds = 0.0

    def first(self, pairs: bool) -> float:
        """Take the coefficients from a first run; returns its variance times its seconds, once all is compiled."""
        self.coefficients[pairs] = regress(*self._run(_FIRST, pairs, key=0)).coefficients
        return self.error(_FIRST, pairs, key=0) ** 2 * self.seconds

    def error(self, replicas: int, pairs: bool, key: int = 1) -> float:
        """Measure with so many replicas; returns the standard error, and notes mean and seconds."""
        began = time.perf_counter()
        excess, plain = self._run(replicas, pairs, key)
        rows = plain - excess @ self.coefficients[pairs]
        self.mean, self.seconds = float(rows.mean()), time.perf_counter() - began
        return float(rows.std(ddof=1) / np.sqrt(replicas))

    def _run(self, replicas: int, pairs: bool, key: int) -> tuple[Array, Array]:
        """Columns of the control less their exact means, and what is measured: a row for each replica."""
        how = (*self.how, replicas, self.marks, (key, replicas), self.seed, 1)
        run = simulate(*how, control=self.control)
        plain = self._plain(run.points)
        if pairs:
            # What second order leaves is odd in the noise: with all its signs turned, most of it cancels.
            plain = 0.5 * (plain + self._plain(simulate(*how, antithetic=True).points))
        assert run.linear is not None
        assert run.second is not None
        quadratic = np.einsum("qan,ab,qbn->qn", run.linear, self.curvature, run.linear, optimize=True)
        return self._columns(run.linear, run.second, quadratic) - self.expected, plain[:, None]

    def _plain(self, points: Array) -> Array:
        return (component(self.work, points[1]) - component(self.work, points[0])) / self._window

    def _columns(self, linear: Array, second: Array, quadratic: Array) -> Array:
        """Of the component at both marks, to second order in the noise: its motion along the set, and what bends it."""
        moved = self.gradient @ (linear + np.cumsum(second, axis=0))
        return np.concatenate([moved, 0.5 * quadratic]).T / self._window

    @property
    def _window(self) -> float:
        return float(self.marks[1] - self.marks[0])
