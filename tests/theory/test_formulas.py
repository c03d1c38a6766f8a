"""Formulas of claims and theories in LaTeX, and how models and theories show in notebooks."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, GradientNoise, LabelNoise, Model
from flatmin.theory.conjecture import make_theory
from flatmin.theory.formulas import claim_formulas, strength_formula, theory_formulas
from flatmin.theory.slow import PlainRegularizer

U, V = sp.symbols("u v", real=True)
MODEL = Model((U, V), [U * V], y=[1.0])
SGD = Algorithm(lr=0.2, batch_size=1, noise=LabelNoise(0.1))
FULL = Algorithm(lr=0.2, batch_size="full", noise=LabelNoise(0.1))
HEAVY = Algorithm(lr=0.2, batch_size=1, noise=LabelNoise(0.1), momentum=0.5)
GRADIENT = Algorithm(lr=0.2, batch_size=1, noise=GradientNoise([[V**2, U * V], [U * V, U**2]], 1e-3))


def text(formulas):
    return " ; ".join(latex for latex, _ in formulas)


def test_the_closed_form():
    assert r"R = -\frac{1}{2 \eta} \operatorname{tr} \log" in text(theory_formulas("paper", SGD))
    momentum = text(theory_formulas("paper", HEAVY))
    assert r"\frac{1 + \beta}{2 \eta}" in momentum
    assert r"\frac{\eta}{2 (1 + \beta)}" in momentum
    assert strength_formula(HEAVY)[0] == r"\lambda = \frac{\eta \sigma^{2}}{B (1 - \beta)}"


def test_the_finite_batch_is_in_the_derived_theory_alone():
    assert "c = 1" in theory_formulas("derived", SGD)[0][1]
    assert r"H S H" not in text(theory_formulas("derived", FULL))
    assert r"H S H" not in text(theory_formulas("paper", SGD))


def test_gradient_noise_has_no_regularizer():
    for name in ("paper", "small-lr", "derived"):
        assert r"\Sigma" in text(theory_formulas(name, GRADIENT))
        assert "R =" not in text(theory_formulas(name, GRADIENT))


def test_kinds():
    assert r"\eta / (1 - \beta)" in text(claim_formulas("drift", HEAVY))
    assert claim_formulas("a kind of later", SGD) == ()


@pytest.mark.parametrize("name", ["derived", "paper", "small-lr", "conjecture"])
def test_theories_in_notebooks(name):
    claim = Claim("drift", name, regularizer=U**2 + sp.log(V) if name == "conjecture" else None)
    theory = make_theory(MODEL, SGD, claim)
    assert theory._repr_latex_().startswith("$S") or name == "conjecture"
    shown = "".join(ElementTree.fromstring(f"<div>{theory._repr_html_()}</div>").itertext())
    assert name in shown
    assert "λ = 0.002" in shown
    assert ("u^{2}" in shown) == (name == "conjecture")
    # A wrong version of a theory has no formula to be shown as its own.
    assert PlainRegularizer(MODEL, HEAVY).formulas() == ()


def test_models_in_notebooks():
    hostile = sp.Symbol("<b>", real=True)
    for model in (MODEL, Model((hostile,), [hostile**2], y=[1.0])):
        shown = ElementTree.fromstring(f"<div>{model._repr_html_()}</div>")
        assert {e.tag for e in shown.iter()} == {"div", "p"}
        assert "n = 1 samples; square loss" in "".join(shown.itertext())
