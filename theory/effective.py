"""The problem with a square loss and label noise that label flips amount to at leading order.

Where every margin y_i f_i is c, the mean loss of sample i is alpha (f_i - c y_i)^2/2 to second order, and the slope of
the loss has variance sigma^2. That is the square loss of sqrt(alpha) f_i with targets sqrt(alpha) c y_i and label
noise of standard deviation sigma/sqrt(alpha): the same H, the same noise, the same lambda and the same drift.
The third derivative of the loss moves theta along the gradients only, not along Gamma.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy as sp

from .algorithm import Algorithm
from .errors import NotApplicable
from .model import Model
from .noise import FlippedLabels

__all__ = ["effective"]


def effective(model: Model, algorithm: Algorithm) -> tuple[Model, Algorithm]:
    """The equivalent model with a square loss and its algorithm; both as they are where that is so already.

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
    root = float(np.sqrt(flips.alpha))
    scaled = tuple(sp.Float(root, 17) * f for f in model.prediction)
    prediction = scaled if len(scaled) == model.n and not model.inputs else scaled[0]
    x = model.x if model.inputs else None
    same = Model(model.parameters, prediction, inputs=model.inputs, x=x, y=root * flips.center * model.y)
    noise = FlippedLabels(float(np.sqrt(flips.variance / flips.alpha)), alpha=flips.alpha)
    return same, replace(algorithm, noise=noise)
