"""Results as labelled arrays: an ensemble or verdicts to an xarray.Dataset (extra `io`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from flatmin.theory import InvalidInput

from .ensemble import Ensemble
from .results import Verdict

if TYPE_CHECKING:
    import xarray

__all__ = ["ensemble_to_xarray", "verdict_to_xarray"]

# Of what has any, where parameters have none; slow time eta lambda k is a number.
_UNITS = {
    "drift": "1 per step",
    "diffusion": "1 per step",
    "escape": "1 per step",
    "circulation": "radians per unit of slow time",
    "hitting-time": "units of slow time",
}


def ensemble_to_xarray(ensemble: Ensemble, parameters: Sequence[str]) -> xarray.Dataset:
    """An ensemble with named dimensions.

    Parameters
    ----------
    ensemble : Ensemble
    parameters : sequence of str
        Names of theta_1..theta_d.

    Returns
    -------
    xarray.Dataset
        `theta` (step, parameter, replica), dimensionless; `step` in steps; `status` (replica): -1, or the step at which
        a replica went out of bounds; `settled` (step, replica) where the ensemble has it.

    Raises
    ------
    InvalidInput
        When there are not as many names as parameters.
    ImportError
        Without xarray.
    """
    xr = _xarray()
    if len(parameters) != ensemble.points.shape[1]:
        raise InvalidInput("parameters", f"={list(parameters)} must be {ensemble.points.shape[1]} names")
    variables: dict[str, Any] = {
        "theta": (("step", "parameter", "replica"), ensemble.points, {"long_name": "parameters", "units": "1"}),
        "status": ("replica", ensemble.status, {"long_name": "step out of bounds, or -1", "units": "steps"}),
    }
    if ensemble.settled is not None:
        variables["settled"] = (("step", "replica"), ensemble.settled, {"long_name": "came to rest without noise"})
    coordinates = {
        "step": ("step", ensemble.schedule, {"units": "steps"}),
        "parameter": list(parameters),
        "replica": np.arange(ensemble.replicas),
    }
    told = {"seed": ensemble.seed, "replica_steps": ensemble.replica_steps, "seconds": ensemble.seconds}
    return xr.Dataset(variables, coordinates, told)


def verdict_to_xarray(verdict: Verdict) -> xarray.Dataset:
    """What a verdict compared: `predicted`, `measured` and `standard_error` in the shape of the statistic.

    Dimensions are those of the statistic: `parameter` (drift, fixed point), `parameter` and `other` (covariance),
    `step` and `parameter` (trajectory), `component` for any other. The verdict and its error are attributes.

    Raises
    ------
    InvalidInput
        When the claim was not applicable: it has no numbers.
    ImportError
        Without xarray.
    """
    xr = _xarray()
    if verdict.predicted is None:
        raise InvalidInput("verdict", f" has no numbers: {verdict}")
    dimensions, coordinates = _axes(verdict)
    units = {"long_name": verdict.claim.kind, "units": _UNITS.get(verdict.claim.kind, "1")}
    values = {name: getattr(verdict, name) for name in ("predicted", "measured", "standard_error")}
    variables = {name: (dimensions, value, units) for name, value in values.items() if value is not None}
    low, high = verdict.interval or (np.nan, np.nan)
    told = {
        "claim": verdict.claim.title,
        "verdict": verdict.verdict,
        "relative_error": verdict.relative_error,
        "interval": [low, high],
        "margin": verdict.margin,
        "confidence": verdict.confidence,
    }
    return xr.Dataset(variables, coordinates, told)


def _axes(verdict: Verdict) -> tuple[tuple[str, ...], dict[str, Any]]:
    names, predicted = list(verdict.parameters), verdict.predicted
    assert predicted is not None
    if predicted.shape == (len(names),) and verdict.labels == verdict.parameters:
        return ("parameter",), {"parameter": names}
    if verdict.times is not None:
        return ("step", "parameter"), {"step": ("step", verdict.times, {"units": "steps"}), "parameter": names}
    if predicted.shape == (len(names),) * 2:
        return ("parameter", "other"), {"parameter": names, "other": names}
    axes = tuple(f"component_{k}" for k in range(predicted.ndim)) if predicted.ndim > 1 else ("component",)
    labels = {axes[0]: list(verdict.labels)} if predicted.ndim == 1 and verdict.labels else {}
    return axes, labels


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise ImportError("labelled arrays need xarray: pip install flatmin[io]") from error
    return xarray
