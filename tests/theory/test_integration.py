"""Integration of flows: against SciPy's methods, when it hands over to them, and roots between two signs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model, NotApplicable, integration
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow
from flatmin.theory.geometry import retract
from flatmin.theory.integration import along, crossing, first_zero, nodes, pieces, spread
from scipy.integrate import solve_ivp

RTOL, ATOL = 1e-9, 1e-11
# Errors of some hundred steps, each within the tolerance, on flows that neither grow nor shrink them much.
TOLERANCE = 1e-7


def pendulum(theta):
    """Turns, damped a little: a third and a trigonometric nonlinearity."""
    return np.array([theta[1] - 0.1 * theta[0] ** 3, 0.2 * np.sin(theta[1]) - theta[0]])


def valley(theta):
    """Down a valley that is 10^4 times as steep across."""
    return np.array([-1e4 * (theta[0] - np.cos(theta[1])) - np.sin(theta[1]), 1.0])


def distances(velocity, start, span):
    """Largest distance from SciPy's method of order 8, at ends of steps and in between; and where steps end."""
    exact = solve_ivp(
        lambda _, theta: velocity(theta), (0, span), start, "DOP853", rtol=1e-13, atol=1e-13, dense_output=True
    )
    ends, between, times = [], [], [0.0]
    for piece in pieces(velocity, start, span, RTOL, ATOL):
        assert piece.begin == times[-1]
        times.append(piece.end)
        ends.append(np.abs(piece.last - exact.sol(piece.end)).max())
        for part in (0.0, 0.2, 0.5, 0.9, 1.0):
            time = piece.begin + part * (piece.end - piece.begin)
            between.append(np.abs(piece.at(time) - exact.sol(time)).max())
    return max(ends), max(between), times


@pytest.fixture
def by_scipy(monkeypatch):
    """Times at which SciPy's integrator took over."""
    began = []
    original = integration._pieces_by_scipy

    def noted(velocity, start, after, *others):
        began.append(after)
        return original(velocity, start, after, *others)

    monkeypatch.setattr(integration, "_pieces_by_scipy", noted)
    return began


@pytest.mark.parametrize(("span", "handed"), [(1e-9, 0), (0.3, 0), (9.0, 0), (40.0, 1)])
def test_steps_and_what_lies_between_are_where_the_flow_is(span, handed, by_scipy):
    start = np.array([1.3, 0.4])
    ends, between, times = distances(pendulum, start, span)
    assert max(ends, between) < TOLERANCE
    assert times[-1] == span
    assert all(a < b for a, b in pairwise(times))
    assert len(by_scipy) == handed


def test_a_stiff_flow_is_handed_over(by_scipy):
    """In 1,000 slopes the explicit method comes to 166 x 3.3/10^4 at most; an implicit one takes long steps."""
    start = np.array([1.0, 0.0])
    *_, last = pieces(valley, start, 3.0, RTOL, ATOL)
    assert len(by_scipy) == 1
    assert 0.01 < by_scipy[0] < 0.055
    assert last.end == 3.0
    # theta_0 = cos t is the valley's floor, and its curvature over the steepness what the flow is away from it.
    np.testing.assert_allclose(last.last, [np.cos(3.0), 3.0], rtol=0, atol=1e-7)
    np.testing.assert_allclose(last.at(last.begin), [np.cos(last.begin), last.begin], rtol=0, atol=1e-7)


def test_a_fast_motion_that_has_died_out_is_not_followed_in_short_steps():
    """LSODA took steps of 10^-6 for ever when it began where the explicit method stopped."""
    p = sp.symbols("p0:4", real=True)
    model = Model(p, [p[0] * p[1], 1000 * p[2] * p[3]], y=[1.0, 1000.0])
    flow = SlowFlow(Derived(model, Algorithm(4e-7, "full", LabelNoise(0.1))))
    asked = []

    def velocity(theta):
        asked.append(theta)
        return flow.velocity(theta)

    start = retract(model, np.array([1.4, 0.8, 1.3, 0.8]))
    for piece in pieces(velocity, start, 2e5, RTOL, ATOL):
        if piece.end > 20.0 or len(asked) > 5000:
            break
    assert len(asked) < 2500
    # q = p0^2 - p1^2 decays at a rate of 1/2 per slow time (two samples): e^-10 is left.
    np.testing.assert_allclose(piece.last, 1.0, rtol=0, atol=1e-3)


def test_a_start_nearly_at_rest_is_not_outside_of_the_domain():
    """The first step would be as long as it takes at the first speed; its stages overflow: a shorter one is taken."""

    def velocity(theta):
        if abs(theta[0]) > 2:
            raise NotApplicable("domain", "theta must be below 2")
        return -theta

    *_, last = pieces(velocity, np.array([1e-12]), 2e5, RTOL, ATOL)
    assert last.end == 2e5
    assert abs(last.last[0]) < 1e-11


