"""JAX as most users write it: jit(vmap(scan)), one replica's step, jax.grad of the loss, jax.random (threefry)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol import Array, Sums, grouped
from ..works import Work

jax.config.update("jax_enable_x64", True)


def _uv(theta, x):
    return theta[0] * theta[1]


def _tanh(theta, x):
    a, b, c, d = theta
    return a * jnp.tanh(b * x[0]) + c * jnp.tanh(d * x[0])


def _square(theta, x):
    return jnp.dot(theta * theta, x)


def _mlp(theta, x):
    hidden = len(theta) // (len(x) + 1)
    return theta[:hidden] @ jnp.tanh(theta[hidden:].reshape(hidden, -1) @ x)


PREDICTIONS = {"uv": _uv, "tanh": _tanh, "square": _square, "mlp": _mlp}


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        rows, columns = work.pairs
        predict = jax.vmap(PREDICTIONS[work.model], in_axes=(None, 0))
        x, y = jnp.asarray(work.x), jnp.asarray(work.y)

        def loss(theta, x, labels):
            return 0.5 * jnp.mean((predict(theta, x) - labels) ** 2)

        def noise(key):
            return work.sigma * jax.random.rademacher(key, (work.batch,), dtype=jnp.float64)

        def step(carry, key):
            theta, first, second = carry
            if work.statistics:
                first, second = first + theta, second + theta[rows] * theta[columns]
            if work.full:
                gradient = jax.grad(loss)(theta, x, y + noise(key))
            else:
                for_index, for_noise = jax.random.split(key)
                index = jax.random.randint(for_index, (work.batch,), 0, work.n)
                gradient = jax.grad(loss)(theta, x[index], y[index] + noise(for_noise))
            return (theta - work.eta * gradient, first, second), None

        def replica(theta, key, steps):
            zeros = jnp.zeros(work.d), jnp.zeros(len(rows))
            return jax.lax.scan(step, (theta, *zeros), jax.random.split(key, steps))[0]

        self.go = partial(jax.jit, static_argnums=2)(
            lambda theta, keys, steps: jax.vmap(replica, in_axes=(0, 0, None))(theta, keys, steps)
        )
        self.compiled = {}
        self.start(0)
        self._compile(work.stride)

    def _compile(self, steps: int):
        if steps not in self.compiled:
            self.compiled[steps] = self.go.lower(self.state, self._keys(self.key), steps).compile()
        return self.compiled[steps]

    def _keys(self, key):
        return jax.random.split(key, self.work.replicas)

    def start(self, seed: int) -> None:
        self.key = jax.random.key(seed)
        self.state = jnp.tile(self.work.theta0, (self.work.replicas, 1))

    def theta(self) -> Array:
        return np.asarray(self.state).T

    def run(self, steps: int) -> Sums:
        self.key, now = jax.random.split(self.key)
        self.state, first, second = self._compile(steps)(self.state, self._keys(now))
        return grouped(np.asarray(first).T), grouped(np.asarray(second).T)
