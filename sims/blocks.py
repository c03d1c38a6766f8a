"""Blocks of replicas on a pool of threads, and what every kind of run checks first."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput
from flatmin.theory.checks import real_array
from numpy.typing import NDArray

from .kernel import BOUND, Block, Kernel, Stack
from .kernel_ways import way_of
from .lanes import LANES
from .random import block_words
from .replay import check_kernel, kernel_noise

__all__ = ["Blocks", "Setting", "SimulationStopped", "next_size", "processors"]

Array = NDArray[np.float64]

# Blocks that are handled together, so that short runs are not all Python, and bytes that they may need meanwhile.
_MOST_TOGETHER, _TOGETHER_BYTES = 16, 4 * 2**20
_CALL_SECONDS = 0.2  # a compiled call cannot be interrupted


class SimulationStopped(Exception):
    """`should_stop` said so before the simulation was complete."""


_checked: set[tuple[str, int, bool, int, int]] = set()


class Setting:
    """Checked arguments of a run: what is simulated, from where, with which random numbers.

    Raises
    ------
    InvalidInput
        When a value breaks a rule.
    """

    def __init__(
        self,
        kernel: Kernel,
        algorithm: Algorithm,
        sigmas: Any,
        start: Any,
        replicas: int,
        key: tuple[int, ...],
        seed: int,
        first: int = 0,
    ) -> None:
        model = kernel.model
        algorithm.check(model)
        if not kernel.serves(algorithm):
            raise InvalidInput("kernel", f"={kernel.form} does not run {algorithm}; use Kernel.for_algorithm")
        if first < 0 or first % LANES:
            raise InvalidInput("first", f"={first} must be a multiple of {LANES}, at least 0")
        self.first = first
        self.kernel, self.key, self.seed, self.replicas = kernel, key, seed, replicas
        self.start = model.point(start)
        self.scale = 1.0 + float(np.max(np.abs(self.start)))
        self.algorithm = algorithm
        self.sigmas = algorithm.sigmas(model) if sigmas is None else real_array("sigmas", sigmas, 1)
        if self.sigmas.shape != (model.n,) or np.min(self.sigmas) < 0:
            raise InvalidInput("sigmas", f"={sigmas} must be n={model.n} numbers that are not negative")
        # What the kernel is told about the noise.
        self.noise = self.sigmas if kernel.form.noise == "label" else kernel_noise(model, algorithm)
        if kernel.form.noise == "label" and algorithm.batch_size == "full" and algorithm.repeats > 1:
            raise InvalidInput("algorithm.repeats", f"={algorithm.repeats} must be 1 with label noise")
        self.state = kernel.form.state(self.start, algorithm, model)
        if replicas < 1:
            raise InvalidInput("replicas", f"={replicas} must be at least 1")
        self.arguments: dict[str, Any] = {
            "lr": algorithm.lr,
            "batch": algorithm.batch(model),
            **way_of(algorithm, model)._asdict(),
        }

    def turn_signs(self) -> None:
        """Turn the sign of all label or gradient noise."""
        if self.kernel.form.noise == "flip":
            raise InvalidInput("antithetic", "=True: label flips have no sign that can be turned")
        self.noise = self.noise.copy()
        # Of the numbers for gradient noise the first is its size.
        self.noise[: None if self.kernel.form.noise == "label" else 1] *= -1.0

    @cached_property
    def bound(self) -> float:
        """abs(theta_j) at which a replica is out of bounds."""
        constants = self.state[self.kernel.form.width(self.kernel.model.d) :]
        return BOUND * (self.scale + float(np.max(np.abs(constants), initial=0.0)))

    @property
    def period(self) -> int:
        """Steps after a multiple of which a run may be cut."""
        return self.kernel.period

    def block(self, number: int) -> Block:
        """The replicas first + number * LANES and on, at the start."""
        return next(iter(self.stack(number, number + 1)))

    def stack(self, number: int, end: int) -> Stack:
        """Blocks number..end-1, at the start."""
        words = block_words(self.seed, self.key, self.first // LANES + number, LANES, end - number)
        lanes = self.lanes(number, end)
        return self.kernel.stack(self.state, words, lanes.stop - lanes.start)

    def together(self, numbers: int) -> int:
        """Blocks to handle together where each replica has so many numbers; one if replicas are run one by one."""
        fitting = _TOGETHER_BYTES // (8 * LANES * numbers)
        return 1 if self.kernel.one_by_one else max(1, min(_MOST_TOGETHER, fitting))

    def lanes(self, number: int, end: int | None = None) -> slice:
        """The replicas of a block, or of blocks number..end-1."""
        return slice(number * LANES, min((end or number + 1) * LANES, self.replicas))

    def check_kernel_once(self) -> None:
        """Compare the kernel with its replay, when this way through it is taken for the first time."""
        form = self.kernel.form
        batch, sampling, law = (int(self.arguments[k]) for k in ("batch", "sampling", "law"))
        # What decides which way a kernel takes.
        case = (self.kernel.source, self.kernel.model.n, batch == 1, sampling, law)
        if case not in _checked:
            check_kernel(self.kernel, self.start, batch, sampling, law, None if form.plain else self.algorithm)
            _checked.add(case)


class Blocks:
    """Runs a function on all blocks of replicas, a few at a time.

    Parameters
    ----------
    replicas : int
    on_progress, should_stop : callable or None
        As in `simulate`.
    """

    def __init__(
        self, replicas: int, on_progress: Callable[[int], None] | None, should_stop: Callable[[], bool] | None
    ) -> None:
        self.count = math.ceil(replicas / LANES)
        self.on_progress = on_progress or (lambda _: None)
        self.should_stop = should_stop or (lambda: False)
        self.stop = threading.Event()
        self.done: list[int] = []  # replica-steps of each call; appending is atomic

    def run(self, function: Callable[[int, int], Iterator[None]], threads: int | None, most: int = 1) -> None:
        """Run `function` on blocks first..last-1, at most `most` at a time; it yields whenever another may go on.

        The calling thread reports progress and can be interrupted.
        """
        reported, threads = 0, threads or processors()
        # Some tasks for each thread, so that none waits long for the last, and not one for each of many short blocks.
        size = math.ceil(self.count / (16 * threads))

        def several(first: int) -> Iterator[None]:
            last = min(first + size, self.count)
            for begin in range(first, last, most):
                yield from function(begin, min(begin + most, last))

        waiting = deque(several(first) for first in range(0, self.count, size))
        with ThreadPoolExecutor(threads, thread_name_prefix="flatmin") as pool:
            try:
                pending = {pool.submit(self._work, waiting, threads) for _ in range(min(threads, len(waiting)))}
                while pending:
                    finished, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    for future in finished:
                        future.result()
                    calls = len(self.done)
                    if calls > reported:
                        self.on_progress(sum(self.done[reported:calls]))
                        reported = calls
                    if pending and self.should_stop():
                        raise SimulationStopped
            finally:
                self.stop.set()  # without an error there is nothing left to stop
                pool.shutdown(cancel_futures=True)

    def _work(self, waiting: deque[Iterator[None]], threads: int) -> None:
        """What a thread does: the tasks that wait, one after the other, and the last few in turns.

        Else three long tasks would take two threads as long as four.
        """
        while not self.stop.is_set():
            try:
                task = waiting.popleft()
            except IndexError:
                return
            for _ in task:
                if self.stop.is_set():
                    return
                if 0 < len(waiting) < threads:
                    waiting.append(task)
                    break


def next_size(steps: int, seconds: float) -> int:
    """Steps of the next call, so that it takes `_CALL_SECONDS`; growth is limited, because short times are noisy."""
    return max(1, int(steps * min(8.0, _CALL_SECONDS / max(seconds, 1e-9))))


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
