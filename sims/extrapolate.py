"""Extrapolation of a statistic to vanishing noise, with the extrapolation's own uncertainty in the error.

Theory speaks of the limit lambda -> 0. A statistic measured at independent strengths lambda_j has the expansion
a + b lambda + c lambda^2 + ...; a is what is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .confidence import weighted_chi2_tail

__all__ = ["Estimate", "Rung", "extrapolate", "joint_covariance", "polynomial_weights"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rung:
    """A statistic measured at one strength.

    Attributes
    ----------
    strength : float
        lambda.
    mean : ndarray, shape (D,)
    covariance : ndarray, shape (D, D)
        Of the mean.
    replicas : int
    steps : int
        Of each replica; 0 where nobody says.
    """

    strength: float
    mean: Array
    covariance: Array
    replicas: int
    steps: int = 0


@dataclass(frozen=True)
class Estimate:
    """The limit lambda -> 0 of a statistic.

    Attributes
    ----------
    value : ndarray, shape (D,)
    covariance : ndarray, shape (D, D)
        Statistical covariance of `value`.
    truncation : float
        Bound on the norm of the error by the first term left out of the polynomial.
    uncertain : float
        Part of the truncation that is there because the last term kept is not known better: it falls with more data.
    degree : int
    fit_probability : float
        Probability of residuals as large as these if the polynomial is right; 1 when there are none.
    misfit : float
        Largest norm of a residual.
    strengths : tuple of float
    replicas : int
        At the strength with the fewest.
    widening : float
        Factor of intervals for what heavy tails do to a mean of so many replicas.
    rungs : tuple of Rung
        What was extrapolated.
    coefficients : ndarray, shape (degree + 1, D), or None
        Of the powers of strength over the largest strength; the first is `value`.
        With `power`: p, log A and c, shape (3, 1).
    power : float or None
        q, where A lambda^p (1 + c lambda^q) was fitted and `value` is p; None for a polynomial.
    fraction : bool
        Whether `value`, one number, is a fraction of the `replicas`: its interval is then exact.
    """

    value: Array
    covariance: Array
    truncation: float
    degree: int
    fit_probability: float
    misfit: float
    strengths: tuple[float, ...]
    replicas: int
    widening: float = 1.0
    fraction: bool = False
    rungs: tuple[Rung, ...] = ()
    coefficients: Array | None = None
    power: float | None = None
    uncertain: float = 0.0

    def in_units(self, unit: float, size: int) -> Estimate:
        """The first `size` components, in units in which one is `unit`."""
        rungs = (
            replace(r, mean=r.mean[:size] * unit, covariance=r.covariance[:size, :size] * unit**2) for r in self.rungs
        )
        return replace(
            self,
            value=self.value[:size] * unit,
            covariance=self.covariance[:size, :size] * unit**2,
            misfit=self.misfit * unit,
            truncation=self.truncation * unit,
            uncertain=self.uncertain * unit,
            rungs=tuple(rungs),
            coefficients=None if self.coefficients is None else self.coefficients[:, :size] * unit,
        )


def polynomial_weights(strengths: Array, variances: Array, degree: int) -> Array:
    """Weights of a least squares fit of `degree`, shape (degree + 1, J): row p gives the coefficient of x^p.

    x = strength over the largest strength, so that a coefficient is the size of its term there.
    """
    x = np.vander(strengths / strengths.max(), degree + 1, increasing=True)
    root = 1 / np.sqrt(variances)
    return np.linalg.pinv(x * root[:, None]) * root


def joint_covariance(rungs: Sequence[Rung]) -> Array:
    """Covariance of the means of independent rungs, shape (J, D, J, D)."""
    size, d = len(rungs), len(rungs[0].mean)
    joint = np.zeros((size, d, size, d))
    for j, rung in enumerate(rungs):
        joint[j, :, j, :] = rung.covariance
    return joint


def extrapolate(rungs: Sequence[Rung], degree: int, joint: Array | None = None) -> Estimate:
    """Fit a polynomial of `degree` in lambda to rungs and return its value at 0.

    `joint` is the covariance of their means, shape (J, D, J, D), where they have random numbers in common; without it
    they are independent. The same weights, those for independent rungs, serve every component, so that the covariance
    of the limit is sum_jk w_j w_k C_jk whatever the correlation between components. The first term left out is taken to
    be no larger, at the largest strength, than the last one kept (a series that converges there); it is carried through
    the same weights.
    """
    strengths = np.array([r.strength for r in rungs])
    means = np.stack([r.mean for r in rungs])
    covariances = np.stack([r.covariance for r in rungs])
    # A floor keeps an exact rung (zero variance) from taking all the weight and the fit from dividing by zero.
    traces = np.trace(covariances, axis1=1, axis2=2)
    variances = np.maximum(traces, max(float(traces.max()) * 1e-12, 1e-300))
    weights = polynomial_weights(strengths, variances, degree)
    coefficients = weights @ means
    joint = joint_covariance(rungs) if joint is None else joint
    covariance = np.einsum("j,k,jakb->ab", weights[0], weights[0], joint)
    last_error = float(np.sqrt(max(np.einsum("j,k,jaka->", weights[degree], weights[degree], joint), 0.0)))
    missing = abs(float(weights[0] @ (strengths / strengths.max()) ** (degree + 1)))
    last = float(np.linalg.norm(coefficients[degree]))
    residuals = means - np.vander(strengths / strengths.max(), degree + 1, increasing=True) @ coefficients
    return Estimate(
        value=coefficients[0],
        covariance=covariance,
        truncation=missing * (last + last_error),
        degree=degree,
        fit_probability=_fit_probability(strengths, means, joint, weights),
        misfit=float(np.max(np.linalg.norm(residuals, axis=1))),
        strengths=tuple(strengths.tolist()),
        replicas=min(r.replicas for r in rungs),
        rungs=tuple(rungs),
        coefficients=coefficients,
        # The size of a term is at least what it is less twice its error.
        uncertain=missing * (last_error + min(last, 2 * last_error)),
    )


def _fit_probability(strengths: Array, means: Array, joint: Array, weights: Array) -> float:
    x = np.vander(strengths / strengths.max(), len(weights), increasing=True)
    residual_map = np.eye(len(strengths)) - x @ weights
    residuals = residual_map @ means
    scales = np.sqrt(np.maximum(np.einsum("jaja->j", joint), 1e-300))
    # The residuals over their scales are a Gaussian vector; its squared norm is a weighted sum of chi-squares.
    mapped = residual_map / scales[:, None]
    spread = np.einsum("ij,kl,jalb->iakb", mapped, mapped, joint, optimize=True)
    size = spread.shape[0] * spread.shape[1]
    eigenvalues = np.linalg.eigvalsh(spread.reshape(size, size))
    kept = eigenvalues[eigenvalues > 1e-10 * max(float(eigenvalues.max(initial=0.0)), 1e-300)]
    statistic = float(np.sum((residuals / scales[:, None]) ** 2))
    return weighted_chi2_tail(statistic, kept) if kept.size and len(strengths) > len(weights) else 1.0


def paired_covariance(tables: list[Array], rungs: list[Rung]) -> Array:
    """Covariance of the means of rungs that have their random numbers in common, shape (J, D, J, D)."""
    stacked = np.stack(tables, axis=1)
    size = len(stacked)
    joint = np.einsum("rja,rkb->jakb", stacked, stacked, optimize=True) / (size - 1) / size
    for j, rung in enumerate(rungs):
        joint[j, :, j, :] = rung.covariance  # with the resolution
    return joint
