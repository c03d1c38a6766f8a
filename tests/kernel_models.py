"""Models that the tests of the simulation engine share."""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, LANES, RADEMACHER
from flatmin.sims.random import block_words
from flatmin.theory import Model


class WholeKernel(Kernel):
    """A kernel that is compiled for all samplings and laws at once: for tests that take them all."""

    @property
    def module(self):
        return self._module(None)

    def _module(self, way, moments=False):
        if (None, moments) not in self._built:
            self._built[None, moments] = self.build(self._moments if moments else self.source)
        return self._built[None, moments]


def step(kernel, start, sigmas, *, lr=0.05, batch=1, sampling=FULL, law=RADEMACHER, steps=1):
    """theta of each lane after `steps`, shape (d, lanes), and the words that it was made with."""
    words = block_words(3, (), 0, LANES)
    out = np.empty((1, kernel.model.d * LANES))
    arguments = {"lr": lr, "batch": batch, "sampling": sampling, "law": law, "bound": np.inf}
    block = kernel.block(np.asarray(start, dtype=float), words)
    kernel.advance(block, 0, np.array([steps]), out, np.asarray(sigmas, dtype=float), **arguments)
    return out.reshape(-1, LANES), words


def uv_model(y=1.0):
    u, v = sp.symbols("u v", real=True)
    return Model((u, v), [u * v], y=[y])


def pair_model():
    """f = (uv, uw): two samples in one expression list."""
    u, v, w = sp.symbols("u v w", real=True)
    return Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])


def tanh_model(x=((1.0,), (3.0,)), y=(1.0, 0.5)):
    w, a, b, s = sp.symbols("w a b x", real=True)
    x = np.asarray(x)
    return Model((w, a, b), a * sp.tanh(w * s) + b * s, inputs=(s,), x=x, y=np.asarray(y))


def on_gamma():
    """A zero-loss point of `tanh_model`, for data that `interpolated` made."""
    return np.array([2.0, 1.3, -0.27])


def interpolated(n, seed=0):
    """`tanh_model` with n samples and targets that it meets at `on_gamma`."""
    x = np.random.default_rng(seed).uniform(-2, 2, (n, 1))
    y = 1.3 * np.tanh(2.0 * x[:, 0]) - 0.27 * x[:, 0]
    return tanh_model(x, y)
