"""JAX with one scan over arrays of all replicas and one key: a step draws for all at once; jax.grad of the loss."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol import Array, Sums, grouped
from ..works import Work

jax.config.update("jax_enable_x64", True)

# Few parameters: theta has shape (d, replicas) and x shape (B, replicas), or (n, 1) for the full batch.
# Many: theta has shape (replicas, d) and x shape (replicas, B, p).


def _uv(theta, x):
    return (theta[0] * theta[1])[None]


def _tanh(theta, x):
    a, b, c, d = theta
    return a * jnp.tanh(b * x) + c * jnp.tanh(d * x)


def _square(theta, x):
    return jnp.einsum("rj,rbj->rb", theta * theta, x)


def _mlp(theta, x):
    hidden = theta.shape[1] // (x.shape[2] + 1)
    w = theta[:, hidden:].reshape(len(theta), hidden, -1)
    return jnp.einsum("rbk,rk->rb", jnp.tanh(jnp.einsum("rkj,rbj->rbk", w, x)), theta[:, :hidden])


PREDICTIONS = {"uv": _uv, "tanh": _tanh, "square": _square, "mlp": _mlp}


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        self.by_row = work.model in ("square", "mlp")
        rows, columns = work.pairs
        predict = PREDICTIONS[work.model]
        x, y = jnp.asarray(work.x if self.by_row else work.x[:, 0]), jnp.asarray(work.y)
        shape = (work.replicas, work.batch) if self.by_row else (work.batch, work.replicas)

        def loss(theta, x, labels):
            return 0.5 * jnp.sum((predict(theta, x) - labels) ** 2) / work.batch

        def step(carry, key):
            theta, first, second = carry
            if work.statistics:
                first = first + theta
                second = second + (theta * theta if work.diagonal else theta[rows] * theta[columns])
            for_index, for_noise = jax.random.split(key)
            noise = work.sigma * jax.random.rademacher(for_noise, shape, dtype=jnp.float64)
            if work.full:
                gradient = jax.grad(loss)(theta, x[:, None], y[:, None] + noise)
            else:
                index = jax.random.randint(for_index, shape, 0, work.n)
                gradient = jax.grad(loss)(theta, x[index], y[index] + noise)
            return (theta - work.eta * gradient, first, second), None

        def go(theta, key, steps):
            second = jnp.zeros_like(theta) if work.diagonal else jnp.zeros((len(rows), work.replicas))
            return jax.lax.scan(step, (theta, jnp.zeros_like(theta), second), jax.random.split(key, steps))[0]

        self.go = partial(jax.jit, static_argnums=2)(go)
        self.compiled = {}
        self.start(0)
        self._compile(work.stride)

    def _compile(self, steps: int):
        if steps not in self.compiled:
            self.compiled[steps] = self.go.lower(self.state, self.key, steps).compile()
        return self.compiled[steps]

    def start(self, seed: int) -> None:
        self.key = jax.random.key(seed)
        theta = jnp.tile(self.work.theta0, (self.work.replicas, 1))
        self.state = theta if self.by_row else theta.T

    def theta(self) -> Array:
        state = np.asarray(self.state)
        return state.T if self.by_row else state

    def run(self, steps: int) -> Sums:
        self.key, now = jax.random.split(self.key)
        self.state, first, second = self._compile(steps)(self.state, now)
        first, second = np.asarray(first), np.asarray(second)
        return (grouped(first.T), grouped(second.T)) if self.by_row else (grouped(first), grouped(second))
