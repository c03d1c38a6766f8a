"""A second implementation of the kernels' draws and steps, in NumPy, to check each kernel before it is used.

Nothing here is fast, and nothing but the layout of the random numbers is shared with the generated text: gradients
come from `Model.samples`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, Model
from flatmin.theory.noise import LabelNoise
from numpy.typing import NDArray

from .binomial import halves, noise_tables
from .kernel import Kernel
from .lanes import FULL, GAUSSIAN, LANES, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from .random import block_words
from .replay_rule import Iteration

__all__ = ["KernelMismatch", "Stream", "batches", "check_kernel", "draws", "kernel_noise", "replay"]

Array = NDArray[np.float64]
Words = NDArray[np.uint64]

# How often the learning rate of a comparison is divided by four where paths part by themselves.
_QUARTERS = 6


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

    def next(self, where: NDArray[np.bool_] | None = None) -> Words:
        """The next word of each lane, or of those named; the others' streams stay."""
        a, b, c, d = self.state
        word = _rotated(a + d, 23) + a
        t = b << np.uint64(17)
        c = c ^ a
        d = d ^ b
        after = [a ^ d, b ^ c, c ^ t, _rotated(d, 45)]
        if where is not None:
            after = [np.where(where, new, old) for new, old in zip(after, self.state, strict=True)]
            word = np.where(where, word, self.last)
        self.state, self.last = after, word
        return word

    def binomial(self, trials: Array, tables: Array, heads: int) -> Array:
        """Binomial(trials, p) for each lane, from tables of `noise_tables`."""
        total = np.zeros(len(trials))
        for k in range(int(trials.max(initial=0)).bit_length()):
            where = (trials.astype(np.int64) >> k) & 1 == 1
            begin, width, first = tables[heads + 3 * k : heads + 3 * k + 3]
            word = self.next(where)
            column = ((word >> np.uint64(32)) * np.uint64(width)) >> np.uint64(32)
            columns = tables[int(begin) : int(begin) + 2 * int(width)].reshape(-1, 2)[column.astype(np.int64)]
            own = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) < columns[:, 0]
            total += np.where(where, first + np.where(own, column, columns[:, 1]), 0.0)
        return total

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
            if sampling == WITH_REPLACEMENT and law != GAUSSIAN:
                turn = (b if batch > 1 else t) % 2
                word = stream.last if turn else stream.next()
                half = word & np.uint64(0xFFFFFFFF) if turn else word >> np.uint64(32)
                code = (half * np.uint64(2 * n)) >> np.uint64(32)
                index[b], noise[b] = (code >> np.uint64(1)).astype(np.int64), _signs(code, 0)
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


def kernel_noise(model: Model, algorithm: Algorithm) -> Array:
    """What a kernel is told about flips or gradient noise."""
    flips, batch = algorithm.flips(model), algorithm.batch(model)
    if flips is not None:
        return noise_tables(model.n, batch, flip=flips.flip, others=max(model.outputs - 1, 1))
    return noise_tables(model.n, batch, amplitude=float(np.sqrt(algorithm.strength(model) / algorithm.lr)))


def batches(
    words: Words, model: Model, algorithm: Algorithm, sampling: int, steps: int
) -> Iterator[tuple[Array, Array, Array]]:
    """For each step of flips or gradient noise: counts, shape (n, lanes), flips of each sample or how many of its draws
    have each class, shape (n outputs, lanes), and normals, shape (d, lanes)."""
    stream, lanes, n, batch = Stream(words), np.arange(words.shape[1]), model.n, algorithm.batch(model)
    order = np.repeat(np.arange(n)[:, None], len(lanes), axis=1)
    tables = kernel_noise(model, algorithm)
    others = max(model.outputs - 1, 1)
    sizes = sorted({(m - a) / (b - a) for a, m, b in [*halves(n), *halves(others)]})
    heads = {p: 3 + 3 * batch.bit_length() * (1 + k) for k, p in enumerate(sizes)}

    def split(rows: Array) -> None:
        for first, middle, last in halves(len(rows)):
            left = stream.binomial(rows[first], tables, heads[(middle - first) / (last - first)])
            rows[middle] = rows[first] - left
            rows[first] = left

    for _ in range(steps):
        count = np.zeros((n, len(lanes)))
        if sampling == FULL:
            count += batch // n
        elif sampling == WITHOUT_REPLACEMENT:
            for b in range(batch):
                other = b + (((stream.next() >> np.uint64(32)) * np.uint64(n - b)) >> np.uint64(32)).astype(np.int64)
                chosen = order[other, lanes]
                order[other, lanes] = order[b, lanes]
                order[b, lanes] = chosen
                count[chosen, lanes] += 1
        else:
            count[0] = batch
            split(count)
        flips, normals = np.zeros((n, model.outputs, len(lanes))), np.zeros((model.d, len(lanes)))
        if algorithm.noise.kind == "flip":
            for i in range(n):
                becomes = np.zeros((others, len(lanes)))
                becomes[0] = flipped = stream.binomial(count[i], tables, 3)
                split(becomes)
                flips[i] = becomes if model.outputs == 1 else np.insert(becomes, int(model.y[i]), count[i] - flipped, 0)
        else:
            for j in range(model.d):
                normals[j] = stream.normal()
        yield count, flips.reshape(-1, len(lanes)), normals


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
    algorithm: Algorithm | None = None,
) -> Array:
    """theta after each step, shape (steps, d, lanes), for the draws of the given streams.

    `algorithm` is plain SGD with label noise where it is not given; label noise has the given sigmas.
    """
    algorithm = algorithm or Algorithm(lr=lr, batch_size=batch, noise=LabelNoise(0.0))
    lane = np.arange(words.shape[1])
    iteration = Iteration(model, algorithm, np.repeat(start[None, :], len(lane), axis=0))
    path = np.empty((steps, model.d, len(lane)))
    if algorithm.noise.kind == "label":
        for t, (index, eps) in enumerate(draws(words, model.n, batch, sampling, law, steps)):
            count, noise = np.zeros((model.n, len(lane))), np.zeros((model.n, len(lane)))
            for i, e in zip(index, eps, strict=True):
                count[i, lane] += 1
                noise[i, lane] += sigmas[i] * e
            path[t] = iteration.step(count, noise, np.zeros((model.d, len(lane)))).T
        return path
    for t, drawn in enumerate(batches(words, model, algorithm, sampling, steps)):
        path[t] = iteration.step(*drawn).T
    return path


