"""JAX as an expert writes it for a processor: xoshiro256++ by hand, one stream of 64-bit words for each replica.

Every bit of a word is used, gradients are by hand, and steps are unrolled as far as XLA fuses them well. With few
parameters each is an array of shape (replicas,).
"""

from __future__ import annotations

import math
import os
from functools import partial

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_prefer_vector_width=512"

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol import Array, Sums, grouped
from ..works import Work

jax.config.update("jax_enable_x64", True)

U = jnp.uint64


def _rotate(x, k):
    return (x << U(k)) | (x >> U(64 - k))


def _next(s):
    """xoshiro256++: new state and a word, for each stream."""
    a, b, c, d = s
    word = _rotate(a + d, 23) + a
    shifted = b << U(17)
    c, d = c ^ a, d ^ b
    b, a = b ^ c, a ^ d
    return (a, b, c ^ shifted, _rotate(d, 45)), word


def _signed(value, bit):
    """`value`, negated where the lowest bit is set."""
    bits = jax.lax.bitcast_convert_type(jnp.float64(value), U)
    return jax.lax.bitcast_convert_type(bits ^ (bit << U(63)), jnp.float64)


def _draws(word, n, sigma):
    """Samples and their noise, two from each word: half a word times 2n is twice the index plus the sign."""
    code = jnp.concatenate([word >> U(32), word & U(0xFFFFFFFF)], axis=-1) * U(2 * n) >> U(32)
    return (code >> U(1)).astype(jnp.int32), _signed(sigma, code)


def _select(values, index):
    """values[index] for a short table, by comparisons: a gather would not be fused."""
    out = jnp.full(index.shape, values[0])
    for i in range(1, len(values)):
        out = jnp.where(index == i, values[i], out)
    return out


def _tanh(z):
    """By exp(2z) from a polynomial; faster than jnp.tanh where only few are fused. Absolute error a few 1e-16."""
    k = jnp.round(z * (2 / math.log(2)))
    r = z - k * (math.log(2) / 2)
    p = 2.0**11 / math.factorial(11)
    for j in range(10, -1, -1):
        p = p * r + 2.0**j / math.factorial(j)
    scale = jax.lax.bitcast_convert_type((k.astype(jnp.int64) + 1023) << 52, jnp.float64)
    return 1 - 2 / (scale * p + 1)


def _uv(work, theta, bits):
    u, v = theta
    f = u * v
    s = work.eta * (f - work.y[0] - _signed(work.sigma, bits))
    return (u - s * v, v - s * u), (u, v, u * u, f, v * v)


def _moments(theta):
    return (*theta, *(theta[i] * theta[j] for i in range(len(theta)) for j in range(i, len(theta))))


def _tanh_step(work, theta, draws):
    tanh = jnp.tanh if len(draws) > 1 else _tanh
    a, b, c, d = theta
    ga = gb = gc = gd = 0.0
    for x, label in draws:
        s, t = tanh(b * x), tanh(d * x)
        r = a * s + c * t - label
        rx = r * x
        ga, gb, gc, gd = ga + r * s, gb + rx * (1 - s * s), gc + r * t, gd + rx * (1 - t * t)
    rate = work.eta / work.batch
    return (a - rate * ga, b - rate * a * gb, c - rate * gc, d - rate * c * gd), _moments(theta)


