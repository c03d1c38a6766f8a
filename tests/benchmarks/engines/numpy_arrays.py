"""NumPy, vectorized over the replicas, gradients by hand: what one writes without a compiler."""

from __future__ import annotations

import numpy as np

from ..protocol import Array, Sums, grouped
from ..works import Work


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        self.gradient = getattr(self, f"_{work.model}")

    def start(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.state = np.repeat(self.work.theta0[:, None], self.work.replicas, axis=1)
        if self.work.model in ("square", "mlp"):
            self.state = np.ascontiguousarray(self.state.T)

    def theta(self) -> Array:
        return self.state.T if self.work.model in ("square", "mlp") else self.state

    def run(self, steps: int) -> Sums:
        work, theta = self.work, self.state
        by_row = work.model in ("square", "mlp")
        first = np.zeros_like(theta)
        second = np.zeros_like(theta) if work.diagonal else np.zeros((len(work.pairs[0]), work.replicas))
        pairs = list(zip(*work.pairs))
        for _ in range(steps):
            if work.statistics:
                first += theta
                if work.diagonal:
                    second += theta * theta
                else:
                    for k, (i, j) in enumerate(pairs):
                        second[k] += theta[i] * theta[j]
            theta -= work.eta / work.batch * self.gradient(theta)
        return (grouped(first.T), grouped(second.T)) if by_row else (grouped(first), grouped(second))

    def _labels(self) -> tuple[np.ndarray, Array]:
        """Indices and noise of the draws of all replicas, shape (B, replicas)."""
        work = self.work
        shape = (work.batch, work.replicas)
        index = None if work.full else self.rng.integers(0, work.n, shape)
        return index, np.where(self.rng.integers(0, 2, shape, dtype=np.int8) == 1, work.sigma, -work.sigma)

    def _uv(self, theta: Array) -> Array:
        _, noise = self._labels()
        r = theta[0] * theta[1] - self.work.y[0] - noise[0]
        return r * theta[::-1]

    def _tanh(self, theta: Array) -> Array:
        index, noise = self._labels()
        x = self.work.x if index is None else self.work.x[index, 0]
        y = self.work.y[:, None] if index is None else self.work.y[index]
        a, b, c, d = theta
        s, t = np.tanh(b * x), np.tanh(d * x)
        r = a * s + c * t - y - noise
        rx = r * x
        return np.stack([(r * s).sum(0), a * (rx * (1 - s * s)).sum(0), (r * t).sum(0), c * (rx * (1 - t * t)).sum(0)])

    def _square(self, theta: Array) -> Array:
        index, noise = self._labels()
        x, y = self.work.x[index.T], self.work.y[index.T]
        r = (x @ (theta * theta)[:, :, None])[:, :, 0] - y - noise.T
        return 2 * theta * (r[:, None, :] @ x)[:, 0, :]

    def _mlp(self, theta: Array) -> Array:
        index, noise = self._labels()
        x, y = self.work.x[index.T], self.work.y[index.T]
        hidden = len(theta[0]) // (x.shape[2] + 1)
        a, w = theta[:, :hidden], theta[:, hidden:].reshape(len(theta), hidden, -1)
        t = np.tanh(x @ w.transpose(0, 2, 1))
        r = (t @ a[:, :, None])[:, :, 0] - y - noise.T
        grad_a = (r[:, None, :] @ t)[:, 0, :]
        back = r[:, :, None] * (1 - t * t) * a[:, None, :]
        return np.concatenate([grad_a, (back.transpose(0, 2, 1) @ x).reshape(len(theta), -1)], axis=1)
