"""Claims about when and where the main theorem's point is met: by quadrature, by hand, and where they do not apply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow
from flatmin.theory.integration import along
from flatmin.theory.prediction import predict
from flatmin.theory.slow import SmallLearningRate
from scipy.integrate import quad

U, V = sp.symbols("u v", real=True)
UV = Model((U, V), U * V, y=[1.0])
# Gamma is an ellipse: two flat ends (1, 0) and (-1, 0), sharp at u = 0.
ELLIPSE = Model((U, V), U**2 + 4 * V**2, y=[1.0])
SGD = Algorithm(0.2, 1, LabelNoise(0.1))
SLOW = Algorithm(0.1, 1, LabelNoise(0.1))
START = np.array([2.0, 0.5])


def claim(kind, theory="derived", **options):
    own = {k: options.pop(k) for k in ("regularizer", "strength") if k in options}
    return Claim(kind, theory, settings=options, **own)


def time_on_the_hyperbola(q, gamma, eta):
    """From u^2 - v^2 = q to within gamma of (1, 1), by d log q/dt = -2/(2 - eta h), h = root(q^2 + 4)."""
    s = 1 + np.sqrt(1 + gamma**2)  # u + v where |theta - (1, 1)| = gamma and u v = 1
    end = np.sqrt((s**2 - 2) ** 2 - 4)
    return quad(lambda x: (2 - eta * np.sqrt(x**2 + 4)) / (2 * x), end, q, epsrel=1e-12)[0]


@pytest.mark.parametrize("gamma", [0.02, 0.2, 1.0])
def test_hitting_time_by_quadrature(gamma):
    prediction = predict(UV, SGD, claim("hitting-time", gamma=gamma), START)
    # The flow is integrated to 1e-9, and an error of its place there is one of the time over the speed.
    assert prediction.value == pytest.approx([time_on_the_hyperbola(3.75, gamma, 0.2)], rel=1e-6)
    rivals = {r.theory: r.value for r in prediction.rivals}
    assert rivals["lambda x 2"] == pytest.approx(prediction.value / 2)
    assert rivals["small-lr"] == pytest.approx([time_on_the_hyperbola(3.75, gamma, 0.0)], rel=1e-6)
    assert rivals["stays at start"] > 1.9 * prediction.value
    np.testing.assert_allclose(prediction.problem.given["target"], [1.0, 1.0], atol=1e-9)


def test_a_displaced_start_descends_first():
    moved = claim("hitting-time", gamma=0.2, displacement=[0.1, 0.05])
    prediction = predict(UV, SGD, moved, START)
    np.testing.assert_allclose(prediction.problem.start, START + np.array([0.1, 0.05]))
    # By hand: the iteration of the two lines of gradient descent.
    u, v = START + np.array([0.1, 0.05])
    for _ in range(500):
        r = u * v - 1
        u, v = u - 0.2 * r * v, v - 0.2 * r * u
    assert prediction.value == pytest.approx([time_on_the_hyperbola(u**2 - v**2, 0.2, 0.2)], rel=1e-6)
    on_gamma = predict(UV, SGD, claim("hitting-time", gamma=0.2), START)
    assert abs(prediction.value - on_gamma.value) > 0.01


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_which_of_two_ends_is_reached(sign):
    start = np.array([sign * 0.3, 0.48])
    reached = predict(ELLIPSE, SLOW, claim("reaches", gamma=0.2), start)
    np.testing.assert_allclose(reached.problem.given["target"], [sign, 0.0], atol=1e-8)
    assert reached.value == [1.0]
    assert any("2 stable points" in note for note in reached.notes)
    # A rival that goes the other way predicts a fraction of zero.
    other = predict(ELLIPSE, SLOW, claim("reaches", "conjecture", gamma=0.2, regularizer=sign * U), start)
    assert {r.theory: r.value for r in other.rivals}["derived"] == [0.0]
    assert other.value == [1.0]


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("coupling", {"window": "long"}, 0.5),
        ("coupling", {"window": "middle"}, 0.75),
        ("coupling", {"window": "short"}, 1.0),
        ("coupling", {"window": "short", "exponent": 0.5}, 0.5),
        ("hitting-exponent", {"gamma": 0.2}, -1.0),
        ("hitting-exponent", {"gamma": 0.2, "exponent": -1.5, "bound": True}, -1.5),
    ],
)
def test_exponents(kind, settings, expected):
    prediction = predict(UV, SGD, claim(kind, **settings), START)
    assert prediction.value == [expected]
    assert prediction.scale == abs(expected)
    assert prediction.at_least == settings.get("bound", False)
    assert {r.theory for r in prediction.rivals} == {
        f"exponent {p:g}"
        for p in ((0, 0.5, 0.75, 1, 1.5) if kind == "coupling" else (-0.5, -1, -1.5, -2))
        if p != expected
    }


def test_claims_share_data_where_they_ask_for_the_same_statistic():
    def statistic(one):
        return predict(UV, SGD, one, START).problem.statistic

    assert statistic(claim("coupling", window="short")) == statistic(claim("coupling", window="short", exponent=0.5))
    assert statistic(claim("coupling", window="short")) != statistic(claim("coupling", window="middle"))
    # Another theory has another path, another end.
    assert statistic(claim("hitting-time", gamma=0.2)) != statistic(claim("hitting-time", "small-lr", gamma=0.2))
    one, two = (claim("hitting-time", "conjecture", gamma=0.2, regularizer=r) for r in (U, 2 * U))
    assert one.author != two.author


@pytest.mark.parametrize(
    ("one", "start", "algorithm", "failed"),
    [
        (claim("hitting-time", gamma=2.0), START, SGD, "gamma"),
        (claim("hitting-exponent", gamma=0.1), [1.0, 1.0], SGD, "gamma"),
        (claim("hitting-time", "conjecture", gamma=0.1, regularizer=U), START, SGD, "stationary point"),
        (
            claim("hitting-time", gamma=0.1, displacement=[0.1, 0.0]),
            START,
            replace(SGD, momentum=0.5),
            "displaced start",
        ),
        (claim("hitting-time", gamma=0.1, displacement=[50.0, 50.0]), START, SGD, "noise-free convergence"),
        # At u = v the Hessian turns the fluctuation along (1, 1) into itself: nothing moves along Gamma.
        (claim("coupling", window="long"), [1.0, 1.0], SGD, "motion along Gamma"),
    ],
)
def test_not_applicable(one, start, algorithm, failed):
    prediction = predict(UV, algorithm, one, np.array(start))
    assert prediction.value is None
    assert prediction.failed.name == failed


def test_the_unstable_point_is_reached_by_nobody():
    prediction = predict(ELLIPSE, SLOW, claim("reaches", gamma=0.2), np.array([0.0, 0.5]))
    assert prediction.failed.name == "stability of the stationary point"


def test_first_passage_of_a_flow_that_never_comes():
    flow = SlowFlow(Derived(UV, SGD))
    assert flow.first_passage(START, lambda p: 1.0, 1.0) is None
    assert flow.first_passage(START, lambda p: -1.0, 1.0) == 0.0


def test_a_ball_is_met_in_the_middle_of_a_step():
    """Balls on the way of a flow that takes steps of half a unit, smaller than these."""
    theory, start = SmallLearningRate(UV, SGD), np.array([3.0, 1 / 3])
    times = np.linspace(0.05, 4.0, 20)
    for time, centre in zip(times, SlowFlow(theory).path(start, times), strict=True):
        ball = lambda p, centre=centre: float(np.linalg.norm(p - centre)) - 1e-5  # noqa: E731
        met = SlowFlow(theory).first_passage(start, ball, 10.0)
        speed = np.linalg.norm(SlowFlow(theory).velocity(centre))
        assert met == pytest.approx(time - 1e-5 / speed, abs=1e-6)


def test_a_passage_counts_before_the_longest_time_only():
    flow = SlowFlow(Derived(UV, SGD))
    (step,) = flow.steps(START, 1e-3)
    after = flow.path(START, np.array([0.7 * step.end]))[0]
    ball = lambda p: float(np.linalg.norm(p - after)) - 1e-3  # noqa: E731
    assert flow.first_passage(START, ball, 0.5 * step.end) is None
    assert flow.first_passage(START, ball, step.end) < 0.7 * step.end


def test_a_coupling_knows_its_path_over_the_whole_window():
    given = predict(UV, SGD, claim("coupling", window="long"), START).problem.given
    times = np.linspace(0.0, 1.01, 30)
    exact = SlowFlow(Derived(UV, SGD)).path(START, times)
    np.testing.assert_allclose(along(given["times"], given["points"], times), exact, rtol=0, atol=1e-8)


def test_any_time_may_be_asked_for():
    """Longer than a flow may take to its end: so near that end a slow one comes later."""
    slow = claim("hitting-time", "conjecture", gamma=2e-8, regularizer=4.8e-5 * (U - 1.5) ** 2)
    assert predict(UV, SGD, slow, START).value > 2e5
    for time in (1e6, 1e25):
        assert predict(UV, SGD, claim("stays", time=time), START).problem.horizon == time
    assert predict(UV, SGD, claim("stays", time=1e31), START).failed.name == "slow time"
