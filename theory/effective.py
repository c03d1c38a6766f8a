"""The problem with a square loss and label noise that label flips amount to at leading order.

Where every margin y_i f_i is c, the mean loss of sample i is alpha (f_i - c y_i)^2/2 to second order, and the slope of
the loss has variance sigma^2. That is the square loss of sqrt(alpha) f_i with targets sqrt(alpha) c y_i and label
noise of standard deviation sigma/sqrt(alpha): the same H, the same noise, the same lambda and the same drift.
The third derivative of the loss moves theta along the gradients only, not along Gamma.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import sympy as sp

from .algorithm import Algorithm
from .cross_entropy import ClassFlipLaw
from .errors import NotApplicable
from .losses import FlipLaw
from .model import Model
from .noise import FlippedLabels

__all__ = ["effective"]


def effective(model: Model, algorithm: Algorithm) -> tuple[Model, Algorithm]:
    """The equivalent model with a square loss and its algorithm; both as they are where that is so already.

    K classes have K - 1 residuals in the place of a sample; see `cross_entropy`.

    Raises
    ------
    NotApplicable
        When the loss has no minimum: without label flips.

    References
    ----------
    Damian, Ma, Lee (2021), Section 3.3.
    """
    flips = algorithm.flips(model)
    if flips is None:
        if model.loss_name != "square":
            raise NotApplicable("interpolation", f"without label flips the {model.loss_name} loss has no minimum")
        return model, algorithm
    noise = FlippedLabels(float(np.sqrt(flips.variance / flips.alpha)), alpha=flips.alpha, rows=flips.rows)
    return _square(model, flips), replace(algorithm, noise=noise)


@lru_cache(maxsize=8)
def _square(model: Model, flips: FlipLaw | ClassFlipLaw) -> Model:
    """Weighted sums of the outputs of each sample as predictions of their own; the same for every batch size."""
    weights, targets = (a * np.sqrt(flips.rows) for a in flips.whitened(model.y))
    y = targets.ravel()
    if not model.shared:
        rows = zip(
            weights, (model.prediction[i : i + model.outputs] for i in range(0, len(model.prediction), model.outputs))
        )
        sums = [_weighted(map(sp.Float, row), f) for each, f in rows for row in each]
        return Model(model.parameters, sums, y=y)
    taken = {s.name for s in (*model.parameters, *model.inputs)}
    symbols = [sp.Symbol(_free(f"weight{c}", taken), real=True) for c in range(model.outputs)]
    x = np.hstack([np.repeat(model.x, flips.rows, axis=0), weights.reshape(-1, model.outputs)])
    return Model(model.parameters, _weighted(symbols, model.prediction), inputs=(*model.inputs, *symbols), x=x, y=y)


def _weighted(weights: Iterable[sp.Expr], outputs: Sequence[sp.Expr]) -> sp.Expr:
    return sp.Add(*(w * f for w, f in zip(weights, outputs, strict=True)))


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)
