"""Integration of flows: against SciPy's methods, when it hands over to them, and roots between two signs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model, NotApplicable, integration
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow
from flatmin.theory.geometry import retract
from flatmin.theory.integration import Course, along, crossing, nodes, pieces
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


def test_a_step_of_a_course_is_taken_once(by_scipy):
    asked = []

    def velocity(theta):
        asked.append(theta)
        return pendulum(theta)

    course = Course(lambda: pieces(velocity, np.array([1.3, 0.4]), 4.0, RTOL, ATOL))
    first = list(islice(course, 3))
    count = len(asked)
    assert list(islice(course, 3)) == first
    assert len(asked) == count
    whole = list(course)
    assert whole[:3] == first
    assert (whole[-1].end, list(course)) == (4.0, whole)


def test_a_course_ends_for_all_where_the_domain_does():
    def steps():
        began.append(None)
        yield 0
        raise NotApplicable("domain", "ends here")

    began = []
    course = Course(steps)
    for _ in range(2):
        met = []
        with pytest.raises(NotApplicable, match="ends here"):
            met.extend(course)
        assert met == [0]
    assert len(began) == 1


def test_an_interrupt_does_not_end_a_course():
    def steps():
        for k in range(5):
            if k == 3 and not interrupted:
                interrupted.append(k)
                raise KeyboardInterrupt
            yield k

    interrupted = []
    course = Course(steps)
    with pytest.raises(KeyboardInterrupt):
        list(course)
    assert list(course) == [0, 1, 2, 3, 4]


def test_threads_share_a_course():
    def steps():
        for k in range(200):
            time.sleep(1e-4)  # another thread asks for the same step meanwhile
            yield k

    course = Course(steps)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: list(course), range(4))) == [list(range(200))] * 4


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


def test_what_is_no_number_cannot_be_followed(by_scipy):
    met = []
    flow = pieces(lambda theta: np.where(theta < 1, 1.0, np.nan), np.array([0.0]), 2.0, RTOL, ATOL)
    with pytest.raises(NotApplicable, match="stationary point: the slow flow cannot be followed"):
        met.extend(piece.last[0] for piece in flow)
    assert max(met) < 1
    assert len(by_scipy) == 1


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
