"""First and second moments over all steps and replicas, in memory that does not grow with the steps.

Sums are kept in the kernel, shifted by the start: a variance is not the difference of two large numbers. Replicas are
added up in a fixed order, so that the result does not depend on threads. A few replicas share their sums; where one of
them leaves its bounds, so that its part must not count, or does not exist, the block runs again with copies of one
replica in place of each few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput
from numpy.typing import NDArray

from .blocks import Blocks, Setting, next_size
from .kernel import Block, Kernel
from .lanes import LANES
from .memory import aligned

__all__ = ["Moments", "average"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Averages over steps and over the replicas that stayed in bounds.

    Attributes
    ----------
    mean : ndarray, shape (d,)
        Of theta.
    covariance : ndarray, shape (d, d) or (d,)
        Of theta about its mean; of more than 16 parameters the variances alone.
    count : int
        Steps times replicas that were averaged over.
    status : ndarray of int, shape (N,)
        -1, or the step at which the replica was first seen out of bounds.
    replica_steps : int
        Steps of all replicas, each counted once.
    seconds : float
        Wall time.
    """

    mean: Array
    covariance: Array
    count: int
    status: NDArray[np.int64]
    replica_steps: int
    seconds: float


def average(
    kernel: Kernel,
    algorithm: Algorithm,
    sigmas: Any,
    start: Any,
    replicas: int,
    steps: int,
    burn_in: int = 0,
    key: tuple[int, ...] = (),
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Moments:
    """Average theta and its products over steps burn_in..steps-1 of independent replicas.

    Parameters
    ----------
    kernel, algorithm, sigmas, start, replicas, key, seed, threads, on_progress, should_stop
        As in `simulate`, with the same replicas.
    steps : int
        Steps of each replica.
    burn_in : int
        Steps at the beginning that do not count.

    Raises
    ------
    InvalidInput
        When a value breaks a rule.
    """
    setting = Setting(kernel, algorithm, sigmas, start, replicas, tuple(key), seed)
    if not 0 <= burn_in < steps:
        raise InvalidInput("burn_in", f"={burn_in} must be at least 0 and below steps={steps}")
    blocks = Blocks(replicas, on_progress, should_stop)
    d, pairs = kernel.model.d, np.array(kernel.moment_pairs)
    totals = np.zeros((blocks.count, d + len(pairs)))
    status = np.empty(replicas, dtype=np.int64)
    began = time.perf_counter()

    def sums(block: Block, counted: int) -> Generator[None, None, Array]:
        """Run a block, call by call; returns its sums, shape (rows, columns). Its steps count for so many replicas."""
        columns = block.theta.size // len(setting.state)
        found, step, size = aligned(np.zeros(totals.shape[1] * columns)), 0, 1024
        while step < steps and not blocks.stop.is_set():
            end, unit = (steps, kernel.window) if step >= burn_in else (burn_in, setting.period)
            cut = min((step // unit + max(1, size // unit)) * unit, end)
            called = time.perf_counter()
            if step < burn_in:
                _advance(setting, block, step, cut)
            else:
                how = {"bound": setting.bound, **setting.arguments}
                kernel.accumulate(block, step, cut, found, setting.start, setting.noise, **how)
            size = next_size(cut - step, time.perf_counter() - called)
            blocks.done.append(counted * (cut - step))
            step = cut
            yield
        return found.reshape(-1, columns)

    def alone(number: int) -> Iterator[None]:
        """The sums of the replicas of a block that stayed, each of which shares them with copies of itself."""
        lanes, size = setting.lanes(number), LANES // kernel.sharing
        for first in range(lanes.start, lanes.stop, size):
            here = slice(first, min(first + size, lanes.stop))
            block = setting.block(number).repeated(first - lanes.start, size)
            rows = yield from sums(block, here.stop - first if lanes.stop - lanes.start < LANES else 0)
            status[here] = block.status[: here.stop - first]
            stayed = np.flatnonzero(status[here] < 0)
            totals[number] += rows.reshape(len(rows), -1, size).sum(axis=1)[:, stayed].sum(axis=1) / kernel.sharing

    def several(first: int, last: int) -> Iterator[None]:
        """Blocks first..last-1, one after the other."""
        for number, block in enumerate(setting.stack(first, last), first):
            yield from run(number, block)

    def run(number: int, block: Block) -> Iterator[None]:
        lanes = setting.lanes(number)
        used = lanes.stop - lanes.start
        if kernel.sharing == 1 or used == LANES:
            rows = yield from sums(block, used)
            status[lanes] = block.status[:used]
            stayed = np.flatnonzero(status[lanes] < 0)
            if kernel.sharing == 1 or len(stayed) in (0, used):
                totals[number] = rows[:, stayed].sum(axis=1)
                return
        yield from alone(number)

    setting.check_kernel_once()
    blocks.run(several, threads, setting.together(totals.shape[1]))
    count = int(np.sum(status < 0)) * (steps - burn_in)
    # Along the last axis NumPy adds in pairs, always the same ones.
    means = np.ascontiguousarray(totals.T).sum(axis=1) / max(count, 1)
    mean, second = means[:d], means[d:]
    products = second - mean[pairs[:, 0]] * mean[pairs[:, 1]]
    covariance = products
    if len(pairs) > d or d == 1:
        covariance = np.zeros((d, d))
        covariance[pairs[:, 0], pairs[:, 1]] = covariance[pairs[:, 1], pairs[:, 0]] = products
    seconds = time.perf_counter() - began
    return Moments(setting.start + mean, covariance, count, status, replicas * steps, seconds)


def _advance(setting: Setting, block: Any, step: int, cut: int) -> None:
    out = np.empty((1, len(block.theta)))
    schedule = np.array([cut], dtype=np.int64)
    setting.kernel.advance(block, step, schedule, out, setting.noise, bound=setting.bound, **setting.arguments)
