"""Formulas of claims and theories in LaTeX, and how models and theories show in notebooks."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import sympy as sp
from flatmin.sims.document import claim_entry
from flatmin.sims.report.mathml import mathml
from flatmin.sims.report.measured import measured
from flatmin.theory import Algorithm, Claim, GradientNoise, LabelNoise, Model
from flatmin.theory.claim_formulas import claim_formulas, stated
from flatmin.theory.conjecture import make_theory
from flatmin.theory.formulas import strength_formula, theory_formulas
from flatmin.theory.settings import SETTINGS
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
    assert r"\frac{\eta}{1 - \beta} \lambda V" in text(claim_formulas(Claim("drift"), HEAVY))
    own = Claim("trajectory", "conjecture", regularizer=U**2)
    assert r"\frac{d Y}{d t} = -P \, \nabla R(Y)" in text(claim_formulas(own, SGD))


# Enough of the settings that each kind needs.
GIVEN = {"window": "long", "gamma": 0.2, "moment": "mean", "plane": ["u", "v"], "lr": 0.1}


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_every_kind_says_what_it_claims_in_mathml(kind):
    claim = Claim(kind, settings={k: v for k, v in GIVEN.items() if k in SETTINGS[kind]})
    told = stated(claim, SGD)
    # Its own equations, not those of its theory alone, and no other kind's.
    others = {k for k in SETTINGS if k != kind and claim_formulas(Claim(k, settings={
        n: v for n, v in GIVEN.items() if n in SETTINGS[k]}), SGD) == claim_formulas(claim, SGD)}  # fmt: skip
    assert not others
    for latex, _ in told:
        assert mathml(latex).startswith("<math")
    assert measured(claim_entry({"name": "", "kind": kind, "verdict": "supported"}))
    assert (kind == "stays") or any(r"\lambda = " in latex for latex, _ in told)


def test_powers_and_windows_are_those_of_the_claim():
    short = Claim("coupling", settings={"window": "short", "exponent": 1.25, "bound": True})
    assert r"O(\lambda^{1.25}), \quad K = \frac{50}{\eta}" in text(stated(short, SGD))
    assert r"K = \frac{1}{\eta \sqrt{\lambda}}" in text(stated(Claim("coupling", settings={"window": "middle"}), SGD))


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
