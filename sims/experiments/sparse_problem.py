"""Sparse regression through squares: data, models, the minimizers that label noise may go to, and one training run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, IndexedModel, LabelNoise
from numpy.typing import NDArray
from scipy.optimize import linprog

from ..cache import load_module
from ..engine import simulate
from ..kernel import Kernel
from .isotropic import KERNEL, isotropic_sgd

__all__ = ["Problem", "Training", "compile_kernels"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """y_i = <beta*, x_i> with normal x_i, and a model of squares for it.

    Attributes
    ----------
    x : ndarray, shape (n, d)
    truth : ndarray, shape (d,)
        beta*: k entries of size 1, of random signs when `signed`.
    signed : bool
        f = <u*u - v*v, x> in place of <theta*theta, x>.
    """

    x: Array
    truth: Array
    signed: bool = False

    @classmethod
    def draw(cls, d: int, n: int, k: int, seed: int, signed: bool = False) -> Problem:
        """Draw data and a truth. The first rows of a problem with more samples are the same."""
        rng = np.random.default_rng([seed, d, k, int(signed)])
        truth = np.zeros(d)
        truth[rng.choice(d, k, replace=False)] = rng.choice([-1.0, 1.0], k) if signed else 1.0
        return cls(rng.normal(size=(n, d)), truth, signed)

    def with_samples(self, n: int) -> Problem:
        """The problem with its first n samples alone."""
        return replace(self, x=self.x[:n])

    @property
    def y(self) -> Array:
        """Targets, shape (n,)."""
        return self.x @ self.truth

    @property
    def squares(self) -> Array:
        """A with f = A (theta*theta), shape (n, d) or (n, 2 d)."""
        return np.hstack([self.x, -self.x]) if self.signed else self.x

    @cached_property
    def model(self) -> IndexedModel:
        """The model, with its data."""
        d, j = len(self.truth), sp.Symbol("j", integer=True)
        u, v, inputs = (sp.IndexedBase(name, shape=(d,)) for name in ("u", "v", "x"))
        entry = u[j] ** 2 - v[j] ** 2 if self.signed else u[j] ** 2
        prediction = sp.Sum(entry * inputs[j], (j, 0, d - 1))
        return IndexedModel([u, v] if self.signed else [u], prediction, inputs=inputs, x=self.x, y=self.y)

    def coefficients(self, theta: Array) -> Array:
        """beta, shape (d,): theta*theta, or u*u - v*v."""
        d = len(self.truth)
        return np.asarray(theta[:d] ** 2 - (theta[d:] ** 2 if self.signed else 0.0))

    def error(self, beta: Array) -> float:
        """|beta - beta*| / |beta*|; infinite for a run that diverged."""
        error = float(np.linalg.norm(beta - self.truth) / np.linalg.norm(self.truth))
        return error if np.isfinite(error) else float("inf")

    def minimizer(self, weighted: bool) -> Array:
        """The interpolating beta of least l1 norm, or of least R as lr goes to 0, shape (d,).

        As lr goes to 0, R = tr(H)/4 = sum_j c_j theta_j^2 with c_j = (1/n) sum_i x_ij^2: a weighted l1 norm of beta,
        the least of which is a linear program.
        """
        weights = np.mean(self.squares**2, axis=0) if weighted else np.ones(self.squares.shape[1])
        solved = linprog(weights, A_eq=self.squares, b_eq=self.y, bounds=(0, None), method="highs")
        if solved.x is None:
            raise RuntimeError(f"the linear program was not solved: {solved.message}")
        return self.coefficients(np.sqrt(np.maximum(solved.x, 0.0)))


@dataclass(frozen=True)
class Training:
    """How a model is trained: noisy steps from all ones, then noise-free ones.

    Attributes
    ----------
    lr : float
    steps : int
        Noisy ones.
    batch_size : int or "full"
    sigma : float
        Of the label noise.
    kick : float
        Size of isotropic noise in each coordinate; batch size 1 then.
    descent : int
        Noise-free steps at the end: what is left is where the run is on the zero-loss set.
    """

    lr: float
    steps: int
    batch_size: int | Literal["full"] = 1
    sigma: float = 0.0
    kick: float = 0.0
    descent: int = 30_000

    def path(self, problem: Problem, seed: int, records: int, should_stop: Callable[[], bool]) -> tuple[Any, Array]:
        """Steps and theta after them, each with noise-free steps behind it: shapes (M,), (M, d).

        At equal distances; those before the end have `descent` noise-free steps together. With kicks only the end.
        """
        kernel = _kernel(len(problem.truth), problem.signed).on(problem.model)
        start = np.ones(problem.squares.shape[1])
        steps = np.unique(np.linspace(0, self.steps, records + 1).astype(np.int64)[1:])
        if self.kick:
            data, size = (problem.squares, problem.y), self.kick
            ends = [
                isotropic_sgd(*data, start, lr=self.lr, size=size, steps=self.steps, seed=seed, should_stop=should_stop)
            ]
            steps = steps[-1:]
        else:
            noisy = Algorithm(self.lr, self.batch_size, LabelNoise(self.sigma))
            run = simulate(kernel, noisy, None, start, 1, steps, seed=seed, threads=1, should_stop=should_stop)
            ends = list(run.points[:, :, 0])
        quiet = Algorithm(self.lr, "full", LabelNoise(0.0))
        for m, theta in enumerate(ends):
            count = self.descent if m == len(ends) - 1 else self.descent // len(ends)
            if np.isfinite(theta).all():
                run = simulate(kernel, quiet, None, theta, 1, [count], threads=1, should_stop=should_stop)
                ends[m] = run.points[-1, :, 0]
        return steps, np.array(ends)


def compile_kernels(problems: Iterable[tuple[int, bool]]) -> None:
    """Make the machine code for all (d, signed), so that the first run takes no longer than others."""
    load_module(KERNEL)
    for d, signed in dict.fromkeys(problems):
        _kernel(d, signed)


@lru_cache(maxsize=16)
def _kernel(d: int, signed: bool) -> Kernel:
    """One for all data: these are arguments of its functions."""
    return Kernel.for_model(Problem.draw(d, 1, 1, 0, signed).model)
