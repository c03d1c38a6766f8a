"""Angular speed of a slow field that circulates: by hand, by the theories, and zero where it must be zero."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, GradientNoise, InvalidInput, LabelNoise, statement, winding_statement
from flatmin.theory.averaging import UpdateMap, average
from flatmin.theory.circulation import SlowForm
from flatmin.theory.derived import Derived
from flatmin.theory.prediction import predict
from turning import START, W, X, Y, Z, angular_speed, circle, turned_by

PLANE = {"plane": ["x", "y"], "time": 1.0}
ALONG = [[1.0, 1.0], [1.0, 1.0]]


def predicted(model, algorithm, theory="derived", **settings):
    return predict(model, algorithm, Claim("circulation", theory, settings=PLANE | settings), np.array(START))


def test_large_and_small_learning_rates():
    """By hand; half as fast again at eta h = 1.55."""
    model, algorithm = circle(), turned_by(ALONG)
    prediction = predicted(model, algorithm)
    # The flow is integrated to 1e-9.
    assert prediction.value == pytest.approx([angular_speed(1.0)], rel=1e-7)
    assert predicted(model, algorithm, "paper").value == pytest.approx([angular_speed(1.0)], rel=1e-7)
    small = predicted(model, algorithm, "small-lr").value
    assert small == pytest.approx([angular_speed(1.0, lr=0.0)], rel=1e-7)
    assert prediction.value / small == pytest.approx([1.5], abs=0.01)
    rivals = {r.theory: r.value[0] / prediction.value[0] for r in prediction.rivals}
    assert rivals == pytest.approx(
        {"small-lr": 1 / 1.5, "lambda x 2": 2, "stays at start": 0, "reversed sign": -1}, abs=0.01
    )


@pytest.mark.parametrize(("time", "fewest"), [(1.0, 2), (4.0, 3), (5.0, 3), (20.0, 11)])
def test_assumptions_are_checked_all_along_the_way(time, fewest, monkeypatch):
    """At points half a radian apart, or those that are recorded."""
    checked = []
    find = statement.timescales
    monkeypatch.setattr(statement, "timescales", lambda *case: checked.append(case[2]) or find(*case))
    prediction = predicted(circle(), turned_by(ALONG), time=time)
    angles = np.unwrap(np.arctan2(*checked[0][:, 1::-1].T))
    turned = abs(prediction.value[0]) * time
    assert len(angles) >= fewest
    assert np.abs(np.diff(angles)).max() < 0.51
    assert abs(angles[-1] - angles[0]) == pytest.approx(turned, rel=1e-6), "to the end"


def test_two_routes():
    model, algorithm = circle(), turned_by(ALONG)
    at = np.array([np.cos(0.7), np.sin(0.7), 0, 0])
    averaged = average(UpdateMap(model, algorithm), at).drift / (0.5 * 1e-4)
    assert averaged @ [-at[1], at[0], 0, 0] == pytest.approx(angular_speed(1.0), rel=1e-9)


def test_reversed_noise_turns_the_other_way():
    assert predicted(circle(), turned_by([[1.0, -1.0], [-1.0, 1.0]])).value == pytest.approx(
        [angular_speed(-1.0)], rel=1e-7
    )


@pytest.mark.parametrize("case", ["no correlation", "equal curvatures", "label noise", "a regularizer"])
def test_zero_where_it_must_be(case):
    model, algorithm, theory = circle(), turned_by([[1.0, 0.0], [0.0, 2.0]]), "derived"
    claim = Claim("circulation", theory, settings=PLANE)
    if case == "equal curvatures":
        model, algorithm = circle(1.6, 1.6), turned_by(ALONG)
    elif case == "label noise":
        algorithm = Algorithm(0.5, "full", LabelNoise(0.1))
    elif case == "a regularizer":
        algorithm = turned_by(ALONG)
        claim = Claim("circulation", "conjecture", regularizer=X**2 + Y**2 + Z * W, settings=PLANE)
    prediction = predict(model, algorithm, claim, np.array(START))
    assert abs(prediction.value[0]) < 1e-9
    # What an error of zero is relative to is no zero.
    assert prediction.scale > 0.1
    assert "the prediction is zero" in prediction.notes[-1]


def test_circulation_on_the_circle_itself():
    """The integral of the velocity around the circle is the angular speed times 2 pi; of label noise it is zero."""
    model = circle()

    def loop(angle):
        return np.array([np.cos(angle), np.sin(angle), 0.0, 0.0])

    turning = SlowForm.of(Derived(model, turned_by(ALONG))).circulation(loop)
    assert turning.value == pytest.approx(2 * np.pi * angular_speed(1.0), rel=1e-9)
    assert turning.vanishes is False
    # On a curve there is no curl: locally the field is a gradient.
    assert SlowForm.of(Derived(model, turned_by(ALONG))).curl(np.array(START)).size == 0
    still = SlowForm(model, lambda p: np.zeros(4))
    assert still.circulation(loop).value == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "claim.plane is missing"),
        ({"plane": ["x"]}, "two different names"),
        ({"plane": ["x", "x"]}, "two different names"),
        ({"plane": ["x", "v"]}, "unknown names \\['v'\\]"),
        ({"plane": ["x", "y"], "center": [0.0]}, "two numbers"),
        ({"plane": ["x", "y"], "time": 0}, "must be positive"),
        ({"plane": ["x", "y"], "speed": 1}, "it takes \\['plane', 'center', 'time'\\]"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InvalidInput, match=message):
        Claim("circulation", settings=settings).check(circle())


def test_not_applicable(monkeypatch):
    assert predicted(circle(), turned_by(ALONG), center=[1.0, 0.0]).failed.name == "center"
    # 0.0133 radians between recorded times.
    monkeypatch.setattr(winding_statement, "_LARGEST_TURN", 0.01)
    fast = predicted(circle(), turned_by(ALONG))
    assert fast.failed.name == "slow time"
    assert "take claim.time=0.75 or less" in fast.failed.rule


def test_noise_along_the_circle_is_no_circulation():
    everywhere = Algorithm(0.5, "full", GradientNoise(sp.eye(4), 1e-4))
    assert predicted(circle(), everywhere).failed.name == "noise normal to Gamma"
