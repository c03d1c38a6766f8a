"""Verdicts about staying, leaving and linear scaling: true claims are supported, false ones refuted."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import verify
from flatmin.sims.measure_start import EscapeMeasurement
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.prediction import predict

a, b, w, u, v = sp.symbols("a b w u v", real=True)
BUMPS = Model((a, b, w), [a * sp.exp(0.3 * w - w**2), b * sp.exp(-0.3 * w - w**2)], y=[0.4, 0.4])
TOP = [0.4, 0.4, 0.0]
FORK = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])
START = [1.3, 0.77, -0.385]
# A busy machine may take a minute to compile; the budget never binds here.
BUDGET = 600.0


@pytest.mark.parametrize("batch", [1, "full"])
def test_without_label_noise_it_stays(batch):
    (verdict,) = verify(
        FORK, Algorithm(0.3, batch, LabelNoise(0.0)), start=START, claims=[Claim("stays")], seed=2, budget=BUDGET
    )
    assert verdict.verdict == "supported", verdict
    assert [r.verdict for r in verdict.rivals] == ["refuted", "refuted"]


def test_with_label_noise_it_does_not():
    (verdict,) = verify(
        FORK, Algorithm(0.3, 1, LabelNoise(0.05)), start=START, claims=[Claim("stays")], seed=2, budget=BUDGET
    )
    assert verdict.verdict == "refuted"
    assert verdict.rivals[0].verdict == "supported"  # it goes where the slow flow says


def test_a_maximum_of_r_is_left_at_the_rate_of_the_full_r():
    claims = [
        Claim("escape"),
        Claim("escape", "small-lr"),
        Claim("escape", "conjecture", regularizer=-(w**2)),
    ]
    right, small, steep = verify(
        BUMPS, Algorithm(1.2, "full", LabelNoise(0.1)), start=TOP, claims=claims, seed=3, margin=0.2, budget=BUDGET
    )
    assert right.verdict == "supported", right
    assert {r.theory for r in right.rivals if r.verdict == "refuted"} == {"small-lr", "lambda x 2", "stays at start"}
    assert (small.verdict, steep.verdict) == ("refuted", "refuted")
    assert right.labels == ("growth rate",)


def test_the_growth_of_a_linear_process_is_exact():
    """x(2t) = g x(t) + noise with rows of known moments; the derivative by central differences, right to 1e-8."""
    problem = predict(BUMPS, Algorithm(1.2, "full", LabelNoise(0.1)), Claim("escape"), np.array(TOP)).problem
    measurement = EscapeMeasurement(problem, 1.2)
    means = np.array([0.7, 0.7 * np.exp(1.3)])
    value, slope = measurement.statistic(means)
    assert value == pytest.approx([1.3 / problem.horizon], rel=1e-14)
    for j in range(2):
        step = 1e-5 * np.eye(2)[j]
        ahead, behind = (measurement.statistic(means + s)[0] for s in (step, -step))
        assert slope[0, j] == pytest.approx((ahead - behind)[0] / 2e-5, rel=1e-8)


def test_linear_scaling_holds_at_small_eta_h_and_fails_at_large():
    def verdicts(lr):
        settings = {"lr": lr / 2, "batch_size": "same"}
        claims = [Claim("scaling", "small-lr", settings=settings), Claim("scaling", settings=settings)]
        return verify(FORK, Algorithm(lr, "full", LabelNoise(0.1)), start=START, claims=claims, seed=4, budget=BUDGET)

    collapse, derived = verdicts(0.04)
    assert (collapse.verdict, derived.verdict) == ("supported", "supported")
    collapse, derived = verdicts(0.6)
    assert (collapse.verdict, derived.verdict) == ("refuted", "supported")
    assert derived.rivals[-1].verdict == "refuted"
