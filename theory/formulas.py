"""What a theory says of S, R and lambda, in LaTeX: for pages and notebooks."""

from __future__ import annotations

import sympy as sp

from .algorithm import Algorithm
from .claim import Claim
from .noise import GradientNoise, LabelFlip, LabelNoise
from .rules import SGD, HeavyBall
from .typeset import latex

__all__ = ["Formula", "strength_formula", "theory_formulas"]

Formula = tuple[str, str]
"""LaTeX, and where it holds or what stands in it, in words."""

_NAMES = {sp.Symbol("lam"): r"\lambda", sp.Symbol("lam", real=True): r"\lambda"}


def strength_formula(algorithm: Algorithm) -> Formula:
    """Lambda of the algorithm."""
    momentum = bool(algorithm.beta)
    if isinstance(algorithm.noise, GradientNoise):
        return rf"\lambda = {sp.latex(sp.Float(algorithm.noise.strength, 6))}", "strength of the gradient noise"
    below = ["B"] + ([r"(1 - \beta)"] if momentum else [])
    below = ([r"\alpha"] if isinstance(algorithm.noise, LabelFlip) else []) + below
    return rf"\lambda = \frac{{\eta \sigma^{{2}}}}{{{' '.join(below)}}}", "noise strength"


def theory_formulas(name: str, algorithm: Algorithm, claim: Claim | None = None) -> tuple[Formula, ...]:
    """S and R of a theory.

    Parameters
    ----------
    name : str
        "derived", "paper", "small-lr" or "conjecture".
    algorithm : Algorithm
    claim : Claim, optional
        Holds the user's formulas, of a conjecture.
    """
    range_of_h = "on the range of H"
    if name == "conjecture" and claim is not None:
        return tuple(_conjecture(claim))
    if name == "small-lr":
        if isinstance(algorithm.noise, GradientNoise):
            return ((r"H S + S H = \lambda \Sigma", range_of_h),)
        return ((r"S = \frac{\lambda}{2}", range_of_h), (r"R = \frac{1}{4} \operatorname{tr} H", ""))
    if isinstance(algorithm.noise, GradientNoise) and isinstance(algorithm.update_rule, SGD):
        return ((r"S = (1 - \eta H) S (1 - \eta H) + \eta \lambda \Sigma", range_of_h),)
    if name == "paper" and isinstance(algorithm.update_rule, (SGD, HeavyBall)):
        return _closed_form(bool(algorithm.beta))
    if name == "derived" and isinstance(algorithm.noise, LabelNoise) and isinstance(algorithm.update_rule, SGD):
        return _finite_batch(algorithm)
    if name != "derived":
        return ()
    return ((r"S = \mathrm{E}\left[A_{w} S A_{w}^{T}\right] + \operatorname{Cov} U(\theta, w)",
             "on the stable directions; second-order averaging of the update map U, A = dU/dtheta"),)  # fmt: skip


def _closed_form(momentum: bool) -> tuple[Formula, ...]:
    step = r"\frac{\eta}{1 + \beta}" if momentum else r"\eta"
    half = r"\frac{\eta}{2 (1 + \beta)}" if momentum else r"\frac{\eta}{2}"
    front = r"\frac{1 + \beta}{2 \eta}" if momentum else r"\frac{1}{2 \eta}"
    return (
        (rf"S = \lambda \left(2 - {step} H\right)^{{-1}}", "on the range of H"),
        (rf"R = -{front} \operatorname{{tr}} \log\left(1 - {half} H\right)", ""),
    )


def _finite_batch(algorithm: Algorithm) -> tuple[Formula, ...]:
    fresh = r"\frac{1}{n} \sum_{i} \sigma_{i}^{2} g_{i} g_{i}^{T}"
    if algorithm.batch_size == "full":
        return ((rf"S = A S A + \frac{{\eta^{{2}}}}{{B}} {fresh}", "on the range of H; A = 1 − ηH, g_i = grad f_i"),)
    part = r"c \left(\frac{1}{n} \sum_{i} (g_{i}^{T} S g_{i}) \, g_{i} g_{i}^{T} - H S H\right)"
    value = "1" if algorithm.sampling == "with-replacement" else "(n − B)/(n − 1)"
    return (
        (rf"S = A S A + \frac{{\eta^{{2}}}}{{B}} \left[{part} + {fresh}\right]",
         f"on the range of H; A = 1 − ηH, g_i = grad f_i, c = {value}: the finite batch"),
    )  # fmt: skip


def _conjecture(claim: Claim) -> list[Formula]:
    names = {**_NAMES, sp.Symbol("B"): "B"}
    told = []
    if claim.regularizer is not None:
        told.append((f"R = {latex(claim.regularizer, names)}", "the study's own"))
    if claim.strength is not None:
        told.append((rf"\lambda = {latex(claim.strength, names)}", "the study's own"))
    if claim.covariance is not None:
        told.append((f"S = {latex(claim.covariance, names)}", "the study's own"))
    return told
