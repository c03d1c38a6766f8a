"""Runs of a two-layer network with flipped labels: two bad starts, training, and what is measured along it.

Problem: `flatmin.theory.network`, n samples in batches of B, labels flipped to a random other class with probability p.
Slow time: tau = eta lambda k/(1-beta) = (eta/(1-beta))^2 k/B, in which the theory's flow along the zero-loss set does
not depend on eta, B and beta while eta h is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from flatmin.theory.errors import NotApplicable
from flatmin.theory.network import NetworkProblem, accuracy
from flatmin.theory.network_geometry import NetworkGeometry, to_optimum
from numpy.typing import NDArray

from ..extras import load
from .network_data import Split
from .network_kernel import compiled

__all__ = ["Training", "adversarial_start", "descend", "full_batch_start", "measure", "one_blas_thread", "train"]

Array = NDArray[np.float64]
Record = dict[str, Any]
Stop = Callable[[], bool]

_CHUNK = 1000


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    lr : float
        eta.
    batch : int
        B, drawn with replacement.
    momentum : float
        beta.
    flips : bool
        Whether drawn labels are flipped; otherwise every step takes their mean, so that the loss is the same.
    """

    lr: float
    batch: int
    momentum: float = 0.0
    flips: bool = True

    @property
    def slow_step(self) -> float:
        """Slow time of a step."""
        return (self.lr / (1 - self.momentum)) ** 2 / self.batch

    @property
    def regularizer_step(self) -> float:
        """eta/(1+beta), which stands for eta in R."""
        return self.lr / (1 + self.momentum)


class _State:
    """W1, W2 and their pushes in single precision, and the kernel that moves them."""

    def __init__(self, problem: NetworkProblem, theta: Array, double: bool = False) -> None:
        self.problem, self.kernel = problem, compiled(double)
        self.precision: Any = np.float64 if double else np.float32
        self.weights = self._arrays(theta)
        self.pushes = self._arrays(np.zeros(problem.d))
        self.force = self._arrays(np.zeros(problem.d))
        self.x = problem.x.astype(self.precision)

    def _arrays(self, theta: Array) -> list[Any]:
        return [np.array(part, dtype=self.precision, order="C") for part in self.problem.split(theta)]

    def push(self, force: Array) -> None:
        """Add `force` to the gradient from now on."""
        self.force = self._arrays(force)

    def move(self, chosen: Any, labels: Any, targets: Array, lr: float, momentum: float = 0.0) -> None:
        """The steps of `network_kernel.steps`."""
        law, rate, beta = targets.astype(self.precision), self.precision(lr), self.precision(momentum)
        self.kernel(self.x, chosen, labels, law, *self.weights, *self.pushes, *self.force, rate, beta)

    @property
    def theta(self) -> Array:
        """Shape (d,)."""
        return np.concatenate([part.ravel() for part in self.weights]).astype(np.float64)


def train(
    problem: NetworkProblem,
    theta: Array,
    training: Training,
    stops: Sequence[int],
    rng: np.random.Generator,
    should_stop: Stop = lambda: False,
    double: bool = False,
) -> Iterator[tuple[int, Array]]:
    """Train from theta and give (k, theta_k) after each number of steps in `stops`.

    Parameters
    ----------
    problem : NetworkProblem
    theta : ndarray, shape (d,)
    training : Training
    stops : sequence of int
        Increasing.
    rng : Generator
        Draws batches and flips.
    should_stop : callable
        Asked every 1000 steps; raises `KeyboardInterrupt` when it says so.
    double : bool
        Train in double precision.
    """
    state, k = _State(problem, theta, double), 0
    targets = np.eye(problem.classes) if training.flips else problem.laws
    for stop in stops:
        while k < stop:
            if should_stop():
                raise KeyboardInterrupt
            count = min(_CHUNK, stop - k)
            chosen = rng.integers(problem.n, size=(count, training.batch))
            labels = problem.y[chosen]
            if training.flips:
                flipped = rng.random(labels.shape) < problem.flip
                others = (labels + rng.integers(1, problem.classes, size=labels.shape)) % problem.classes
                labels = np.where(flipped, others, labels)
            state.move(chosen, labels, targets, training.lr, training.momentum)
            k += count
        yield k, state.theta