def test_a_flow_as_numbers_is_the_flow():
    steps = list(pieces(pendulum, np.array([1.3, 0.4]), 4.0, RTOL, ATOL))
    times, points = nodes(steps)
    assert times.tolist() == [0.0, *(piece.end for piece in steps)]
    within = [(p, p.begin + part * (p.end - p.begin)) for p in steps for part in (0.0, 1e-9, 0.3, 0.5, 0.999)]
    exact = np.array([piece.at(time) for piece, time in within])
    # A polynomial of degree seven through eight points: rounding.
    np.testing.assert_allclose(along(times, points, np.array([t for _, t in within])), exact, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(along(times, points, np.array([4.0]))[0], steps[-1].at(4.0))
    for outside in (-1e-9, 4.0 + 1e-9):
        with pytest.raises(ValueError, match=r"known from 0\.0 to 4\.0 only"):
            along(times, points, np.array([1.0, outside]))


def test_points_are_spread_along_the_way():
    """A circle once around, at a speed that changes threefold."""

    def velocity(theta):
        return (2 + theta[0]) * np.array([-theta[1], theta[0]])

    start = np.array([1.0, 0.0])
    steps = list(pieces(velocity, start, 2 * np.pi / np.sqrt(3), RTOL, ATOL))
    points = np.array(spread(start, steps, 9))
    angles = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
    # Chords of steps for their arcs, and the same speed within a step: some tenths of the mean distance.
    np.testing.assert_allclose(angles, 2 * np.pi * np.arange(9) / 8, rtol=0, atol=0.3 * 2 * np.pi / 8)
    np.testing.assert_array_equal(spread(start, [], 9), [start])


def test_no_more_velocities_than_scipys_method():
    asked = []

    def velocity(theta):
        asked.append(theta)
        return pendulum(theta)

    start = np.array([1.3, 0.4])
    assert list(pieces(velocity, start, 9.0, RTOL, ATOL))[-1].end == 9.0
    scipys = solve_ivp(lambda _, theta: pendulum(theta), (0, 9.0), start, "DOP853", rtol=RTOL, atol=ATOL)
    assert len(asked) <= scipys.nfev


def test_a_flow_is_given_up_after_so_many_velocities(by_scipy):
    """What is asked within steps that were taken is not counted: there the flow is known."""
    steps = []
    with pytest.raises(NotApplicable, match="not at rest after 1500 evaluations"):
        steps.extend(pieces(pendulum, np.array([1.3, 0.4]), 1e3, RTOL, ATOL, most=1500))
    assert len(by_scipy) == 1
    assert np.isfinite([piece.at(piece.begin) for piece in steps]).all()


def test_what_is_no_number_cannot_be_followed(by_scipy):
    met = []
    flow = pieces(lambda theta: np.where(theta < 1, 1.0, np.nan), np.array([0.0]), 2.0, RTOL, ATOL)
    with pytest.raises(NotApplicable, match="stationary point: the slow flow cannot be followed"):
        met.extend(piece.last[0] for piece in flow)
    assert max(met) < 1
    assert len(by_scipy) == 1


def test_a_velocity_that_is_no_number_at_the_start(by_scipy):
    with pytest.raises(NotApplicable, match="cannot be followed"):
        list(pieces(lambda theta: np.full(2, 1e300) * theta, np.array([1e10, 1.0]), 2.0, RTOL, ATOL))


@pytest.mark.parametrize("margin", [1e-4, 1e-5, 1e-6])
def test_lsoda_does_not_leave_a_domain_that_the_flow_does_not(margin, by_scipy):
    """Around a circle whose outside is forbidden: its first steps are of order one."""

    def velocity(theta):
        if np.hypot(*theta) >= 1 + margin:
            raise NotApplicable("domain", "inside the circle only")
        return np.array([-theta[1], theta[0]])

    last = next(p for p in pieces(velocity, np.array([1.0, 0.0]), 400.0, RTOL, ATOL) if p.end >= 200.0)
    assert np.hypot(*last.last) == pytest.approx(1.0, abs=1e-6)
    assert len(by_scipy) == 1


def test_a_flow_that_comes_to_rest_has_a_last_step():
    """A velocity that is zero once the flow is near: by the explicit method, and in a stiff valley by LSODA."""
    for rate in (1.0, 1e4):

        def velocity(theta, rate=rate):
            away = theta - np.array([1.0, 2.0])
            return np.zeros(2) if np.linalg.norm(away) < 1e-12 else -away * np.array([1.0, rate])

        *_, last = pieces(velocity, np.array([3.0, 1.0]), 1e30, RTOL, ATOL)
        assert (last.begin < 1e9, last.end) == (True, 1e30)
        np.testing.assert_allclose(last.at(1e20), [1.0, 2.0], rtol=0, atol=1e-12)


def test_a_stage_outside_of_the_domain_is_not_the_flow_outside():
    """The velocity is there below 1 only: theta = 0.9 (1 - e^-t) stays below, 2 (1 - e^-t) does not."""
    asked = []

    def towards(aim):
        def velocity(theta):
            asked.append(theta[0])
            if theta[0] >= 1:
                raise NotApplicable("domain", "theta must be below 1")
            return aim - theta

        return velocity

    # Loose tolerances, so that steps are long and their stages far from the flow.
    *_, last = pieces(towards(0.9), np.array([0.0]), 60.0, 0.1, 0.1)
    assert max(asked) >= 1, "a stage was outside"
    assert last.end == 60.0
    assert last.last[0] == pytest.approx(0.9, abs=0.1)
    asked.clear()
    met = []
    with pytest.raises(NotApplicable, match="domain"):
        met.extend(piece.end for piece in pieces(towards(2.0), np.array([0.0]), 300.0, RTOL, ATOL))
    assert met[-1] == pytest.approx(np.log(2), abs=1e-3)
    assert len(asked) < 1000


@pytest.mark.parametrize(
    ("f", "zero"),
    [
        (lambda x: (x - 0.613) ** 2 - 1e-8, 0.613 - 1e-4),  # a dip between two points
        (lambda x: (x - 0.0123) ** 2 - 1e-8, 0.0123 - 1e-4),  # in the first part
        (lambda x: (x - 0.9923) ** 2 - 1e-8, 0.9923 - 1e-4),  # in the last part
        (lambda x: (x - 0.613) ** 2 + 1e-8, None),
        (lambda x: abs(x - 0.613) - 1e-7, 0.613 - 1e-7),
        (lambda x: 1.0 + x, None),
        (lambda x: 0.4 - x, 0.4),
        (lambda x: 1.0 - x, 1.0),
        (lambda x: np.cos(9 * x) + 0.1, np.arccos(-0.1) / 9),  # two dips: the first counts
        (lambda x: ((x - 0.21) ** 2 + 1e-8) * ((x - 0.77) ** 2 - 1e-8), 0.77 - 1e-4),  # the second goes below zero
    ],
)
def test_the_first_zero_within_a_step(f, zero):
    for scale in (1.0, 1e-6, 1e6):
        found = first_zero(lambda t, scale=scale: f(t / scale - 3.0), 3.0 * scale, 4.0 * scale)
        assert found == (None if zero is None else pytest.approx((zero + 3.0) * scale, rel=1e-9))


def test_where_nothing_moves_no_dip_is_looked_for():
    asked = []
    for noise in (0.0, 1e-16):
        asked.clear()
        assert first_zero(lambda t, noise=noise: asked.append(t) or 0.3 + noise * np.sin(1e3 * t), 0.0, 5.0) is None
        assert len(asked) == 33
    assert first_zero(lambda t: -1.0, 2.0, 2.0) is None


def test_one_of_many_dips_goes_below_zero():
    """Up to seven dips, as many as the distance from a point can have within a step, and this one anywhere."""
    rng = np.random.default_rng(0)
    for dips, at in zip(rng.uniform(2, 7, 100), rng.uniform(0.01, 0.99, 100), strict=True):
        found = first_zero(
            lambda x, n=dips, at=at: 1 - np.cos(2 * np.pi * n * (x - at)) + (x - at) ** 2 / 100 - 1e-7, 0.0, 1.0
        )
        assert found == pytest.approx(at - np.sqrt(2e-7) / (2 * np.pi * dips), abs=1e-8)


@pytest.mark.parametrize(
    ("f", "low", "high", "root"),
    [
        (lambda x: x - 0.3, 0.0, 1.0, 0.3),
        (lambda x: 0.3 - x, 0.0, 1.0, 0.3),
        (lambda x: (x - 0.1) ** 11, -1.0, 1.0, 0.1),  # flat where it is zero
        (lambda x: np.tanh(50 * (x - 0.123)), 0.0, 1.0, 0.123),
        (lambda x: np.exp(10 * x) - 2, 0.0, 5.0, np.log(2) / 10),  # 10^21 at one end
        (lambda x: -1.0 if x < 0.7 else 1.0, 0.0, 1.0, 0.7),
        (lambda x: x - 2, 2.0, 3.0, 2.0),
        (lambda x: x - 3, 2.0, 3.0, 3.0),
    ],
)
def test_roots_are_found_to_rounding_in_a_bounded_number_of_steps(f, low, high, root):
    asked = []

    def counted(x):
        asked.append(x)
        return f(x)

    found = crossing(counted, low, high)
    assert found == pytest.approx(root, rel=1e-15, abs=1e-3 if f(root + 1e-3) == f(root - 1e-3) else 1e-15)
    assert len(asked) <= 165  # a bisection to rounding takes 53, and every third of these steps halves
