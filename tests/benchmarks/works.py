"""The works: the models, data and settings that every engine of the benchmark runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "STEP", "WORKS", "Work", "named"]

Array = NDArray[np.float64]

GROUPS = 8  # statistics are summed over eight equal groups of consecutive replicas
STEP = 64  # every run is a multiple of this many steps long, so that a 64-bit word can serve 64 of them


@dataclass(frozen=True)
class Work:
    """Label noise SGD on one model, theta <- theta - (eta/B) sum_b (f_i - y_i - eps_b) grad f_i, eps_b = +-sigma.

    The statistics are the sums of theta_j and of theta_r theta_c for (r, c) in `pairs`, over steps and over the
    replicas of a group; each step counts with its theta before the update.

    Attributes
    ----------
    model : {"uv", "tanh", "square", "mlp"}
        f = u v; f = a tanh(b x) + c tanh(d x); f = sum_j theta_j^2 x_j; f = sum_k a_k tanh(sum_j W_kj x_j), where
        theta is a and then the rows of W.
    batch : int
        B, drawn with replacement; with `full`, B = n and every sample is taken once per step.
    diagonal : bool
        Second moments of each theta_j only.
    statistics : bool
        Whether there are statistics at all; who only measures a drift needs none.
    stride : int
        Steps of the first call and of each call of the comparison; while the speed is measured, a multiple of it.
    window : int
        Steps from the start over which the engines are compared.
    """

    name: str
    title: str
    model: str
    x: Array
    y: Array
    theta0: Array
    eta: float
    sigma: float
    batch: int
    full: bool
    replicas: int
    diagonal: bool
    stride: int
    window: int
    statistics: bool = True

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def d(self) -> int:
        """Number of parameters."""
        return len(self.theta0)

    @property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the second moments."""
        return (np.arange(self.d), np.arange(self.d)) if self.diagonal else np.triu_indices(self.d)

    def changed(self, **values: Any) -> Work:
        """The same work with another sigma, or without statistics."""
        return replace(self, **values)


def _uv() -> Work:
    return Work(
        name="W1",
        title="f = uv, n = 1",
        model="uv",
        x=np.ones((1, 1)),
        y=np.array([1.0]),
        theta0=np.array([2.0, 0.5]),
        eta=0.1,
        sigma=0.1,
        batch=1,
        full=True,
        replicas=4096,
        diagonal=False,
        stride=256,
        window=512,
    )


def _tanh(name: str, full: bool) -> Work:
    x, theta0 = np.array([-1.0, 0.5, 2.0]), np.array([1.0, 0.7, -0.6, 1.3])
    a, b, c, d = theta0
    return Work(
        name=name,
        title="a tanh(bx) + c tanh(dx), n = 3, " + ("full batch" if full else "B = 1"),
        model="tanh",
        x=x[:, None],
        y=a * np.tanh(b * x) + c * np.tanh(d * x),
        theta0=theta0,
        eta=0.05,
        sigma=0.1,
        batch=3 if full else 1,
        full=full,
        replicas=4096,
        diagonal=False,
        stride=128,
        window=512,
    )


def _square(name: str, batch: int) -> Work:
    x = np.random.default_rng(0).standard_normal((40, 100))
    theta0 = 0.3 + 0.02 * np.arange(100) / 100
    return Work(
        name=name,
        title=f"sum theta_j^2 x_j, d = 100, n = 40, B = {batch}",
        model="square",
        x=x,
        y=x @ theta0**2,
        theta0=theta0,
        eta=0.0005,
        sigma=0.5,
        batch=batch,
        full=False,
        replicas=64,
        diagonal=True,
        stride=256 if batch < 10 else 64,
        window=2048 if batch < 10 else 1024,
    )


def _mlp() -> Work:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((512, 64)) / 8
    a, w = rng.standard_normal(32) / np.sqrt(32), rng.standard_normal((32, 64))
    return Work(
        name="W4",
        title="64-32-1 tanh network, n = 512, B = 32",
        model="mlp",
        x=x,
        y=np.tanh(x @ w.T) @ a,
        theta0=np.concatenate([a, w.ravel()]),
        eta=0.05,
        sigma=0.1,
        batch=32,
        full=False,
        replicas=8,
        diagonal=True,
        stride=64,
        window=1024,
    )


WORKS = {
    work.name: work
    for work in (_uv(), _tanh("W2a", False), _tanh("W2b", True), _square("W3a", 4), _square("W3b", 40), _mlp())
}


def named(names: str) -> list[Work]:
    """The works of a comma-separated list; all of them for ""."""
    return [WORKS[name] for name in names.split(",")] if names else list(WORKS.values())