def _by_lane(work: Work, steps_of_word: int, unroll: int):
    """One scan step for few parameters: a word, and `steps_of_word` steps in fused blocks of `unroll`."""
    x, y = work.x[:, 0], work.y

    def one(theta, word):
        if work.model == "uv":
            return (*_uv(work, theta, word), word >> U(1))
        if work.full:
            draws = [(x[i], y[i] + _signed(work.sigma, word >> U(i))) for i in range(work.n)]
            return (*_tanh_step(work, theta, draws), word >> U(work.n))
        sign, index = word, ((word & U(0xFFFFFFFF)) * U(work.n)) >> U(32)
        draws = [(_select(x, index), _select(y, index) + _signed(work.sigma, sign))]
        return (*_tanh_step(work, theta, draws), word >> U(32))

    def block(_, carry):
        theta, sums, word = carry
        for _ in range(unroll):
            theta, values, word = one(theta, word)
            if work.statistics:
                sums = tuple(s + v for s, v in zip(sums, values))
        return theta, sums, word

    def word_step(carry, _):
        theta, sums, words = carry
        words, word = _next(words)
        if steps_of_word == unroll:
            theta, sums, _ = block(0, (theta, sums, word))
        else:
            theta, sums, _ = jax.lax.fori_loop(0, steps_of_word // unroll, block, (theta, sums, word))
        return (theta, sums, words), None

    return word_step


def _gradient_square(work, theta, x, labels):
    r = jnp.einsum("rbj,rj->rb", x, theta * theta) - labels
    return 2 * theta * jnp.einsum("rbj,rb->rj", x, r)


def _gradient_mlp(work, theta, x, labels):
    hidden = theta.shape[1] // (x.shape[2] + 1)
    a, w = theta[:, :hidden], theta[:, hidden:].reshape(len(theta), hidden, -1)
    t = jnp.tanh(jnp.einsum("rbj,rkj->rbk", x, w))
    r = jnp.einsum("rbk,rk->rb", t, a) - labels
    back = r[:, :, None] * (1 - t * t) * a[:, None, :]
    return jnp.concatenate(
        [jnp.einsum("rb,rbk->rk", r, t), jnp.einsum("rbk,rbj->rkj", back, x).reshape(len(theta), -1)], 1
    )


def _by_row(work: Work):
    """One scan step for many parameters: half a word for each draw, theta of shape (replicas, d).

    When the batch is as large as the data, all residuals in one matrix product, weighted by how often each was drawn.
    """
    x, y = jnp.asarray(work.x), jnp.asarray(work.y)
    gradient = {"square": _gradient_square, "mlp": _gradient_mlp}[work.model]

    def step(carry, _):
        theta, (first, second), words = carry
        if work.statistics:
            first, second = first + theta, second + theta * theta
        words, word = _next(words)
        index, noise = _draws(word, work.n, work.sigma)
        if work.model == "square" and work.batch >= work.n:
            drawn = jax.nn.one_hot(index, work.n, dtype=jnp.float64)
            times, noises = drawn.sum(1), jnp.einsum("rbi,rb->ri", drawn, noise)
            r = times * ((theta * theta) @ x.T - y) - noises
            change = 2 * theta * (r @ x)
        else:
            change = gradient(work, theta, x[index], y[index] + noise)
        return (theta - work.eta / work.batch * change, (first, second), words), None

    return step


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        self.by_row = work.model in ("square", "mlp")
        if self.by_row:
            step, self.steps_of_word = _by_row(work), 1
        else:
            self.steps_of_word, unroll = {"W1": (64, 4), "W2a": (2, 2), "W2b": (16, 2)}[work.name]
            step = _by_lane(work, self.steps_of_word, unroll)

        def go(theta, words, steps):
            if self.by_row:
                zeros = (jnp.zeros_like(theta), jnp.zeros_like(theta))
            else:
                zeros = (jnp.zeros(work.replicas),) * (work.d + len(work.pairs[0]))
            return jax.lax.scan(step, (theta, zeros, words), None, length=steps // self.steps_of_word)[0]

        self.go = partial(jax.jit, static_argnums=2)(go)
        self.compiled = {}
        self.start(0)
        self._compile(work.stride)

    def _compile(self, steps: int):
        if steps not in self.compiled:
            self.compiled[steps] = self.go.lower(self.state, self.words, steps).compile()
        return self.compiled[steps]

    def start(self, seed: int) -> None:
        work = self.work
        if self.by_row:
            self.state, shape = jnp.tile(work.theta0, (work.replicas, 1)), (4, work.replicas, work.batch // 2)
        else:
            self.state, shape = tuple(jnp.full(work.replicas, t) for t in work.theta0), (4, work.replicas)
        words = np.random.SeedSequence(seed).generate_state(int(np.prod(shape)), np.uint64).reshape(shape)
        self.words = tuple(jnp.asarray(w) for w in words)

    def theta(self) -> Array:
        return np.asarray(self.state).T if self.by_row else np.stack([np.asarray(t) for t in self.state])

    def run(self, steps: int) -> Sums:
        self.state, sums, self.words = self._compile(steps)(self.state, self.words)
        if self.by_row:
            return tuple(grouped(np.asarray(m).T) for m in sums)
        together = grouped(np.stack([np.asarray(m) for m in sums]))
        return together[:, : self.work.d], together[:, self.work.d :]
