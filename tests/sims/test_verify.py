"""Claims decided by simulation: true ones supported, mutants refuted, and data that cannot decide."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import verify
from flatmin.sims import verify as verify_function
from flatmin.sims.ladder import Ladder
from flatmin.sims.measure import measurement
from flatmin.sims.measured import Measured
from flatmin.sims.random import claim_key
from flatmin.sims.sampler import Sampler
from flatmin.theory import Algorithm, Claim, InvalidInput, LabelNoise, Model
from flatmin.theory.prediction import predict

U, V, W = sp.symbols("u v w", real=True)
ETA, SIGMA, B, LAM = sp.symbols("eta sigma B lam")
UV = Model((U, V), U * V, y=[1.0])
SGD = Algorithm(0.2, 1, LabelNoise(0.1))
START = {U: 2.0, V: 0.5}
KINDS = ("drift", "covariance", "trajectory", "fixed-point")
R = -sp.log(1 - ETA * (U**2 + V**2) / 2) / (2 * ETA)


@pytest.fixture(scope="module")
def true_verdicts():
    return verify(UV, SGD, start=START, claims=[Claim(k) for k in KINDS], seed=1)


def test_true_claims_are_supported(true_verdicts):
    assert [v.verdict for v in true_verdicts] == ["supported"] * 4
    for verdict in true_verdicts:
        assert verdict.measured.shape == verdict.predicted.shape == verdict.standard_error.shape
        assert len(verdict.strengths) == 4
        # "over a decade", as the fixed-point check asks.
        assert max(verdict.strengths) == pytest.approx(10 * min(verdict.strengths), rel=1e-2)


def test_rivals_are_refuted_by_the_same_data(true_verdicts):
    drift, covariance, trajectory, fixed = true_verdicts
    for verdict in (drift, covariance, trajectory):
        rivals = {r.theory: r.verdict for r in verdict.rivals}
        assert rivals == {"small-lr": "refuted", "lambda x 2": "refuted", "stays at start": "refuted"}
        assert verdict.indistinguishable == ()
    # The end does not depend on lambda: no data can tell, and the verdict says so.
    assert "lambda x 2" in fixed.indistinguishable
    assert any("indistinguishable" in note for note in fixed.notes)
    assert {r.theory: r.verdict for r in fixed.rivals}["stays at start"] == "refuted"


def test_same_seed_same_numbers_and_threads_do_not_matter(true_verdicts):
    again = verify(UV, SGD, start=START, claims=[Claim("drift")], seed=1, threads=1)
    other = verify(UV, SGD, start=START, claims=[Claim("drift")], seed=2)
    # One claim instead of four changes the level and so the sample size: compare like with like.
    twice = verify(UV, SGD, start=START, claims=[Claim("drift")], seed=1, threads=2)
    np.testing.assert_array_equal(again[0].measured, twice[0].measured)
    assert not np.array_equal(again[0].measured, other[0].measured)


MUTANTS = {
    "sign of R": Claim("drift", "conjecture", regularizer=-R),
    "factor 2 in lambda": Claim("drift", "conjecture", regularizer=R, strength=2 * ETA * SIGMA**2 / B),
    "tr H/4 for R": Claim("drift", "conjecture", regularizer=(U**2 + V**2) / 4),
    "S without projection": Claim(
        "covariance", "conjecture", covariance=LAM * (2 * sp.eye(2) - ETA * sp.Matrix([[V**2, 1], [1, U**2]])).inv()
    ),
    "zero covariance": Claim("covariance", "conjecture", covariance=sp.zeros(2)),
    "tr H/4 for R along the path": Claim("trajectory", "conjecture", regularizer=(U**2 + V**2) / 4),
    "another end": Claim("fixed-point", "conjecture", regularizer=(U - 2 * V) ** 2),
}


def test_mutants_of_the_theory_are_refuted():
    verdicts = verify(UV, SGD, start=START, claims=[Claim("drift", "paper"), *MUTANTS.values()], seed=3)
    assert verdicts[0].verdict == "supported"
    assert {name: v.verdict for name, v in zip(MUTANTS, verdicts[1:])} == dict.fromkeys(MUTANTS, "refuted")


def test_the_closed_form_is_refuted_where_the_batch_is_finite():
    model = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
    algorithm = Algorithm(0.3, 1, LabelNoise(0.1))
    claims = [Claim(k, t) for k in ("drift", "covariance") for t in ("derived", "paper", "small-lr")]
    verdicts = verify(model, algorithm, start=[2.0, 0.5, -0.25], claims=claims, seed=4)
    assert [v.verdict for v in verdicts] == ["supported", "refuted", "refuted"] * 2


def test_one_sigma_per_sample_without_replacement_and_gaussian():
    model = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
    noise = LabelNoise((0.05, 0.3), "gaussian")
    for algorithm in (Algorithm(0.3, "full", noise), Algorithm(0.2, 1, noise, "without-replacement")):
        claims = [Claim("drift"), Claim("covariance"), Claim("drift", "paper")]
        verdicts = verify(model, algorithm, start=[2.0, 0.5, -0.25], claims=claims, seed=5)
        assert [v.verdict for v in verdicts] == ["supported", "supported", "not-applicable"]
        assert "equal label noise" in verdicts[2].reason


@pytest.mark.parametrize(
    ("algorithm", "start", "reason"),
    [
        (Algorithm(0.5, 1, LabelNoise(0.1)), [2.0, 0.5], "learning rate"),
        (Algorithm(0.2, 1, LabelNoise(0.0)), [2.0, 0.5], "label noise"),
    ],
)
def test_not_applicable_names_the_assumption(algorithm, start, reason):
    (verdict,) = verify(UV, algorithm, start=start, claims=[Claim("drift")])
    assert verdict.verdict == "not-applicable"
    assert reason in verdict.reason
    assert verdict.measured is None
    assert any(a.name == reason and not a.holds for a in verdict.assumptions)


def test_too_small_a_budget_is_inconclusive_and_says_what_it_needs():
    (verdict,) = verify(UV, SGD, start=START, claims=[Claim("fixed-point")], budget=1e-3)
    assert verdict.verdict == "inconclusive"
    assert "budget" in verdict.reason
    assert "would decide it" in verdict.reason


def test_divergence_gives_no_verdict(monkeypatch):
    """Replicas that leave are neither averaged nor dropped."""
    monkeypatch.setattr("flatmin.sims.measure_local._Local.largest_strength", lambda self: 1e6)
    (verdict,) = verify(UV, SGD, start=START, claims=[Claim("covariance")], seed=6)
    assert verdict.verdict == "inconclusive"
    assert "diverge" in verdict.reason


def test_an_unsettled_ensemble_gives_no_verdict():
    """A horizon that is far too short is noticed in the data."""
    prediction = predict(UV, SGD, Claim("fixed-point"), np.array([2.0, 0.5]))
    short = replace(prediction.problem, horizon=0.2, relaxation=0.2)
    from flatmin.sims.gauge import Goal
    from flatmin.sims.kernel import Kernel
    from flatmin.sims.progress import Silent

    def residual(problem):
        ladder = Ladder(
            UV, SGD, Kernel.for_model(UV), measurement(problem, SGD.lr), seed=7, threads=None, progress=Silent()
        )
        return ladder.run(Goal(0.01 * prediction.scale, 1e-3, 30.0)).residual

    assert residual(short) > 0.1 * prediction.scale
    assert residual(prediction.problem) < 0.005 * prediction.scale


def test_heavy_tails_give_no_verdict(monkeypatch):
    """A few replicas that carry the mean make any normal interval a lie."""
    original = Sampler.rows

    def poisoned(self, ensemble, strength):
        rows = original(self, ensemble, strength)
        # The pilot must not see it: it would plan for it.
        if claim_key("main") in ensemble.key:
            rows[0] *= 1e3
        return rows

    monkeypatch.setattr(Sampler, "rows", poisoned)
    (verdict,) = verify(UV, SGD, start=START, claims=[Claim("covariance")], seed=8)
    assert verdict.verdict == "inconclusive"
    assert "heavy tails" in verdict.reason


def test_a_bias_that_is_no_polynomial_gives_no_refutation(monkeypatch):
    """A bias as sqrt(lambda) fits no polynomial: the strengths fall until it is small, or nothing is decided."""
    original = Sampler.rows
    monkeypatch.setattr(
        Sampler, "rows", lambda self, ensemble, strength: original(self, ensemble, strength) * (1 + 20 * strength**0.5)
    )
    (verdict,) = verify(UV, SGD, start=START, claims=[Claim("covariance")], margin=0.005, seed=9)
    assert verdict.verdict in ("inconclusive", "supported")
    assert max(verdict.strengths) < 1e-7


@pytest.mark.parametrize(("error", "expected"), [(0.015, "supported"), (0.025, "refuted"), (0.02, "inconclusive")])
def test_near_the_margin_more_data_decide(error, expected):
    """Half a margin planned would leave these open; at the margin itself no budget decides, and it says so."""
    strength = ETA * SIGMA**2 / B / (1 + sp.Rational(repr(error)))
    claim = Claim("drift", "conjecture", regularizer=R, strength=strength)
    (verdict,) = verify(UV, SGD, start=START, claims=[claim], seed=11, budget=5.0)
    assert verdict.verdict == expected
    said = "would decide it" in verdict.reason or "too close to it for any budget" in verdict.reason
    assert said is (expected == "inconclusive")


@pytest.mark.parametrize(
    ("off", "truncation", "uncertain", "spread", "reason"),
    [
        (0.0, 0.03, 0.0, 0.0, "margin: what the extrapolation leaves out alone counts 3 %"),
        (0.01, 0.015, 0.0, 0.0, "margin: what the extrapolation leaves out alone counts 1.5 %"),
        (0.0, 0.01, 0.0, 0.05, r"margin; a budget of about \d+ s would decide it"),
        (0.0, 0.0, 0.0, 50.0, r"margin; a budget of about \de\+\d\d s would decide it"),
        (0.0, 0.0, 0.0, 0.05, r"margin; a budget of about \d+ s would decide it"),
        (0.0199, 0.001, 0.001, 0.0, r"margin; a budget of about \d+ s would decide it"),
        (0.0199, 0.001, 0.0, 0.0, "margin: the error is too close to it for any budget"),
        (0.01999999, 0.0, 0.0, 0.01, "margin: the error is too close to it for any budget"),
    ],
)
def test_what_keeps_a_claim_open_is_told(off, truncation, uncertain, spread, reason, monkeypatch):
    """What the extrapolation leaves out, too few data for the budget, or an error at the margin."""
    original, claim = Ladder.run, Claim("drift")
    predicted = predict(UV, SGD, claim, np.array([2.0, 0.5])).value

    def changed(self, goal):
        measured = original(self, goal)
        size = np.linalg.norm(measured.estimate.value)
        wide = measured.estimate.covariance + (spread * size) ** 2 * np.eye(2)
        bias = {"truncation": truncation * size, "uncertain": uncertain * size}
        estimate = replace(measured.estimate, covariance=wide, **bias)
        estimate = replace(estimate, value=predicted * (1 + off) if off else estimate.value)
        return replace(measured, seconds=1.0, estimate=estimate)

    monkeypatch.setattr(Ladder, "run", changed)
    (verdict,) = verify(UV, SGD, start=START, claims=[claim], seed=11, budget=5.0)
    assert verdict.verdict == "inconclusive"
    assert re.search(f"{reason}$", verdict.reason), verdict.reason


def test_a_rival_shares_the_trouble_of_its_claim(monkeypatch):
    trouble = Measured(None, 0.0, "nothing could be measured", 1.0, 0.0)
    monkeypatch.setattr(Ladder, "run", lambda self, *_, **__: trouble)
    (verdict,) = verify(UV, SGD, start=START, claims=[Claim("drift")])
    assert verdict.verdict == "inconclusive"
    assert {r.verdict for r in verdict.rivals} == {"inconclusive"}


def test_theories_of_other_kinds_wait_until_they_are_asked_for(monkeypatch):
    asked, known = [], []

    def noted(model, algorithm, claim, start):
        asked.append(claim.kind)
        return predict(model, algorithm, claim, start)

    def run(self, *_, **__):
        known.append(list(asked))
        return Measured(None, 0.0, "nothing could be measured", 1.0, 0.0)

    monkeypatch.setattr("flatmin.sims.study_verdicts.predict", noted)
    monkeypatch.setattr(Ladder, "run", run)
    verify(UV, SGD, start=START, claims=[Claim("drift"), Claim("covariance"), Claim("drift", "paper")])
    # The most demanding claim about a statistic sets its sample size: the other drift is known with the first.
    assert known == [["drift", "drift"], ["drift", "drift", "covariance"]]


def test_zero_prediction_at_a_stationary_start():
    (drift, fixed) = verify(UV, SGD, start=[1.0, 1.0], claims=[Claim("drift"), Claim("fixed-point")], seed=10)
    assert (drift.verdict, fixed.verdict) == ("supported", "supported")
    assert any("zero" in note for note in drift.notes)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"margin": 2.0}, "run.margin"),
        ({"margin": True}, "run.margin"),
        ({"confidence": 0.5}, "run.confidence"),
        ({"budget": float("nan")}, "run.budget"),
        ({"seed": -1}, "run.seed"),
        ({"claims": []}, "claims"),
        ({"start": [1.0]}, "start"),
        ({"start": {U: 1.0}}, "start"),
        ({"start": {U: 1.0, V: float("inf")}}, "start.v"),
    ],
)
def test_bad_options_name_their_field(options, field):
    arguments = {"start": START, "claims": [Claim("drift")], **options}
    with pytest.raises(InvalidInput, match=field.replace(".", r"\.")):
        verify_function(UV, SGD, **arguments)
