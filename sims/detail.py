"""How a limit was measured, as JSON: the rungs of the ladder, the polynomial through them, and their errors.

With it a report draws its figures from a result file alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extrapolate import Estimate
from .result_keys import written

__all__ = ["detail", "plain"]

Array = NDArray[np.float64]

# Components of a statistic whose rungs are written out; of a larger one only the error along the prediction.
_MOST = 1024


def detail(estimate: Estimate, predicted: Array, scale: float, origin: Array | None) -> dict[str, Any]:
    """The optional block `detail` of a claim.

    Parameters
    ----------
    estimate : Estimate
        With its rungs, at the study's own noise strength.
    predicted : ndarray
    scale : float
        What errors are relative to.
    origin : ndarray or None
        The predicted direction is that from here to `predicted`; None: from zero.

    Returns
    -------
    dict
        `coefficients` are those of powers of strength over the largest strength; `error` is the signed relative error
        along the predicted direction, of every rung and of the limit, each with its standard error. Where an exponent
        was fitted `law` is "power", `coefficients` are p, log A, c, `correction_power` is q, and rungs have no error.
        Of a fraction `law` is "fraction", nothing is extrapolated, and rungs have no standard error: near 0 or 1 the
        error of a fraction has no normal distribution.
    """
    flat = predicted.reshape(-1)
    away = flat - (0.0 if origin is None else origin.reshape(-1))
    norm = float(np.linalg.norm(away))
    # Without a predicted direction: that of the error itself.
    apart = estimate.value - flat if norm <= 1e-12 * scale else away
    # The sign of one number is its own, as in the verdict.
    unit = np.ones(1) if flat.size == 1 else apart / max(float(np.linalg.norm(apart)), 1e-300)
    small = flat.size <= _MOST
    law: dict[str, Any] = {}
    if estimate.power is not None:
        law = {"law": "power", "correction_power": estimate.power}
    elif estimate.fraction:
        law = {"law": "fraction"}
    polynomial = not law

    def errors(mean: Array, covariance: Array) -> dict[str, Any]:
        spread = math.sqrt(max(float(unit @ covariance @ unit), 0.0))
        error = plain(float(unit @ (mean - flat)) / scale)
        return written("limit", {"error": error, "error_standard_error": plain(spread / scale)})

    rungs = []
    for rung in estimate.rungs:
        entry: dict[str, Any] = {"strength": rung.strength, "steps": rung.steps, "replicas": rung.replicas}
        if small:
            entry["mean"] = plain(rung.mean)
        if small and not estimate.fraction:
            entry["standard_error"] = plain(np.sqrt(np.maximum(np.diag(rung.covariance), 0.0)))
        # Of an exponent the statistic itself is no estimate.
        rungs.append(written("rung", entry | errors(rung.mean, rung.covariance) if polynomial else entry))
    block = {
        "degree": estimate.degree,
        "coefficients": plain(estimate.coefficients) if small else None,
        "error_coefficients": _along(estimate.coefficients, flat, unit, scale) if polynomial else None,
        "truncation": plain(estimate.truncation / scale),
        "fit_probability": plain(estimate.fit_probability),
        "widening": plain(estimate.widening),
        "limit": errors(estimate.value, estimate.covariance),
        "rungs": rungs,
    }
    return written("detail", law | block)


def _along(coefficients: Array | None, predicted: Array, unit: Array, scale: float) -> Any:
    if coefficients is None:
        return None
    projected = coefficients @ unit
    projected[0] -= predicted @ unit
    return plain(projected / scale)


def plain(value: Any) -> Any:
    """Numbers and arrays as JSON values: NaN and infinity become None."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    number = float(value)
    return number if math.isfinite(number) else None
