"""The works as flatmin's models: for its engine, and for the drift that its theory predicts where it has one."""

from __future__ import annotations

import sympy as sp
from flatmin.theory import Algorithm, IndexedModel, LabelNoise, Model

from .works import Work

__all__ = ["algorithm", "indexed", "model"]


def model(work: Work) -> Model:
    """Return the model of W1, W2a or W2b."""
    a, b, c, d, u, v, x = sp.symbols("a b c d u v x", real=True)
    if work.model == "uv":
        return Model((u, v), [u * v], y=work.y)
    return Model((a, b, c, d), a * sp.tanh(b * x) + c * sp.tanh(d * x), inputs=(x,), x=work.x, y=work.y)


def indexed(work: Work) -> IndexedModel:
    """Return the model of W3a, W3b or W4."""
    n_inputs = work.x.shape[1]
    x, j, k = sp.IndexedBase("x", shape=(n_inputs,)), sp.Symbol("j", integer=True), sp.Symbol("k", integer=True)
    if work.model == "square":
        theta = sp.IndexedBase("theta", shape=(work.d,))
        return IndexedModel([theta], sp.Sum(theta[j] ** 2 * x[j], (j, 0, work.d - 1)), inputs=x, x=work.x, y=work.y)
    hidden = work.d // (n_inputs + 1)
    a, w = sp.IndexedBase("a", shape=(hidden,)), sp.IndexedBase("W", shape=(hidden, n_inputs))
    inner = sp.Sum(w[k, j] * x[j], (j, 0, n_inputs - 1))
    return IndexedModel([a, w], sp.Sum(a[k] * sp.tanh(inner), (k, 0, hidden - 1)), inputs=x, x=work.x, y=work.y)


def algorithm(work: Work) -> Algorithm:
    """Return the algorithm of a work."""
    batch = "full" if work.full else work.batch
    return Algorithm(lr=work.eta, batch_size=batch, noise=LabelNoise(work.sigma))
