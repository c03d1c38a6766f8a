"""`Claim` and `RunOptions`: what they refuse, and conjectures that do not fit a model."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, InvalidInput, LabelNoise, Model
from flatmin.theory.claim import RunOptions
from flatmin.theory.prediction import predict

U, V = sp.symbols("u v", real=True)
ETA, LAM = sp.symbols("eta lam")

UV = Model((U, V), U * V, y=[1.0])
FULL = Algorithm(0.27, "full", LabelNoise(0.1))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"kind": "speed"}, "claim.kind"),
        ({"kind": "drift", "theory": "folklore"}, "claim.theory"),
        ({"kind": "drift", "regularizer": U}, "claim.regularizer"),
        ({"kind": "drift", "theory": "paper", "strength": ETA}, "claim.strength"),
        ({"kind": "drift", "theory": "conjecture"}, "claim"),
        ({"kind": "drift", "theory": "conjecture", "regularizer": U, "covariance": sp.eye(2)}, "claim"),
        ({"kind": "drift", "theory": "conjecture", "covariance": sp.eye(2), "strength": ETA}, "claim.strength"),
        ({"kind": "covariance", "theory": "conjecture", "regularizer": U}, "claim.covariance"),
    ],
)
def test_claims_that_cannot_be(arguments, field):
    with pytest.raises(InvalidInput) as error:
        Claim(**arguments)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (Claim("drift", "conjecture", regularizer=U * sp.Symbol("q")), "claim.regularizer"),
        (Claim("drift", "conjecture", regularizer=U * LAM), "claim.regularizer"),
        (Claim("drift", "conjecture", regularizer=U, strength=ETA * U), "claim.strength"),
        (Claim("covariance", "conjecture", covariance=sp.eye(3)), "claim.covariance"),
        (Claim("covariance", "conjecture", covariance=sp.eye(2) * sp.Symbol("q")), "claim.covariance"),
    ],
)
def test_conjectures_that_do_not_fit_the_model(claim, field):
    with pytest.raises(InvalidInput) as error:
        predict(UV, FULL, claim, np.array([1.0, 1.0]))
    assert error.value.field == field


def test_a_parameter_named_like_a_constant_of_conjectures():
    eta = sp.Symbol("eta", real=True)
    model = Model((eta, V), eta * V, y=[1.0])
    assert predict(model, FULL, Claim("drift"), np.array([1.3, 0.8])).failed is None
    with pytest.raises(InvalidInput, match=r"model\.parameters=\['eta'\] have a fixed meaning"):
        predict(model, FULL, Claim("drift", "conjecture", regularizer=V), np.array([1.3, 0.8]))


def test_claim_titles_and_run_options():
    assert Claim("drift").title == "drift (derived)"
    assert Claim("drift", name="mine").title == "mine"
    assert RunOptions().margin == 0.02
    for field, values in {
        "margin": (0, 1, True, float("nan")),
        "confidence": (0.5, 1.0, "0.9"),
        "budget": (0, -1.0, float("inf")),
        "seed": (-1, 1.5, True, 2**63),
    }.items():
        for value in values:
            with pytest.raises(InvalidInput) as error:
                RunOptions(**{field: value})
            assert error.value.field == f"run.{field}"
    assert RunOptions(margin=0.5, confidence=0.51, budget=1, seed=2**63 - 1).budget == 1.0
