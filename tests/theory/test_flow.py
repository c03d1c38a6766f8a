"""The slow flow against exact solutions, its stationary points and their stability, and all of them on a curve."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model, NotApplicable
from flatmin.theory import flow as flow_module
from flatmin.theory.basins import stationary_points_on_curve
from flatmin.theory.conjecture import Conjecture, make_theory
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow, ending
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point, retract
from flatmin.theory.slow import Paper, SmallLearningRate
from scipy.integrate import solve_ivp

W, A, B, X = sp.symbols("w a b x", real=True)
U, V = sp.symbols("u v", real=True)

UV = Model((U, V), U * V, y=[1.0])
TANH = Model((W, A, B), A * sp.tanh(W * X) + B * X, inputs=(X,), x=[[1.0], [3.0]], y=[1.0, 0.5])
ELLIPSE = Model((U, V), U**2 + 2 * V**2, y=[1.0])


def full_batch(lr: float, sigma: float = 0.1) -> Algorithm:
    return Algorithm(lr, "full", LabelNoise(sigma))


def derived_flow(model: Model, lr: float) -> SlowFlow:
    return SlowFlow(Derived(model, full_batch(lr)))


def conjectured_flow(model: Model, lr: float, regularizer: sp.Expr) -> SlowFlow:
    claim = Claim("fixed-point", "conjecture", regularizer=regularizer)
    return SlowFlow(Conjecture(model, full_batch(lr), claim))


@pytest.mark.parametrize("lr", [0.02, 0.3])
def test_the_exactly_solvable_flow(lr):
    """f = uv: q = u^2 - v^2 loses 2 eta^2 sigma^2 q/(2 - eta h) per step, which is eta^2 sigma^2 of slow time."""
    start, times = np.array([2.0, 0.5]), np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])

    def rate(_, q):
        return -2 * q / (2 - lr * np.sqrt(q**2 + 4))

    solution = solve_ivp(rate, (0, 4.0), [3.75], t_eval=times, method="DOP853", rtol=1e-12, atol=1e-13)
    q, h = solution.y[0], np.sqrt(solution.y[0] ** 2 + 4)
    exact = np.stack([np.sqrt((h + q) / 2), np.sqrt((h - q) / 2)], axis=1)
    path = derived_flow(UV, lr).path(start, times)
    # The flow is integrated at rtol 1e-9 over six spans of some 100 steps.
    np.testing.assert_allclose(path, exact, rtol=0, atol=2e-7)
    # Every reported point is retracted to Gamma: rounding only.
    assert np.max(np.abs(path[:, 0] * path[:, 1] - 1)) <= 1e-10
    other = derived_flow(UV, 1.1 * lr).path(start, times)
    assert np.max(np.abs(other - exact)) > 1e-4  # another learning rate is seen


def test_the_stationary_point_and_its_rate_by_hand():
    """At u = v = 1, h = 2: dq/dt = -2q/(2 - 2 eta), a rate of -1/(1 - eta)."""
    for lr in (0.1, 0.3, 0.8):
        start = np.array([1.05, 1 / 1.05])
        point = derived_flow(UV, lr).stationary_point(start)
        np.testing.assert_allclose(point.theta, [1.0, 1.0], rtol=0, atol=1e-10)  # Newton steps end at 1e-11
        assert point.stability == "stable"
        # A derivative by central differences at h = 1e-5 of a velocity known to rounding: 1e-10 and 1e-11 relative.
        np.testing.assert_allclose(point.rates, [-1 / (1 - lr)], rtol=1e-7)
        assert point.relaxation_rate == pytest.approx(1 / (1 - lr), rel=1e-7)
        at_end = derived_flow(UV, lr).path(start, np.array([point.settling_time]))[0]
        # To come within 1e-4 of the way; the linearised decay that closes it is some percent off at this start.
        assert np.linalg.norm(at_end - 1) <= 1.1e-4 * np.linalg.norm(start - 1)


@pytest.mark.parametrize(
    ("theory", "expected"),
    [
        (Derived, [1.2572, 1.6109, -0.3697]),
        (Paper, [1.2572, 1.6109, -0.3697]),
        (SmallLearningRate, [1.4593, 1.4768, -0.3254]),
    ],
)
def test_the_tanh_model(theory, expected):
    start = nearest_zero_loss_point(TANH, np.array([2.0, 1.3, -0.27]))
    flow = SlowFlow(theory(TANH, full_batch(0.27)))
    point = flow.stationary_point(start)
    np.testing.assert_allclose(point.theta, expected, rtol=0, atol=5.1e-5)  # four published decimals
    assert point.stability == "stable"
    assert np.max(np.abs(TANH.residuals(point.theta))) <= 1e-13
    assert np.linalg.norm(flow.velocity(point.theta)) <= 1e-12
    # The shortcut by Newton steps is where following the flow ends: ten more relaxation times leave e^-19.
    later = flow.path(start, np.array([2 * point.settling_time]))[0]
    np.testing.assert_allclose(later, point.theta, rtol=0, atol=1e-6)


def test_path_and_stationary_point_agree_on_where_the_flow_is():
    flow = derived_flow(TANH, 0.27)
    start = nearest_zero_loss_point(TANH, np.array([2.0, 1.3, -0.27]))
    path = flow.path(start, np.array([0.0, 0.5, 0.5, 1.0]))
    np.testing.assert_array_equal(path[0], start)
    np.testing.assert_array_equal(path[1], path[2])
    # Two spans or one: twice the integrator's error.
    np.testing.assert_allclose(flow.path(path[1], np.array([0.5]))[0], path[3], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("regularizer", "stability", "rate"), [(1, "stable", -4.0), (-1, "unstable", 4.0)])
def test_a_start_at_a_symmetric_saddle(regularizer, stability, rate):
    """R = +-(u - v)^2 on uv = 1: u = e^s, v = e^-s, arc length sqrt(2) s, R = +-4 s^2, so a rate of -+4."""
    flow = conjectured_flow(UV, 0.3, regularizer * (U - V) ** 2)
    point = flow.stationary_point(np.array([1.0, 1.0]))
    assert point.stability == stability
    np.testing.assert_array_equal(point.theta, [1.0, 1.0])
    np.testing.assert_allclose(point.rates, [rate], rtol=1e-7)
    near = np.array([1.001, 1 / 1.001])
    if stability == "stable":
        np.testing.assert_allclose(flow.stationary_point(near).theta, [1.0, 1.0], rtol=0, atol=1e-10)
    else:
        assert np.all(np.isinf(point.relaxation_rate))
        with pytest.raises(NotApplicable):
            flow.stationary_point(near)


def test_a_flow_leaves_an_unstable_point_for_a_stable_one():
    """R = (u - v)^4 - (u - v)^2: unstable at u = v, stable at (u - v)^2 = 1/2."""
    flow = conjectured_flow(UV, 0.3, (U - V) ** 4 - (U - V) ** 2)
    assert flow.stationary_point(np.array([1.0, 1.0])).stability == "unstable"
    point = flow.stationary_point(retract(UV, np.array([1.0 + 1e-6, 1.0])))
    assert point.stability == "stable"
    assert point.theta[0] - point.theta[1] == pytest.approx(np.sqrt(0.5), abs=1e-10)  # Newton steps end at 1e-11


def test_a_family_of_stationary_points_is_neutral():
    """f = u1 v1 + u2 v2: h = |u|^2 + |v|^2. The flow keeps the direction of u + v and removes u - v."""
    p = sp.symbols("p0:4", real=True)
    model = Model(p, p[0] * p[2] + p[1] * p[3], y=[1.0])
    start = retract(model, np.array([1.5, 0.3, 0.4, 0.9]))
    point = derived_flow(model, 0.2).stationary_point(start)
    assert point.stability == "neutral"
    half = (start[:2] + start[2:]) / np.linalg.norm(start[:2] + start[2:])
    # The flow selects the member; its direction is conserved to the integrator's error.
    np.testing.assert_allclose(point.theta, np.tile(half, 2), rtol=0, atol=1e-7)
    # As for uv, -1/(1 - eta) twice, and 0 along the family, to the error of differences of a velocity of order 1.
    np.testing.assert_allclose(point.rates, [0, -1.25, -1.25], rtol=0, atol=1e-7)
    assert point.relaxation_rate == pytest.approx(1.25, rel=1e-6)


def test_a_rotation_symmetry_is_neutral():
    """f = (u^2 + v^2) w with y = 1: h = 4/r^2 + r^4 is least at r^6 = 2, and the angle stays."""
    model = Model((U, V, W), (U**2 + V**2) * W, y=[1.0])
    start = retract(model, np.array([1.0, 0.5, 0.8]))
    point = derived_flow(model, 0.1).stationary_point(start)
    assert point.stability == "neutral"
    assert np.hypot(*point.theta[:2]) == pytest.approx(2 ** (1 / 6), abs=1e-9)
    # The flow is followed to a relative 1e-9 per step of the integration, of which there are some.
    assert point.theta[0] / point.theta[1] == pytest.approx(start[0] / start[1], abs=1e-8)


def test_without_slow_directions_nothing_moves():
    model = Model((U, V), [U * V, U + V], y=[1.0, 2.5])
    point = derived_flow(model, 0.1).stationary_point(np.array([2.0, 0.5]))
    assert (point.stability, point.rates.size, point.relaxation_rate) == ("stable", 0, float("inf"))


def test_the_flow_to_infinity():
    flow = conjectured_flow(UV, 0.3, -((U - V) ** 2))
    start = np.array([1.25, 0.8])
    with pytest.raises(NotApplicable, match="stationary point: the slow flow runs to infinity"):
        flow.stationary_point(start)
    with pytest.raises(NotApplicable, match="stationary point: the slow flow"):
        flow.path(start, np.array([100.0]))


def test_the_flow_to_a_singular_point():
    """uv = 0 from (0, 1): h = v^2 falls, v goes to 0, where the two axes cross and the Jacobian vanishes."""
    model = Model((U, V), U * V, y=[0.0])
    with pytest.raises(NotApplicable) as error:
        derived_flow(model, 0.3).stationary_point(np.array([0.0, 1.0]))
    assert error.value.assumption == "rank of the Jacobian"


def test_a_flow_that_does_not_rest(monkeypatch):
    """A sideways push along the circle that a family of minima forms: round and round."""
    flow = conjectured_flow(Model((U, V), U**2 + V**2, y=[1.0]), 0.1, sp.Integer(0) * U)
    assert flow.stationary_point(np.array([1.0, 0.0])).stability == "neutral"
    monkeypatch.setattr(flow_module, "_LONGEST", 20.0)
    flow = conjectured_flow(flow.model, 0.1, sp.Integer(0) * U)
    monkeypatch.setattr(flow.theory, "velocity", lambda local: np.array([-local.theta[1], local.theta[0]]))
    monkeypatch.setattr(flow, "_newton", lambda theta, reach: None)
    with pytest.raises(NotApplicable, match="has not come to rest"):
        flow.stationary_point(np.array([1.0, 0.0]))


def test_the_learning_rate_limit_stops_the_flow():
    for theory in ("derived", "paper"):
        flow = SlowFlow(make_theory(UV, full_batch(0.5), Claim("drift", theory)))
        assert np.all(np.isfinite(flow.velocity(np.array([1.9, 1 / 1.9]))))  # lr h = 1.94
        with pytest.raises(NotApplicable, match="learning rate"):
            flow.velocity(np.array([2.0, 0.5]))  # lr h = 2.125


# On the ellipse u = cos s, v = sin s/sqrt(2), h = 4 cos^2 s + 8 sin^2 s: stable at v = 0, unstable at u = 0.
# Arc length l: h = 4 + 8 l^2 and 8 - 4 l^2 there, dR/dh = 1/(2 (2 - eta h)), eta = 0.2: rates -16/2.4 and 8/0.8.
RATES = {"stable": -16 / 2.4, "unstable": 10.0}


@pytest.mark.parametrize("step", [0.02, 0.15])
def test_a_closed_curve_has_all_its_stationary_points(step):
    """Four points of alternating stability and two basins, wherever on the curve one starts."""
    flow = derived_flow(ELLIPSE, 0.2)
    angles = np.arange(8 if step < 0.1 else 64) * 2 * np.pi / 8.1
    for s in (*angles, np.pi / 2):
        found = stationary_points_on_curve(flow, np.array([np.cos(s), np.sin(s) / np.sqrt(2)]), step=step)
        assert (found.closed, found.ends, found.basins) == (True, ("closed",), 2)
        kinds = [p.stability for p in found.points]
        assert sorted(kinds) == ["stable", "stable", "unstable", "unstable"]
        assert all(a != b for a, b in pairwise(kinds))
        corners = sorted(tuple(np.round(p.theta, 9) + 0.0) for p in found.points)
        half = round(np.sqrt(0.5), 9)
        assert corners == [(-1.0, 0.0), (0.0, -half), (0.0, half), (1.0, 0.0)]
        for p in found.points:
            np.testing.assert_allclose(p.rates, [RATES[p.stability]], rtol=1e-6)  # by differences, as above


def test_where_the_flow_goes_is_one_of_the_points_of_the_curve():
    flow = derived_flow(ELLIPSE, 0.2)
    for s, expected in ((0.3, 1.0), (1.4, 1.0), (1.7, -1.0), (4.0, -1.0)):
        point = flow.stationary_point(np.array([np.cos(s), np.sin(s) / np.sqrt(2)]))
        np.testing.assert_allclose(point.theta, [expected, 0.0], rtol=0, atol=1e-9)


def test_an_open_curve_ends_where_the_theory_does():
    for start in (2.0, 1.0, 0.7):
        found = stationary_points_on_curve(derived_flow(UV, 0.3), np.array([start, 1 / start]))
        assert (found.closed, found.basins, len(found.points)) == (False, 1, 1)
        np.testing.assert_allclose(found.points[0].theta, [1.0, 1.0], rtol=0, atol=1e-9)
        assert len(found.ends) == 2
        assert all(end.startswith("learning rate") for end in found.ends)
    short = stationary_points_on_curve(derived_flow(UV, 0.3), np.array([2.0, 0.5]), reach=0.1)
    assert short.points == ()
    assert short.basins == 0
    assert all(end.startswith("arc length") for end in short.ends)


def test_points_come_in_order_along_an_open_curve():
    """R = (u - v)^4 - (u - v)^2 has three: also when the trace starts at the middle one."""
    flow = conjectured_flow(UV, 0.1, (U - V) ** 4 - (U - V) ** 2)
    for start in (1.0, 1.2, 2.0):
        found = stationary_points_on_curve(flow, np.array([start, 1 / start]), reach=2.0)
        assert [p.stability for p in found.points] == ["stable", "unstable", "stable"]
        gaps = [p.theta[0] - p.theta[1] for p in found.points]
        np.testing.assert_allclose(np.abs(gaps), [np.sqrt(0.5), 0, np.sqrt(0.5)], rtol=0, atol=1e-9)
        assert gaps[0] * gaps[2] < 0


def test_a_flat_tail_has_no_stationary_points():
    """Far out a tanh has no slope, and rounding decides what the rates look like: it once made a second basin."""
    algorithm = Algorithm(lr=0.2, batch_size="full", noise=LabelNoise(0.1), momentum=0.5)
    start = nearest_zero_loss_point(TANH, np.array([2.0, 1.3, -0.27]))
    found = stationary_points_on_curve(SlowFlow(Derived(TANH, algorithm)), start)
    assert [p.stability for p in found.points] == ["stable"]
    assert any(end.startswith("arc length") for end in found.ends), "it was followed into the tail"


@pytest.mark.parametrize("start", [0.8, -0.5])
def test_a_flat_minimum_is_one_point(start):
    """R = (u - v)^12: the velocity vanishes to rounding around u = v = 1, between two that point there."""
    flow = conjectured_flow(UV, 0.1, (U - V) ** 12)
    found = stationary_points_on_curve(flow, np.array([1 + start, 1 / (1 + start)]), reach=1.0)
    assert len(found.points) == 1
    np.testing.assert_allclose(found.points[0].theta, [1.0, 1.0], rtol=0, atol=0.1)


def test_two_starts_close_to_each_other_have_their_own_ends():
    """Of a family of stationary points (u, w that are not both zero) each start has another."""
    w = sp.Symbol("w", real=True)
    theory = SmallLearningRate(Model((U, V, w), U * V + 0 * w, y=[1.0]), full_batch(0.1))
    starts = [np.array([2.0, 0.5, 1.0 + k * 1e-9]) for k in range(2)]
    ends = [ending(theory, start) for start in (*starts, starts[0])]
    assert [end.theta[2] for end in ends] == [1.0, 1.0 + 1e-9, 1.0]
    assert ends[2] is ends[0], "followed once"
    with pytest.raises(ValueError, match="read-only"):
        ends[0].theta[0] = 0.0


def test_a_start_at_rest_is_one_of_the_points():
    found = stationary_points_on_curve(derived_flow(UV, 0.3), np.array([1.0, 1.0]))
    assert [p.stability for p in found.points] == ["stable"]


def test_more_dimensions_than_one_are_refused():
    p = sp.symbols("p0:3", real=True)
    model = Model(p, p[0] * p[1] + p[2], y=[1.0])
    assert LocalGeometry.at(model, np.array([1.0, 1.0, 0.0])).tangent.shape[1] == 2
    with pytest.raises(NotApplicable, match="one-dimensional zero-loss set: it has 2 dimensions"):
        stationary_points_on_curve(derived_flow(model, 0.1), np.array([1.0, 1.0, 0.0]))
