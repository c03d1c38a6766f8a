"""Predictions that no data could refute, or that angles cannot tell, are none; each beside a neighbour that is one."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import catalogue
from flatmin.sims.decide import compare
from flatmin.sims.extrapolate import Estimate
from flatmin.theory import Algorithm, Claim, InvalidInput, LabelFlip, LabelNoise, Model
from flatmin.theory.prediction import predict

U, V, W, M = sp.symbols("u v w m", real=True)
UV = Model((U, V), [U * V], y=[1.0])
PAIR = Model((U, V, W), [U * V, U * W + V], y=[1.0, 0.5])


def failed(model, algorithm, claim, start):
    failure = predict(model, algorithm, claim, model.point(start)).failed
    return "" if failure is None else failure.name


@pytest.mark.parametrize(("kind", "settings"), [("drift", {}), ("trajectory", {}), ("fixed-point", {})])
def test_a_prediction_that_overflows(kind, settings):
    sgd = Algorithm(0.2, 1, LabelNoise(0.1))
    claim = Claim(kind, "conjecture", regularizer=sp.exp(400 * U), settings=settings)
    assert failed(UV, sgd, claim, [2.0, 0.5])
    assert failed(UV, sgd, Claim(kind, "conjecture", regularizer=U**2 + V**2, settings=settings), [2.0, 0.5]) == ""


def test_no_verdict_from_a_scale_that_is_none():
    one = np.ones(1)
    estimate = Estimate(one, np.zeros((1, 1)), 0.0, 1, 1.0, 0.0, (1.0,), 100)
    assert compare(one, 1.0, 0 * one, estimate, margin=0.02, level=0.01).verdict == "supported"
    for scale in (float("inf"), 0.0, float("nan")):
        with pytest.raises(ValueError, match="scale="):
            compare(one, scale, 0 * one, estimate, margin=0.02, level=0.01)


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("coupling", {"window": "short", "exponent": 1e200}, "claim.exponent"),
        ("hitting-exponent", {"gamma": 0.1, "exponent": -11.0}, "claim.exponent"),
        ("stays", {"distance": 0.0}, "claim.distance"),
    ],
)
def test_settings_that_leave_nothing_to_measure(kind, settings, field):
    with pytest.raises(InvalidInput, match=field):
        Claim(kind, settings=settings)


def test_minibatches_off_gamma():
    """They scatter the way down, by as much as the displacement, whatever lambda."""
    claim = Claim("hitting-time", settings={"gamma": 0.2, "displacement": (0.1, 0.1, 0.0)})
    names = [failed(PAIR, Algorithm(0.1, size, LabelNoise(0.1)), claim, [1.3, 0.4, 0.1]) for size in (1, "full")]
    assert names[0] == "displaced start"
    assert names[1] != "displaced start"


def test_a_ball_that_holds_the_start():
    sgd = Algorithm(0.2, 1, LabelNoise(0.1))
    assert failed(UV, sgd, Claim("reaches", settings={"gamma": 100.0}), [2.0, 0.5]) == "gamma"
    assert failed(UV, sgd, Claim("reaches", settings={"gamma": 0.1}), [2.0, 0.5]) == ""


def test_turns_that_angles_do_not_tell():
    """A conjecture that goes round between recorded times has the angles of one that hardly moves."""
    study = catalogue.load("circulation")
    settings = study.claims[0].settings
    s = sp.ImmutableMatrix(np.asarray(study.algorithm.noise.covariance)) * sp.Symbol("lam", real=True) / 2
    slow, fast = (Claim("circulation", "conjecture", covariance=factor * s, settings=settings) for factor in (1, 70))
    assert failed(study.model, study.algorithm, slow, study.start) == ""
    assert failed(study.model, study.algorithm, fast, study.start) == "slow time"


@pytest.mark.parametrize("loss", [1 / M, -sp.log(M), sp.sqrt(1 - M), sp.Max(0, 1 - M), sp.Abs(1 - M)], ids=str)
def test_margin_losses_that_are_not_smooth(loss):
    model = Model((U, V), [U * V], y=[1.0], loss=loss)
    name = failed(model, Algorithm(0.1, "full", LabelFlip(0.2)), Claim("drift"), [1.3, 0.7])
    assert name in ("smooth loss", "interpolation")
    smooth = Model((U, V), [U * V], y=[1.0], loss=sp.log(1 + sp.exp(-M)))
    assert failed(smooth, Algorithm(0.1, "full", LabelFlip(0.2)), Claim("drift"), [1.3, 0.7]) == ""
