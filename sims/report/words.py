"""Words and numbers of the page: sentences about claims, Greek letters, values with their errors."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..document import ClaimEntry

__all__ = ["cost", "figure_of", "greek", "number", "sentence", "theory_words", "with_error"]

_GREEK = {
    "eta": "η", "theta": "θ", "lambda": "λ", "sigma": "σ", "beta": "β", "alpha": "α", "mu": "μ", "gamma": "γ",
    "eps": "ε", "tau": "τ", "xi": "ξ", "delta": "δ", "Gamma": "Γ", "Sigma": "Σ", "Phi": "Φ",
}  # fmt: skip
_WORDS = re.compile(rf"\b({'|'.join(_GREEK)})\b")
_SIGNS = (("->", "→"), (" x 2", " × 2"), ("grad ", "∇"), ("hess ", "∇²"), (">=", "≥"), ("<=", "≤"), ("!=", "≠"))
_MINUS = re.compile(r"(?<![\w\-])-(?=[\w(∇]|\s\S)(?!-)")
_POWER = re.compile(r"(?<=[\w)|])\^(-?\d+)\b")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_SENTENCES = {
    "fixed-point": "From the start, the ensemble settles where the slow flow ends",
    "drift": "At the start, the mean moves along the zero-loss set at this velocity per step",
    "covariance": "Around the start, the fast fluctuation has this stationary covariance",
    "trajectory": "Over one unit of slow time, the mean follows the slow flow from the start",
    "stays": "Without label noise, SGD stays where it is on the zero-loss set",
    "escape": "The distance from a stationary point grows at this rate per step",
    "scaling": "Another learning rate and batch size at the same λ change the slow velocity by this",
    "diffusion": "The zero-loss point that θ descends to diffuses: its change per step at the start has this moment",
    "circulation": "The slow motion turns at this mean angular speed",
    "coupling": "What slow flow and linear process leave of a run is this power of λ",
    "hitting-time": "A ball around the end is met after this slow time",
    "hitting-exponent": "The number of steps until a ball is met is this power of λ",
    "reaches": "This fraction of the runs settles near the stationary point",
}
_THEORIES = {
    "derived": "derived for exactly this algorithm",
    "paper": "the closed form of the theorem",
    "small-lr": "the limit of small learning rates",
    "conjecture": "the study's own conjecture",
}


def greek(text: str) -> str:
    """Plain words with Greek letters, powers, arrows and other signs as such; still plain text."""
    for written, sign in _SIGNS:
        text = text.replace(written, sign)
    text = _WORDS.sub(lambda m: _GREEK[m[1]], text)
    text = _POWER.sub(lambda m: m[1].translate(_SUPERSCRIPTS), text)
    return _MINUS.sub("−", text)


def sentence(claim: ClaimEntry) -> str:
    """What a claim states, in one sentence; by its names alone where its kind is not known here."""
    said = _SENTENCES.get(claim.kind, f"The {claim.kind} is as predicted")
    if claim.bound:
        said = said.replace("is this power of λ", "is at most of this order in λ: its exponent is at least this")
    return f"{said}: {theory_words(claim.theory)}." if claim.theory else f"{said}."


def theory_words(theory: str) -> str:
    """Who predicts."""
    return _THEORIES.get(theory, f"theory {theory}")


def number(value: Any, digits: int = 5) -> str:
    """A number for reading, with a true minus and powers of ten written as such."""
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{value:.{digits}g}"
    if "e" not in shown:
        return shown.replace("-", "−")
    mantissa, exponent = shown.split("e")
    return f"{mantissa.replace('-', '−')} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def with_error(value: float, error: float) -> str:
    """A value with its standard error, to one significant digit of the error (two below 2)."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return number(value) if error == 0 else f"{number(value)} ± {number(error, 1)}"
    size = max(abs(value), error)
    power = 0 if 1e-3 <= size < 1e5 else math.floor(math.log10(size))
    value, error = value / 10.0**power, error / 10.0**power
    place = math.floor(math.log10(error))
    digits = max(0, min(12, -place + (error / 10.0**place < 1.95)))
    shown = f"{value:.{digits}f}".replace("-", "−")
    spread = f"{error:.{digits}f}" if digits < 8 else number(error, 2)
    return f"{shown} ± {spread}" if power == 0 else f"({shown} ± {spread}) × 10{str(power).translate(_SUPERSCRIPTS)}"


def cost(claim: ClaimEntry) -> str:
    """Replica-steps and seconds."""
    if claim.measured is None and not claim.replica_steps:
        return f"{claim.seconds:.1f} s"
    # Claims about one statistic share its data.
    steps = f"{number(claim.replica_steps, 2)} steps" if claim.replica_steps else "shared data"
    return ", ".join(part.replace(" ", "\u00a0") for part in (steps, f"{claim.seconds:.1f} s"))


def figure_of(claim: ClaimEntry, most: int = 4) -> list[tuple[str, str, str]]:
    """Name, predicted and measured of what the first table shows: a few components, or a norm."""
    predicted, measured, errors = claim.predicted, claim.shaped(claim.measured), claim.shaped(claim.standard_error)
    if predicted is None:
        return []
    shown = range(predicted.size)
    if claim.is_path:
        shown = range(predicted.size - predicted.shape[1], predicted.size)
    elif claim.is_matrix:
        shown = [i for i in shown if i // len(predicted) <= i % len(predicted)]  # type: ignore[assignment]
    if len(shown) > most:
        norm = with_error(*_norm(measured, errors)) if measured is not None and errors is not None else "–"
        return [("norm", number(float(np.linalg.norm(predicted))), norm)]
    rows = []
    for i in shown:
        value = "–" if measured is None else number(float(measured.flat[i]))
        if measured is not None and errors is not None:
            value = with_error(float(measured.flat[i]), float(errors.flat[i]))
        bound = "at least " if claim.bound else ""
        rows.append((claim.component(i), bound + number(float(predicted.flat[i])), value))
    return rows


def _norm(measured: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    # To first order, of errors that are independent: for reading only.
    norm = float(np.linalg.norm(measured))
    return norm, float(np.linalg.norm(measured * errors)) / max(norm, 1e-300)
