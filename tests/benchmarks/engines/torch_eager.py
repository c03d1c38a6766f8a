"""PyTorch in eager mode, tensors batched over the replicas, gradients by hand.

torch.compile is left out: it needs a C++ compiler and half a minute for a work.
"""

from __future__ import annotations

import torch

from ..protocol import Array, Sums, grouped
from ..works import Work

torch.set_default_dtype(torch.float64)


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        torch.set_num_threads(cores)
        self.x, self.y = torch.from_numpy(work.x), torch.from_numpy(work.y)
        self.by_row = work.model in ("square", "mlp")
        self.gradient = getattr(self, f"_{work.model}")

    def start(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        theta0 = torch.from_numpy(self.work.theta0)
        repeated = theta0.repeat(self.work.replicas, 1)
        self.state = repeated if self.by_row else repeated.T.contiguous()

    def theta(self) -> Array:
        return (self.state.T if self.by_row else self.state).numpy()

    @torch.no_grad()
    def run(self, steps: int) -> Sums:
        work, theta = self.work, self.state
        rows, columns = (torch.from_numpy(i) for i in work.pairs)
        first = torch.zeros_like(theta)
        second = torch.zeros_like(theta) if work.diagonal else torch.zeros(len(rows), work.replicas)
        for _ in range(steps):
            if work.statistics:
                first += theta
                second += theta * theta if work.diagonal else theta[rows] * theta[columns]
            theta -= work.eta / work.batch * self.gradient(theta)
        sums = (first.T, second.T) if self.by_row else (first, second)
        return tuple(grouped(m.numpy()) for m in sums)

    def _labels(self) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Indices and noise of the draws of all replicas, shape (replicas, B), or (B, replicas) for few parameters."""
        work = self.work
        shape = (work.replicas, work.batch) if self.by_row else (work.batch, work.replicas)
        index = None if work.full else torch.randint(work.n, shape, generator=self.generator)
        signs = torch.randint(2, shape, generator=self.generator, dtype=torch.float64)
        return index, (2 * work.sigma) * signs - work.sigma

    def _uv(self, theta: torch.Tensor) -> torch.Tensor:
        _, noise = self._labels()
        r = theta[0] * theta[1] - self.y[0] - noise[0]
        return r * theta.flip(0)

    def _tanh(self, theta: torch.Tensor) -> torch.Tensor:
        index, noise = self._labels()
        x = self.x if index is None else self.x[index, 0]
        y = self.y[:, None] if index is None else self.y[index]
        a, b, c, d = theta
        s, t = torch.tanh(b * x), torch.tanh(d * x)
        r = a * s + c * t - y - noise
        rx = r * x
        return torch.stack(
            [(r * s).sum(0), a * (rx * (1 - s * s)).sum(0), (r * t).sum(0), c * (rx * (1 - t * t)).sum(0)]
        )

    def _square(self, theta: torch.Tensor) -> torch.Tensor:
        index, noise = self._labels()
        x = self.x[index]
        r = (x @ (theta * theta)[:, :, None])[:, :, 0] - self.y[index] - noise
        return 2 * theta * (r[:, None, :] @ x)[:, 0, :]

    def _mlp(self, theta: torch.Tensor) -> torch.Tensor:
        index, noise = self._labels()
        x = self.x[index]
        hidden = theta.shape[1] // (x.shape[2] + 1)
        a, w = theta[:, :hidden], theta[:, hidden:].reshape(len(theta), hidden, -1)
        t = torch.tanh(x @ w.transpose(1, 2))
        r = (t @ a[:, :, None])[:, :, 0] - self.y[index] - noise
        back = r[:, :, None] * (1 - t * t) * a[:, None, :]
        return torch.cat([(r[:, None, :] @ t)[:, 0, :], (back.transpose(1, 2) @ x).reshape(len(theta), -1)], dim=1)
