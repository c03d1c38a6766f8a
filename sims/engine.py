"""Run ensembles of replicas of label noise SGD on generated kernels.

The engine sees the model and the algorithm, never a prediction about them.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput, Model
from flatmin.theory.checks import real_array
from numpy.typing import NDArray

from .control import LinearControl
from .coupled import CoupledBlock
from .ensemble import Ensemble
from .kernel import BOUND, Kernel
from .kernel_random import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from .random import block_words
from .replay import check_kernel

__all__ = ["SimulationStopped", "simulate"]

Array = NDArray[np.float64]

_MAX_BYTES = 4 * 2**30  # of recorded points
_CALL_SECONDS = 0.2  # a compiled call cannot be interrupted
_MAX_SETTLE_STEPS = 2_000_000


class SimulationStopped(Exception):
    """`should_stop` said so before the simulation was complete."""


_checked: set[tuple[str, int, bool, int, int]] = set()


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
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Ensemble:
    """Simulate independent replicas of label noise SGD from one point.

    Parameters
    ----------
    kernel : Kernel
        The model.
    algorithm : Algorithm
        Learning rate, batch size, sampling and the law of the label noise.
    sigmas : array_like, shape (n,)
        Standard deviation of each sample's label noise, in place of the algorithm's.
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
        Record Phi(theta) in place of theta: where full-batch descent without label noise, with the same learning
        rate, ends. The run itself goes on from theta.
    control : LinearControl, optional
        Run the linear SGD of this control beside every replica, on the same draws.
    on_progress : callable, optional
        Called now and then with the number of replica-steps taken since the last call.
    should_stop : callable, optional
        Asked now and then; `SimulationStopped` is raised once it returns True.

    Returns
    -------
    Ensemble
        A replica out of bounds is noted there, and raises nothing.
    """
    run = _Run(kernel, algorithm, sigmas, start, replicas, schedule, tuple(key), seed, settle, control)
    began = time.perf_counter()
    run.execute(threads or _processors(), on_progress or (lambda _: None), should_stop or (lambda: False))
    return Ensemble(
        points=run.points,
        schedule=run.schedule,
        status=run.status,
        settled=run.settled,
        linear=run.linear,
        second=run.second,
        sigmas=run.sigmas,
        seed=seed,
        key=run.key,
        replica_steps=replicas * int(run.schedule[-1]),
        seconds=time.perf_counter() - began,
    )


class _Run:
    """One call of `simulate`: checked arguments, shared results, and what a thread does with a block."""

    def __init__(
        self,
        kernel: Kernel,
        algorithm: Algorithm,
        sigmas: Any,
        start: Any,
        replicas: int,
        schedule: Sequence[int] | NDArray[np.int64],
        key: tuple[int, ...],
        seed: int,
        settle: bool,
        control: LinearControl | None,
    ) -> None:
        model = kernel.model
        algorithm.check(model)
        self.kernel, self.key, self.seed, self.replicas = kernel, key, seed, replicas
        self.start = model.point(start)
        self.scale = 1.0 + float(np.max(np.abs(self.start)))
        self.sigmas = real_array("sigmas", sigmas, 1)
        if self.sigmas.shape != (model.n,) or np.min(self.sigmas) < 0:
            raise InvalidInput("sigmas", f"={sigmas} must be n={model.n} numbers that are not negative")
        self.schedule = _checked_schedule(schedule)
        if replicas < 1:
            raise InvalidInput("replicas", f"={replicas} must be at least 1")
        size = 8 * len(self.schedule) * model.d * replicas
        if size > _MAX_BYTES:
            raise InvalidInput(
                "replicas",
                f"={replicas} with {len(self.schedule)} recorded steps and {model.d} parameters need {size / 2**30:.1f}"
                f" GiB, more than {_MAX_BYTES / 2**30:.0f}; record fewer steps or use fewer replicas",
            )
        self.settle = settle
        self.arguments: dict[str, Any] = {
            "lr": algorithm.lr,
            "batch": algorithm.batch(model),
            "sampling": _sampling(algorithm, model),
            "law": GAUSSIAN if algorithm.noise.law == "gaussian" else RADEMACHER,
        }
        self.points = np.empty((len(self.schedule), model.d, replicas))
        self.status = np.empty(replicas, dtype=np.int64)
        self.settled = np.empty((len(self.schedule), replicas), dtype=np.bool_) if settle else None
        self.control = control
        marks = 0 if control is None else len(control.marks)
        self.linear = np.empty((marks, model.d, replicas)) if control else None
        self.second = np.empty((marks, model.d, replicas)) if control else None
        self.stop = threading.Event()
        self.done: list[int] = []  # replica-steps of each call; appending is atomic

    def execute(self, threads: int, on_progress: Callable[[int], None], should_stop: Callable[[], bool]) -> None:
        """Run all blocks; the calling thread reports progress and can be interrupted."""
        self._check_kernel_once()
        reported = 0
        with ThreadPoolExecutor(threads, thread_name_prefix="flatmin") as pool:
            try:
                pending: set[Future[None]] = {
                    pool.submit(self._run_block, block) for block in range(math.ceil(self.replicas / LANES))
                }
                while pending:
                    finished, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    for future in finished:
                        future.result()
                    calls = len(self.done)
                    if calls > reported:
                        on_progress(sum(self.done[reported:calls]))
                        reported = calls
                    if pending and should_stop():
                        raise SimulationStopped
            finally:
                self.stop.set()  # without an error there is nothing left to stop
                pool.shutdown(cancel_futures=True)

    def _check_kernel_once(self) -> None:
        batch, sampling, law = (int(self.arguments[k]) for k in ("batch", "sampling", "law"))
        # What decides which way a kernel takes.
        case = (self.kernel.source, self.kernel.model.n, batch == 1, sampling, law)
        if case not in _checked:
            check_kernel(self.kernel, self.start, batch, sampling, law)
            _checked.add(case)

    def _run_block(self, number: int) -> None:
        kernel, lanes = self.kernel, slice(number * LANES, min((number + 1) * LANES, self.replicas))
        used = lanes.stop - lanes.start
        block = kernel.block(self.start, block_words(self.seed, self.key, number, LANES))
        period = max(1, 64 // kernel.model.n)
        coupled = self._coupled()
        step, recorded, steps = 0, 0, 1024
        while recorded < len(self.schedule) and not self.stop.is_set():
            # A run may be cut where a new word of signs is due: there the bits of the result do not depend on it.
            cut = min((step // period + max(1, steps // period)) * period, int(self.schedule[-1]))
            if self.control is not None and step < (begin := self.control.segments[0].first) < cut:
                cut = begin
            upto = recorded + int(np.searchsorted(self.schedule[recorded:], cut, side="right"))
            stops = np.append(self.schedule[recorded:upto], cut)
            out = np.empty((len(stops), len(block.theta)))
            began = time.perf_counter()
            draws = coupled.before(block) if coupled else None
            kernel.advance(block, step, stops, out, self.sigmas, bound=BOUND * self.scale, **self.arguments)
            if coupled and draws:
                coupled.follow(draws, step, cut, block)
            steps = _next_size(cut - step, time.perf_counter() - began)
            for m in range(recorded, upto):
                self._record(m, lanes, out[m - recorded])
            self.done.append(used * (cut - step))
            step, recorded = cut, upto
        self.status[lanes] = block.status[:used]
        if coupled and self.linear is not None and self.second is not None:
            self.linear[:, :, lanes], self.second[:, :, lanes] = (
                coupled.linear[:, :, :used],
                coupled.second[:, :, :used],
            )

    def _coupled(self) -> CoupledBlock | None:
        if self.control is None:
            return None
        shape = (len(self.control.marks), self.kernel.model.d, LANES)
        return CoupledBlock(self.control, self.sigmas, self.arguments, np.zeros(shape), np.zeros(shape))

    def _record(self, m: int, lanes: slice, theta: Array) -> None:
        used = lanes.stop - lanes.start
        if self.settled is not None:
            settled = np.zeros(LANES, dtype=np.bool_)
            taken, steps = 0, 256
            while taken < _MAX_SETTLE_STEPS and not self.stop.is_set():
                began = time.perf_counter()
                now = self.kernel.descend(theta, settled, self.arguments["lr"], self.scale, steps)
                taken += now
                if now < steps:
                    break
                steps = _next_size(now, time.perf_counter() - began) // 16 * 16 + 16
            self.settled[m, lanes] = settled[:used]
        self.points[m, :, lanes] = theta.reshape(-1, LANES)[:, :used]


def _next_size(steps: int, seconds: float) -> int:
    """Steps of the next call, so that it takes `_CALL_SECONDS`; growth is limited, because short times are noisy."""
    return max(1, int(steps * min(8.0, _CALL_SECONDS / max(seconds, 1e-9))))


def _sampling(algorithm: Algorithm, model: Model) -> int:
    if algorithm.batch_size == "full" or model.n == 1 == algorithm.batch(model):
        return FULL  # with one sample and one draw every sampling has the law of the full batch
    return WITH_REPLACEMENT if algorithm.sampling == "with-replacement" else WITHOUT_REPLACEMENT


def _checked_schedule(schedule: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    steps = np.array(schedule)
    if steps.ndim != 1 or not steps.size or steps.dtype.kind not in "iu":
        raise InvalidInput("schedule", f"={schedule} must be a list of whole numbers")
    if steps[0] < 0 or np.any(np.diff(steps.astype(np.int64)) <= 0):
        raise InvalidInput("schedule", f"={schedule} must increase, from 0 or more on")
    return steps.astype(np.int64)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
