"""Verdicts about a circulating slow field: the right speed is supported, wrong ones, also none, are refuted."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims import verify
from flatmin.sims.measure import measurement
from flatmin.theory import Claim
from flatmin.theory.prediction import predict
from turning import START, X, Y, angular_speed, circle, turned_by

SETTINGS = {"plane": ["x", "y"], "time": 1.0}
ALONG = [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_speed_and_its_rivals(seed):
    """Margin 4 %, at which the rivals are far off: small-lr by a third."""
    claims = [
        Claim("circulation", "paper", settings=SETTINGS),
        Claim("circulation", "small-lr", settings=SETTINGS),
        # Any R is one-valued on the circle.
        Claim("circulation", "conjecture", regularizer=X**2 + Y**2, settings=SETTINGS),
    ]
    verdicts = verify(circle(), turned_by(ALONG), start=START, claims=claims, seed=seed, margin=0.04, budget=600)
    assert [v.verdict for v in verdicts] == ["supported", "refuted", "refuted"]
    refuted = {r.theory for r in verdicts[0].rivals if r.verdict == "refuted"}
    assert refuted == {"small-lr", "lambda x 2", "stays at start", "reversed sign"}


@pytest.mark.slow
def test_no_circulation_without_correlation():
    """Prediction zero, relative to the size before projection; the measured speed is zero too."""
    algorithm = turned_by([[1.0, 0.0], [0.0, 2.0]])
    (verdict,) = verify(
        circle(), algorithm, start=START, claims=[Claim("circulation", settings=SETTINGS)], margin=0.04, budget=600
    )
    assert verdict.verdict == "supported"
    assert abs(verdict.measured[0]) < 0.02 * abs(angular_speed(1.0))


def test_turns_are_counted():
    """Two and a half turns on a path that is recorded; a jump of more than a right angle is not read."""
    claim = Claim("circulation", settings=SETTINGS | {"time": 3.0})
    problem = predict(circle(), turned_by(ALONG), claim, np.array(START)).problem
    measured = measurement(problem, 0.5)
    angle = np.linspace(0, 5 * np.pi, 65)[1:]
    points = np.stack([np.cos(angle), -np.sin(angle), 0 * angle, 0 * angle], axis=1)[..., None]
    assert measured.reduce(points, np.arange(64), 1e-4)[0, 0] == pytest.approx(-5 * np.pi / 3, rel=1e-12)

    class Few:
        failed = np.array([False, False])

    skipped = np.concatenate([points, np.where(np.arange(64)[:, None, None] > 30, -points, points)], axis=2)
    Few.points = skipped
    np.testing.assert_array_equal(measured.lost(Few), [False, True])
