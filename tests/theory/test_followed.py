"""A flow is followed once, as far as anybody asks, and its end is searched for only where it is near."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model, NotApplicable
from flatmin.theory import flow as flow_module
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow
from flatmin.theory.integration import Course, pieces
from turning import circle, turned_by

U, V = sp.symbols("u v", real=True)
UV = Model((U, V), U * V, y=[1.0])


def test_a_step_of_a_course_is_taken_once():
    asked = []

    def velocity(theta):
        asked.append(theta)
        return np.array([theta[1], -theta[0]])

    course = Course(lambda: pieces(velocity, np.array([1.3, 0.4]), 4.0, rtol=1e-9, atol=1e-11))
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


def test_where_a_flow_was_followed_it_is_known_after_it_is_given_up(monkeypatch):
    """Round and round: whoever asks for its end must not take its beginning from the others."""
    monkeypatch.setattr(flow_module, "_MAX_EVALUATIONS", 1500)
    flow, start = SlowFlow(Derived(circle(), turned_by([[1.0, 0.3], [0.3, 1.0]]))), np.array([1.0, 0.0, 0.0, 0.0])
    with pytest.raises(NotApplicable, match="not at rest after 1500 evaluations"):
        flow.stationary_point(start)
    x, y, *rest = flow.path(start, np.array([1.0]))[0]
    assert np.hypot(x, y) == pytest.approx(1.0)
    assert rest == pytest.approx([0.0, 0.0], abs=1e-9)


def test_an_end_is_searched_for_only_where_it_is_near(monkeypatch):
    """Each look finds the derivatives of the velocity once; near the end a few Newton steps follow."""
    flow = SlowFlow(Derived(UV, Algorithm(0.187, 1, LabelNoise(0.1))))
    charts, looks = [], []
    chart, captor = flow._chart, flow._captor
    monkeypatch.setattr(flow, "_chart", lambda theta: charts.append(0) or chart(theta))
    monkeypatch.setattr(flow, "_captor", lambda theta: looks.append(0) or captor(theta))
    assert flow.stationary_point(np.array([3.0, 1 / 3])).theta == pytest.approx([1.0, 1.0])
    assert len(looks) > 4
    assert len(charts) <= len(looks) + 4


@pytest.mark.parametrize("away", [0.0, 1e-13, 3e-13, 1e-12, 1e-10, 1e-8, 1e-6])
def test_at_rest_nothing_moves(away):
    """Also where the velocity is rounding, of which an integrator could make something by long steps."""
    flow, start = SlowFlow(Derived(UV, Algorithm(0.2, 1, LabelNoise(0.1)))), np.array([1 + away, 1 / (1 + away)])
    assert np.linalg.norm(flow.velocity(start)) < 1e-15 or away
    times = np.array([0.1, 1.0, 10.0, 1e3, 1e6])
    # By hand q = u^2 - v^2 decays at a rate of 2/(2 - eta h), h = 2.
    exact = 1 + np.outer(away * np.exp(-times / 0.8), [1, -1])
    np.testing.assert_allclose(flow.path(start, times), exact, rtol=0, atol=1e-15 if not away else 1e-8)
