"""First passages between recorded steps, against dense records and closed forms; Delta where it must be zero."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.engine import simulate
from flatmin.sims.kernel import Kernel
from flatmin.sims.measure import measurement
from flatmin.sims.measure_hitting import first_passage
from flatmin.sims.progress import Silent
from flatmin.sims.sampler import Sampler
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.prediction import predict

U, V, W = sp.symbols("u v w", real=True)
PAIR = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
SGD = Algorithm(0.3, 2, LabelNoise(0.1))
START = np.array([2.0, 0.5, -0.25])


def test_first_passage_of_exponentials():
    times, rates = np.linspace(0, 4, 33), np.array([0.7, 1.0, 1.9])
    exact = np.log(5) / rates
    fine, straight = first_passage(np.exp(-np.outer(times, rates)) - 0.2, times)
    # The rest of a cubic through steps h is 3/128 (h r)^4 of the exponential, over its slope r: 4e-5 at most here.
    assert np.max(np.abs(fine - exact)) < 4e-5
    assert np.all(np.abs(fine - exact) < 0.05 * np.abs(straight - fine))
    assert np.all(np.abs(straight - exact) > 2e-4)


def test_first_passage_at_a_mark_at_the_ends_and_never():
    times = np.arange(5.0)
    distance = np.array([[3.0, 2.0, 0.0, -1.0, -2.0], [1.0, -1.0, 2.0, -1.0, 0.0], [4.0, 3.0, 2.0, 1.0, 0.5],
                         [4.0, 3.0, 2.0, 1.0, -1.0]]).T  # fmt: skip
    fine, straight = first_passage(distance, times)
    assert fine[0] == pytest.approx(2.0)
    assert 0 < fine[1] < 1
    assert np.isnan(fine[2])
    assert np.isnan(straight[2])
    assert 3 < fine[3] < 4


def test_marks_see_the_passage_that_every_step_sees():
    problem = predict(PAIR, SGD, Claim("hitting-time", settings={"gamma": 0.4}), START).problem
    one, kernel, gaps = measurement(problem, SGD.lr), Kernel.for_algorithm(PAIR, SGD), []
    for strength in (2e-3, 5e-4):
        algorithm, schedule = SGD.at_strength(PAIR, strength), one.schedule(strength)
        every = np.arange(int(0.75 * schedule[-1]))
        args = (kernel, algorithm, algorithm.sigmas(PAIR), START, 64)
        dense = simulate(*args, every, seed=1, settle=True)
        marks = simulate(*args, schedule, seed=1, settle=True)
        seen, at_marks = one.reduce(dense.points, every, strength), one.reduce(marks.points, schedule, strength)
        assert not seen[:, 2].any()
        # The same path: a passage is met earlier at best, by an excursion between two marks.
        difference = at_marks[:, 0] - seen[:, 0]
        assert np.corrcoef(at_marks[:, 0], seen[:, 0])[0, 1] > 0.98
        gaps.append(float(difference.mean()) / float(seen[:, 0].mean()))
        assert one.transient(at_marks.mean(axis=0)) < 2e-3 * seen[:, 0].mean()
    # A fortieth of the default margin, before the extrapolation in lambda takes most of it away.
    assert max(np.abs(gaps)) < 5e-4


def test_replicas_that_never_come_are_no_verdict_unless_all_stay():
    problem = predict(PAIR, SGD, Claim("hitting-time", settings={"gamma": 0.4}), START).problem
    one = measurement(problem, SGD.lr)
    covariance = np.zeros((3, 3))
    assert one.unsettled(np.array([1.0, 0.0, 0.0]), covariance) == 0
    assert one.unsettled(np.array([problem.horizon, 0.0, 1.0]), covariance) == 0
    assert one.unsettled(np.array([1.0, 0.0, 0.3]), covariance) == pytest.approx(0.3 * problem.horizon)


@pytest.mark.parametrize("window", ["short", "middle", "long"])
def test_nothing_is_left_of_a_linear_model(window):
    """Of f = u + 2 v no curvature changes: theta - Phi - xi is zero, with every draw."""
    line = Model((U, V), U + 2 * V, y=[1.0])
    algorithm = Algorithm(0.1, 1, LabelNoise(0.1))
    problem = predict(
        line, algorithm, Claim("coupling", settings={"window": window, "bound": True}), np.zeros(2)
    ).problem
    one, kernel = measurement(problem, algorithm.lr), Kernel.for_algorithm(line, algorithm)
    sampler = Sampler(line, algorithm, kernel, one, 0, None, Silent())
    ensemble = sampler.run(1e-3, 64, ("pilot",))
    assert np.max(np.abs(ensemble.linear)) > 1e-2
    rows = one.rows(ensemble, 1e-3)
    assert np.max(rows) < 1e-13
    # Rounding has no exponent.
    assert "error of Phi" in one.incomplete(rows)
    assert not one.incomplete(rows + 1e-6)


def test_short_windows_record_every_step():
    problem = predict(PAIR, SGD, Claim("coupling", settings={"window": "short"}), START).problem
    one = measurement(problem, SGD.lr)
    np.testing.assert_array_equal(one.schedule(1e-5), np.arange(1, 168))