def descend(
    problem: NetworkProblem,
    theta: Array,
    lr: float,
    stops: Sequence[int],
    strength: float = 0.0,
    step: float | None = None,
    *,
    refresh: float = 0.125,
    should_stop: Stop = lambda: False,
) -> Iterator[tuple[int, Array]]:
    """Gradient descent on L + strength R at all samples; gives (k, theta_k) after each number in `stops`.

    R is that of learning rate `step`, lr by default; tr(H)/4 for 0.
    Grad R moves with the slow time: it is computed anew whenever k has grown by the share `refresh`, and every 50
    steps at first.
    """
    state, k, due = _State(problem, theta), 0, 0
    everything = np.arange(problem.n)
    for stop in stops:
        while k < stop:
            if should_stop():
                raise KeyboardInterrupt
            if strength and k >= due:
                state.push(
                    strength * NetworkGeometry(problem, state.theta).regularizer_gradient(lr if step is None else step)
                )
                due = k + max(50, int(refresh * k))
            count = min(_CHUNK, stop - k, due - k if strength else _CHUNK)
            chosen = np.tile(everything, (count, 1))
            state.move(chosen, problem.y[chosen], problem.laws, lr)
            k += count
        yield k, state.theta


def full_batch_start(problem: NetworkProblem, rng: np.random.Generator) -> Array:
    """A zero-loss point of gradient descent from weights drawn large: three times 1/sqrt(|x|^2) and 8/sqrt(m)."""
    drawn = _drawn(problem, rng, first=3.0, second=8.0)
    *_, (_, theta) = descend(problem, drawn, 0.03, [1500])
    return to_optimum(problem, theta)


def adversarial_start(problem: NetworkProblem, rng: np.random.Generator) -> Array:
    """A zero-loss point reached from a network that had learned random labels of corrupted copies.

    Three copies of each sample, a fifth of the entries of each set to zero, with random classes, are learned first.

    References
    ----------
    Liu, Papailiopoulos, Achlioptas, *Bad global minima exist and SGD can reach them* (NeurIPS 2020).
    """
    copies = np.tile(problem.x[:, :-1], (3, 1))
    copies *= rng.random(copies.shape) > 0.2
    labels = rng.integers(problem.classes, size=len(copies))
    corrupted = NetworkProblem(copies, labels, problem.hidden, problem.flip, problem.classes)
    theta = _drawn(problem, rng, first=1.0, second=2.0)
    fit = _State(corrupted, theta)
    for _ in range(20):
        chosen = rng.integers(corrupted.n, size=(_CHUNK, 64))
        fit.move(chosen, labels[chosen], np.eye(problem.classes), 0.1)
    *_, (_, theta) = descend(problem, fit.theta, 0.05, [1500])
    return to_optimum(problem, theta)


def _drawn(problem: NetworkProblem, rng: np.random.Generator, first: float, second: float) -> Array:
    shapes = problem.shapes
    one = first / 8 * np.sqrt(64 / (shapes[0][0] - 1)) * rng.normal(size=shapes[0])
    two = second / np.sqrt(problem.hidden) * rng.normal(size=shapes[1])
    one[-1], two[-1] = 0.0, 0.0
    return np.concatenate([one.ravel(), two.ravel()])


def measure(problem: NetworkProblem, theta: Array, split: Split, step: float) -> Record:
    """What is recorded of a point: test accuracy, L, tr H, the top eigenvalue, R at `step` (None where it is none)."""
    geometry = NetworkGeometry(problem, theta)
    try:
        regularizer = geometry.regularizer(step)
    except NotApplicable:
        regularizer = None
    return {
        "accuracy": accuracy(*problem.split(theta), split.test_x, split.test_y),
        "loss": problem.loss(theta),
        "trace": geometry.trace,
        "largest": geometry.largest,
        "R": regularizer,
    }


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products of matrices take one thread each: runs go side by side, and results do not depend on how many."""
    with load("experiments", "an experiment", "threadpoolctl").threadpool_limits(1, user_api="blas"):
        yield