def check_kernel(
    kernel: Kernel, start: Array, batch: int, sampling: int, law: int, algorithm: Algorithm | None = None
) -> None:
    """Compare a kernel with its replay over a few steps from `start`, with label noise.

    The learning rate is a tenth of the inverse of the largest |grad f_i|^2, so that differences do not grow: what
    rounding can do in so few steps is some thousand ulp of the largest parameter, about 1e-12 of it. A wrong sign,
    index or derivative changes theta by lr * sigma * |grad f_i|. The tolerance lies between, nearer to the former.
    Where differences grow all the same, smaller ones are taken (what is wrong at large parameters alone is then not
    seen); in the end that at the last step may be what a nudge of the start grows to.

    Raises
    ------
    KernelMismatch
        When they differ by more.
    """
    model = kernel.model
    # Beyond the first look for replicas out of bounds, where one pass of a kernel ends and the next begins.
    steps = max(13, 64 // model.n + 3) if model.n <= 64 else 3
    lanes = max(1, min(LANES, 2_000_000 // (model.n * model.d)))
    counted = algorithm is not None and algorithm.noise.kind != "label"
    batch = batch if sampling == FULL else min(batch, 1000 if counted else 5)
    squares = np.sum(model.samples.jacobian(start) ** 2, axis=-1)
    lr = 0.1 / float(np.max(squares, initial=1e-300))
    # Off the zero-loss set, so that every term counts.
    scale = 0.1 * float(np.sqrt(np.max(squares))) * (1 + float(np.max(np.abs(start))))
    if algorithm is not None:
        lr = min(lr, algorithm.lr)
        algorithm = replace(algorithm, lr=lr, batch_size="full" if sampling == FULL else batch)
    arguments: dict[str, Any] = {"lr": lr, "batch": batch, "sampling": sampling, "law": law}
    # Kernels take another way where all sigmas are equal.
    for sigmas in (scale * np.linspace(1.0, 2.0, model.n), np.full(model.n, scale))[: 2 if model.n > 1 else 1]:
        _compare(kernel, start, sigmas, steps, lanes, arguments, algorithm, _QUARTERS)
        if counted:
            break


def _distances(one: Array, other: Array) -> Array:
    """The largest distance at each recorded step; infinite where one is finite and the other is not."""
    finite = np.isfinite(one), np.isfinite(other)
    with np.errstate(invalid="ignore"):
        away = np.where(finite[0] & finite[1], np.abs(one - other), np.where(finite[0] == finite[1], 0.0, np.inf))
    return np.asarray(away.reshape(len(one), -1).max(axis=1))


def _compare(
    kernel: Kernel,
    start: Array,
    sigmas: Array,
    steps: int,
    lanes: int,
    arguments: dict[str, Any],
    algorithm: Algorithm | None,
    quarters: int,
) -> None:
    model = kernel.model
    words = block_words(0, (), 0, LANES)
    schedule = np.array([1, 2, steps], dtype=np.int64)
    whole = start if algorithm is None else kernel.form.state(start, algorithm, model)
    state = kernel.block(whole, words)
    out = np.empty((len(schedule), len(whole) * LANES))
    noise = sigmas if kernel.form.noise == "label" or algorithm is None else kernel_noise(model, algorithm)
    kernel.advance(state, 0, schedule, out, noise, bound=np.inf, **arguments)
    got = out.reshape(len(schedule), len(whole), LANES)[:, : model.d, :lanes]

    def replayed(begin: Array) -> Array:
        path = replay(model, begin, words[:, :lanes], sigmas, steps=steps, algorithm=algorithm, **arguments)
        return path[schedule - 1]

    path = replayed(start)
    tolerance = 1e-9 * (1 + float(np.max(np.abs(path), initial=0.0, where=np.isfinite(path))))
    errors = _distances(got, path)
    wrong = errors > tolerance
    if wrong[2:].any() and not wrong[:2].any():
        # Where paths part by themselves, as from a start where grad f is small, a last bit grows as a nudge does.
        nudge = 1e-12 * (1 + np.abs(start))
        grown = _distances(replayed(start + nudge), path)
        if quarters and grown[-1] > 100 * float(np.max(nudge)):
            lr = arguments["lr"] / 4
            slower = None if algorithm is None else replace(algorithm, lr=lr)
            _compare(kernel, start, sigmas, steps, lanes, {**arguments, "lr": lr}, slower, quarters - 1)
            return
        wrong &= errors > grown
    if wrong.any():
        raise KernelMismatch(
            f"the kernel generated for {model} differs from its replay by {errors.max():.3g}"
            f" (tolerance {tolerance:.3g}); {arguments}; please report this model"
        )
