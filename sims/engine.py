"""Run ensembles of replicas of an algorithm on generated kernels.

The engine sees the model and the algorithm, never a prediction about them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput
from numpy.typing import NDArray

from .blocks import Blocks, Setting, SimulationStopped, next_size
from .control import LinearControl
from .coupled import CoupledBlocks
from .ensemble import Ensemble
from .kernel import Kernel
from .lanes import LANES

__all__ = ["SimulationStopped", "simulate"]

Array = NDArray[np.float64]

_MAX_BYTES = 4 * 2**30  # of recorded points
_MAX_SETTLE_STEPS = 2_000_000


def simulate(
    kernel: Kernel,
    algorithm: Algorithm,
    sigmas: Any,
    start: Any,
    replicas: int,
    schedule: Sequence[int] | NDArray[np.int64],
    key: tuple[int, ...] = (),
    seed: int = 0,
    threads: int | None = None,
    settle: bool = False,
    control: LinearControl | None = None,
    antithetic: bool = False,
    first: int = 0,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Ensemble:
    """Simulate independent replicas of an algorithm from one point.

    Parameters
    ----------
    kernel : Kernel
        Of the model and of such an algorithm.
    algorithm : Algorithm
    sigmas : array_like, shape (n,), or None
        Standard deviation of each sample's label noise, in place of the algorithm's; None for the algorithm's own
        noise, whatever its law.
    start : array_like, shape (d,)
        Where every replica starts.
    replicas : int
        Number of replicas, N.
    schedule : sequence of int
        Increasing step counts, from 0 on, at which theta is recorded.
    key, seed
        Determine the random numbers, whatever the number of threads.
    threads : int, optional
        The processors of this machine by default.
    settle : bool
        Record Phi(theta) in place of theta: where the same rule, with its memory, ends without noise, with full
        batches. The run itself goes on from theta.
    control : LinearControl, optional
        Run the linear SGD of this control beside every replica, on the same draws.
    antithetic : bool
        Turn the sign of all label or gradient noise; the indices of the samples stay.
    first : int
        Number of the first replica, a multiple of 64: a large ensemble can be run piece by piece.
    on_progress : callable, optional
        Called now and then with the number of replica-steps taken since the last call.
    should_stop : callable, optional
        Asked now and then; `SimulationStopped` is raised once it returns True.

    Returns
    -------
    Ensemble
        A replica out of bounds is noted there, and raises nothing.
    """
    setting = Setting(kernel, algorithm, sigmas, start, replicas, tuple(key), seed, first)
    if antithetic:
        setting.turn_signs()
    run = _Run(setting, schedule, settle, control, Blocks(replicas, on_progress, should_stop))
    setting.check_kernel_once()
    run.compile()
    began = time.perf_counter()
    run.blocks.run(run.several, threads, run.most)
    return Ensemble(
        points=run.points,
        schedule=run.schedule,
        status=run.status,
        settled=run.settled,
        linear=run.linear,
        second=run.second,
        ends=run.ends,
        sigmas=np.abs(setting.sigmas),
        seed=seed,
        key=setting.key,
        replica_steps=replicas * int(run.schedule[-1]),
        seconds=time.perf_counter() - began,
    )


class _Run:
    """One call of `simulate`: shared results, and what a thread does with a few blocks."""

    def __init__(
        self,
        setting: Setting,
        schedule: Sequence[int] | NDArray[np.int64],
        settle: bool,
        control: LinearControl | None,
        blocks: Blocks,
    ) -> None:
        self.setting, self.control, self.blocks = setting, control, blocks
        self.schedule = _checked_schedule(schedule)
        d, replicas, marks = setting.kernel.model.d, setting.replicas, len(control.marks) if control else 0
        size = 8 * (len(self.schedule) + 3 * marks) * d * replicas
        if size > _MAX_BYTES:
            raise InvalidInput(
                "replicas",
                f"={replicas} with {len(self.schedule)} recorded steps and {d} parameters need {size / 2**30:.1f}"
                f" GiB, more than {_MAX_BYTES / 2**30:.0f}; record fewer steps or use fewer replicas",
            )
        self.d = d
        self.points = np.empty((len(self.schedule), d, replicas))
        self.status = np.empty(replicas, dtype=np.int64)
        self.settled = np.empty((len(self.schedule), replicas), dtype=np.bool_) if settle else None
        self.linear = np.empty((marks, d, replicas)) if control else None
        self.second = np.empty((marks, d, replicas)) if control else None
        self.ends = np.empty((marks, d, replicas)) if control else None

    def compile(self) -> None:
        """Take no step with what is compiled at its first call: sample sizes are planned by the time of steps."""
        setting, coupled = self.setting, self._coupled(1)
        stack, settled = setting.stack(0, 1), np.zeros(LANES, dtype=np.bool_)
        if self.settled is not None:
            setting.kernel.descend(stack.theta[0].copy(), settled, setting.arguments["lr"], setting.scale, 0)
        if coupled:
            coupled.compile(stack)

    @property
    def most(self) -> int:
        """Blocks to handle together."""
        numbers = len(self.setting.state) * len(self.schedule)
        if self.control is not None:
            numbers += len(self.control.marks) * self.d * (self.control.rank + 3)
        return self.setting.together(numbers)

    def several(self, first: int, last: int) -> Iterator[None]:
        """Run blocks first..last-1 through the schedule; yields after each call."""
        setting, blocks, count = self.setting, self.blocks, last - first
        stack, coupled = setting.stack(first, last), self._coupled(count)
        period = setting.period
        step, recorded, steps = 0, 0, 1024
        while recorded < len(self.schedule) and not blocks.stop.is_set():
            # A run may be cut where a new word of signs is due: there the bits of the result do not depend on it.
            cut = min((step // period + max(1, steps // period)) * period, int(self.schedule[-1]))
            if self.control is not None and step < (begin := self.control.segments[0].first) < cut:
                cut = begin
            upto = recorded + int(np.searchsorted(self.schedule[recorded:], cut, side="right"))
            stops = np.append(self.schedule[recorded:upto], cut)
            out = np.empty((count, len(stops), stack.theta.shape[1]))
            began = time.perf_counter()
            draws = coupled.before(stack) if coupled else None
            for number, (block, to) in enumerate(zip(stack, out, strict=True), first):
                if blocks.stop.is_set():
                    return
                setting.kernel.advance(block, step, stops, to, setting.noise, bound=setting.bound, **setting.arguments)
                lanes = setting.lanes(number)
                blocks.done.append((lanes.stop - lanes.start) * (cut - step))
            if coupled and draws:
                coupled.follow(draws, step, cut, stack)
            steps = next_size(cut - step, (time.perf_counter() - began) / count)
            for m in range(recorded, upto):
                self._record(m, setting.lanes(first, last), out[:, m - recorded])
            step, recorded = cut, upto
            yield
        self._note(setting.lanes(first, last), stack.status, coupled)

    def _note(self, lanes: slice, status: NDArray[np.int64], coupled: CoupledBlocks | None) -> None:
        used = lanes.stop - lanes.start
        self.status[lanes] = status.ravel()[:used]
        if coupled and self.linear is not None and self.second is not None and self.ends is not None:
            found = ((self.linear, coupled.linear), (self.second, coupled.second), (self.ends, coupled.ends))
            for result, rows in found:
                result[:, :, lanes] = np.moveaxis(rows, 0, 2).reshape(*result.shape[:2], -1)[..., :used]

    def _coupled(self, count: int) -> CoupledBlocks | None:
        if self.control is None:
            return None
        return CoupledBlocks(
            self.control, self.setting.noise, self.setting.arguments, count, self.d, self.blocks.stop.is_set
        )

    def _record(self, m: int, lanes: slice, theta: Array) -> None:
        """Note theta of blocks after schedule[m] steps, flat rows in one row for each."""
        used = lanes.stop - lanes.start
        if self.settled is not None:
            settled = np.zeros((len(theta), LANES), dtype=np.bool_)
            for row, rests in zip(theta, settled, strict=True):
                self._settle(row, rests)
            self.settled[m, lanes] = settled.ravel()[:used]
        rows = theta.reshape(len(theta), len(self.setting.state), -1)[:, : self.d]
        self.points[m, :, lanes] = rows.swapaxes(0, 1).reshape(self.d, -1)[:, :used]

    def _settle(self, theta: Array, settled: NDArray[np.bool_]) -> None:
        """Put the replicas of a block where the noise-free iteration ends, and say whether it came to rest."""
        setting = self.setting
        setting.kernel.form.silence(theta, self.d)
        taken, steps = 0, 256
        while taken < _MAX_SETTLE_STEPS and not self.blocks.stop.is_set():
            began = time.perf_counter()
            now = setting.kernel.descend(theta, settled, setting.arguments["lr"], setting.scale, steps)
            taken += now
            if now < steps or settled.all():
                break
            # The clock may say where the descent is cut, but not where it ends.
            steps = next_size(now, time.perf_counter() - began) // 16 * 16 + 16
            steps = min(steps, _MAX_SETTLE_STEPS - taken)


def _checked_schedule(schedule: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    steps = np.array(schedule)
    if steps.ndim != 1 or not steps.size or steps.dtype.kind not in "iu":
        raise InvalidInput("schedule", f"={schedule} must be a list of whole numbers")
    if steps[0] < 0 or np.any(np.diff(steps.astype(np.int64)) <= 0):
        raise InvalidInput("schedule", f"={schedule} must increase, from 0 or more on")
    return steps.astype(np.int64)
