"""A second implementation of the kernels' draws and steps, in NumPy, to check each kernel before it is used.

Nothing here is fast, and nothing but the layout of the random numbers is shared with the generated text: gradients
come from `Model.samples`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flatmin.theory import Model
from numpy.typing import NDArray

from .kernel import Kernel
from .kernel_random import FULL, GAUSSIAN, LANES, WITHOUT_REPLACEMENT
from .random import block_words

__all__ = ["KernelMismatch", "Stream", "check_kernel", "draws", "replay"]

Array = NDArray[np.float64]
Words = NDArray[np.uint64]


class KernelMismatch(RuntimeError):
    """A generated kernel and its replay in NumPy disagree: the kernel must not be used."""


class Stream:
    """One xoshiro256++ stream per lane.

    Parameters
    ----------
    words : ndarray of uint64, shape (4, lanes)
        The state.
    """

    def __init__(self, words: Words) -> None:
        self.state = [row.copy() for row in words]
        self.last = np.zeros_like(words[0])

    def next(self) -> Words:
        """The next word of each lane."""
        a, b, c, d = self.state
        self.last = _rotated(a + d, 23) + a
        t = b << np.uint64(17)
        c = c ^ a
        d = d ^ b
        self.state = [a ^ d, b ^ c, c ^ t, _rotated(d, 45)]
        return self.last

    def normal(self) -> Array:
        """A standard normal for each lane, from two words."""
        u = ((self.next() >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
        v = (self.next() >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)


def _rotated(word: Words, by: int) -> Words:
    return (word << np.uint64(by)) | (word >> np.uint64(64 - by))


def _signs(word: Words, bit: int) -> Array:
    return 1.0 - 2.0 * ((word >> np.uint64(bit)) & np.uint64(1)).astype(np.float64)


def draws(
    words: Words, n: int, batch: int, sampling: int, law: int, steps: int
) -> Iterator[tuple[NDArray[np.int64], Array]]:
    """For each step: the drawn indices and the noise in units of sigma, both of shape (B, lanes)."""
    stream, lanes = Stream(words), np.arange(words.shape[1])
    order = np.repeat(np.arange(n)[:, None], len(lanes), axis=1)
    for t in range(steps):
        index = np.empty((batch, len(lanes)), dtype=np.int64)
        noise = np.empty((batch, len(lanes)))
        for b in range(batch):
            if sampling == FULL:
                index[b] = b
                position = t % max(1, 64 // n) * n + b
                if law != GAUSSIAN and position % 64 == 0:
                    stream.next()
                noise[b] = stream.normal() if law == GAUSSIAN else _signs(stream.last, position % 64)
                continue
            word = stream.next()
            first = b if sampling == WITHOUT_REPLACEMENT else 0
            index[b] = first + (((word >> np.uint64(32)) * np.uint64(n - first)) >> np.uint64(32)).astype(np.int64)
            if sampling == WITHOUT_REPLACEMENT:
                chosen = order[index[b], lanes]
                order[index[b], lanes] = order[b, lanes]
                order[b, lanes] = index[b] = chosen
            noise[b] = stream.normal() if law == GAUSSIAN else _signs(word, 0)
        yield index, noise


def replay(
    model: Model,
    start: Array,
    words: Words,
    sigmas: Array,
    *,
    lr: float,
    batch: int,
    sampling: int,
    law: int,
    steps: int,
) -> Array:
    """theta after each step, shape (steps, d, lanes), for the draws of the given streams."""
    theta = np.repeat(start[None, :], words.shape[1], axis=0)
    lane = np.arange(words.shape[1])
    path = np.empty((steps, model.d, len(lane)))
    for t, (index, noise) in enumerate(draws(words, model.n, batch, sampling, law, steps)):
        residual, jacobian = model.residuals(theta), model.samples.jacobian(theta)
        total = np.zeros_like(theta)
        for i, eps in zip(index, noise, strict=True):
            total += (residual[lane, i] - sigmas[i] * eps)[:, None] * jacobian[lane, i]
        theta = theta - lr / batch * total
        path[t] = theta.T
    return path


def check_kernel(kernel: Kernel, start: Array, batch: int, sampling: int, law: int) -> None:
    """Compare a kernel with its replay over a few steps from `start`, with label noise.

    The learning rate is a tenth of the inverse of the largest |grad f_i|^2, so that differences do not grow: what
    rounding can do in 13 steps is some thousand ulp of the largest parameter, about 1e-12 of it. A wrong sign, index
    or derivative changes theta by lr * sigma * |grad f_i|. The tolerance lies between, nearer to the former.

    Raises
    ------
    KernelMismatch
        When they differ by more.
    """
    model = kernel.model
    steps = 13 if model.n <= 64 else 3
    lanes = max(1, min(LANES, 2_000_000 // (model.n * model.d)))
    batch = batch if sampling == FULL else min(batch, 5)
    squares = np.sum(model.samples.jacobian(start) ** 2, axis=-1)
    lr = 0.1 / float(np.max(squares, initial=1e-300))
    # Off the zero-loss set, so that every term counts.
    scale = 0.1 * float(np.sqrt(np.max(squares))) * (1 + float(np.max(np.abs(start))))
    arguments: dict[str, Any] = {"lr": lr, "batch": batch, "sampling": sampling, "law": law}
    # Kernels take another way where all sigmas are equal.
    for sigmas in (scale * np.linspace(1.0, 2.0, model.n), np.full(model.n, scale))[: 2 if model.n > 1 else 1]:
        _compare(kernel, start, sigmas, steps, lanes, arguments)


def _compare(kernel: Kernel, start: Array, sigmas: Array, steps: int, lanes: int, arguments: dict[str, Any]) -> None:
    model = kernel.model
    words = block_words(0, (), 0, LANES)
    schedule = np.array([1, 2, steps], dtype=np.int64)
    state = kernel.block(start, words)
    out = np.empty((len(schedule), model.d * LANES))
    kernel.advance(state, 0, schedule, out, sigmas, bound=np.inf, **arguments)
    got = out.reshape(len(schedule), model.d, LANES)[:, :, :lanes]
    path = replay(model, start, words[:, :lanes], sigmas, steps=steps, **arguments)[schedule - 1]
    error = float(np.max(np.abs(got - path), initial=0.0, where=np.isfinite(path)))
    tolerance = 1e-9 * (1 + float(np.max(np.abs(path), initial=0.0, where=np.isfinite(path))))
    if not error <= tolerance or not np.array_equal(np.isfinite(got), np.isfinite(path)):
        raise KernelMismatch(
            f"the kernel generated for {model} differs from its replay by {error:.3g} (tolerance {tolerance:.3g});"
            f" {arguments}; please report this model"
        )
