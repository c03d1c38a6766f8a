"""Runs of kernels of models over an index, and what the replay says of them."""

from __future__ import annotations

import numpy as np
from flatmin.sims.lanes import LANES
from flatmin.sims.random import block_words
from flatmin.sims.replay import replay
from indexed_models import start

LR = 0.01


def fresh(model, replicas, theta=None):
    """theta, words, order and status of a block."""
    words = np.concatenate([block_words(3, (), 0, LANES).ravel(), np.zeros(LANES, dtype=np.uint64)])
    order = np.repeat(np.arange(model.n, dtype=np.uint64), LANES)
    theta = np.repeat(start(model) if theta is None else theta, replicas)
    return theta, words, order, np.full(LANES, -1, dtype=np.int64)


def advance(kernel, state, schedule, *, first=0, sigmas=None, lr=LR, batch=3, sampling=1, law=0, bound=np.inf):
    """theta at the scheduled steps, shape (M, d, replicas)."""
    model, out = kernel.model, np.empty((len(schedule), len(state[0])))
    sigmas = np.linspace(0.1, 0.3, model.n) if sigmas is None else sigmas
    arguments = (model.x, model.y, sigmas, lr, batch, sampling, law, bound)
    kernel.module.advance(*state, first, np.array(schedule), out, *arguments)
    return out.reshape(len(schedule), model.d, -1)


def replayed(model, replicas, steps, sigmas=None, **arguments):
    words = block_words(3, (), 0, LANES)[:, :replicas]
    sigmas = np.linspace(0.1, 0.3, model.n) if sigmas is None else sigmas
    return replay(model, start(model), words, sigmas, lr=LR, steps=steps, **arguments)
