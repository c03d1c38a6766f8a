"""Claims about coupling, hitting times and basins, decided by simulation: true ones supported, false ones refuted."""

from __future__ import annotations

import pytest
import sympy as sp
from flatmin.sims import verify
from flatmin.sims.measure_coupling import CouplingMeasurement
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.prediction import predict

U, V = sp.symbols("u v", real=True)
UV = Model((U, V), U * V, y=[1.0])
ELLIPSE = Model((U, V), U**2 + 4 * V**2, y=[1.0])
SGD = Algorithm(0.2, 1, LabelNoise(0.1))
SLOW = Algorithm(0.1, 1, LabelNoise(0.1))


def claim(kind, theory="derived", regularizer=None, **settings):
    return Claim(kind, theory, regularizer=regularizer, settings=settings)


def decided(claims, model=UV, algorithm=SGD, start=(2.0, 0.5), **options):
    # On a busy machine compiling alone may take the default budget.
    return verify(model, algorithm, start=list(start), claims=claims, **{"budget": 600.0, **options})


def test_short_coupling():
    claims = [
        claim("coupling", window="short"),
        claim("coupling", window="short", exponent=0.75),
        claim("coupling", window="short", exponent=0.75, bound=True),
        claim("coupling", window="short", exponent=1.5, bound=True),
    ]
    verdicts = decided(claims, margin=0.1, seed=2)
    assert [v.verdict for v in verdicts] == ["supported", "refuted", "supported", "refuted"]
    true = verdicts[0]
    assert {r.theory: r.verdict for r in true.rivals} == dict.fromkeys(
        ("exponent 0", "exponent 0.5", "exponent 0.75", "exponent 1.5"), "refuted"
    )
    # One set of data for all four.
    assert sum(v.replica_steps > 0 for v in verdicts) == 1
    assert max(true.strengths) == pytest.approx(10**1.5 * min(true.strengths), rel=1e-2)
    assert true.labels == ("exponent",)


@pytest.mark.parametrize("window", ["short", "middle", "long"])
@pytest.mark.parametrize("start", [(2.0, 0.5), (3.0, 1 / 3), (10.0, 0.1)])
@pytest.mark.parametrize("lr", [0.1, 0.01, 1e-3])
def test_the_path_is_known_over_every_window(start, lr, window):
    """At the largest strength too, whatever the learning rate; outside of what is known there is no path."""
    algorithm = Algorithm(min(lr, 1 / (start[0] ** 2 + start[1] ** 2)), 1, LabelNoise(0.1))
    problem = predict(UV, algorithm, claim("coupling", window=window), list(start)).problem
    measurement = CouplingMeasurement(problem, algorithm.lr)
    strength = measurement.largest_strength()
    schedule = measurement.schedule(strength)
    assert measurement.rate * strength * schedule[-1] < {"short": 0.52, "middle": 0.52, "long": 1.01}[window]
    assert measurement._path(schedule, strength).shape == (len(schedule), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("window", "wrong"), [("long", 0.75), ("middle", 0.5), ("middle", 1.0)])
def test_longer_couplings(window, wrong):
    claims = [claim("coupling", window=window), claim("coupling", window=window, exponent=wrong)]
    assert [v.verdict for v in decided(claims, margin=0.1, seed=2)] == ["supported", "refuted"]


@pytest.mark.slow
def test_along_the_path_of_a_wrong_theory_nothing_is_coupled():
    (verdict,) = decided([claim("coupling", "small-lr", window="long")], margin=0.1, seed=2)
    assert verdict.verdict == "refuted"
    # theta - Phi is of order one.
    assert abs(verdict.measured[0]) < 0.15


def test_hitting_time():
    wrong = claim("hitting-time", "conjecture", regularizer=(U**2 + V**2) / 2, gamma=0.2)
    true, small, other = decided(
        [claim("hitting-time", gamma=0.2), claim("hitting-time", "small-lr", gamma=0.2), wrong], seed=3
    )
    assert (true.verdict, small.verdict, other.verdict) == ("supported", "refuted", "refuted")
    assert {r.theory: r.verdict for r in true.rivals} == dict.fromkeys(
        ("small-lr", "lambda x 2", "stays at start"), "refuted"
    )


def test_a_point_that_is_not_stationary_is_not_met():
    # The flow of this R ends where u is 1.25 times v, which the ensemble passes by; the ball around it is met in time.
    # That of the other one is on the other side of the start: nobody comes.
    away = claim("hitting-time", "conjecture", regularizer=(U - 3) ** 2, gamma=0.2)
    (verdict,) = decided([away], seed=3)
    assert verdict.verdict == "refuted"
    assert {r.theory: r.verdict for r in verdict.rivals}["stays at start"] == "supported"


def test_hitting_exponent_off_gamma():
    off = {"gamma": 0.2, "displacement": [0.1, 0.05]}
    claims = [
        claim("hitting-exponent", **off),
        claim("hitting-exponent", **off, exponent=-1.1),
        claim("hitting-exponent", **off, exponent=-1.5, bound=True),
        claim("hitting-exponent", **off, exponent=-0.9, bound=True),
    ]
    verdicts = decided(claims, seed=4)
    assert [v.verdict for v in verdicts] == ["supported", "refuted", "supported", "refuted"]


@pytest.mark.slow
def test_reaches():
    claims = [
        claim("reaches", gamma=0.2),
        # It would go to (-1, 0).
        claim("reaches", "conjecture", regularizer=U, gamma=0.2),
    ]
    true, false = decided(claims, ELLIPSE, SLOW, (0.3, 0.48), seed=5)
    assert (true.verdict, false.verdict) == ("supported", "refuted")
    assert (true.measured[0], false.measured[0]) == (1.0, 0.0)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_near_the_border_of_two_basins_nothing_is_refuted(seed):
    # A fifth of the spread of the ensemble at the largest strength: replicas cross to the other side.
    (verdict,) = decided([claim("reaches", gamma=0.2)], ELLIPSE, SLOW, (0.01, 0.5), seed=seed)
    assert verdict.verdict in ("inconclusive", "supported")
    if verdict.verdict == "inconclusive":
        assert 0.5 < verdict.measured[0] < 1


def test_an_exponent_of_a_time_that_never_comes():
    away = claim("hitting-exponent", "conjecture", regularizer=(U - 3) ** 2, gamma=0.2)
    (verdict,) = decided([away], seed=3)
    assert verdict.verdict == "inconclusive"
    assert "did not come within gamma" in verdict.reason


def test_too_small_a_budget_is_no_verdict():
    one = claim("hitting-exponent", gamma=0.01)
    (verdict,) = decided([one], budget=0.5)
    assert verdict.verdict == "inconclusive"
    assert "budget" in verdict.reason
