"""The works with few parameters as flatmin's models: for its engine, and for the drift that its theory predicts."""

from __future__ import annotations

import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model

from .works import Work

__all__ = ["algorithm", "model"]


def model(work: Work) -> Model:
    """Return the model of W1, W2a or W2b."""
    a, b, c, d, u, v, x = sp.symbols("a b c d u v x", real=True)
    if work.model == "uv":
        return Model((u, v), [u * v], y=work.y)
    return Model((a, b, c, d), a * sp.tanh(b * x) + c * sp.tanh(d * x), inputs=(x,), x=work.x, y=work.y)


def algorithm(work: Work) -> Algorithm:
    """Return the algorithm of a work."""
    batch = "full" if work.full else work.batch
    return Algorithm(lr=work.eta, batch_size=batch, noise=LabelNoise(work.sigma))
