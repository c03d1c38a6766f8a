"""Tails of weighted chi-squares and confidence radii, against exact cases and large samples."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.confidence import noise_radius, student_quantile, weighted_chi2_tail
from scipy import stats


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("tail", [0.3, 1e-3, 1e-7])
def test_equal_weights_are_chi_square(count, tail):
    value = stats.chi2.isf(tail, count)
    # scipy's own function behind it: rounding.
    assert weighted_chi2_tail(3 * value, np.full(count, 3.0)) == pytest.approx(tail, rel=1e-9)


def test_two_exponentials_are_exact():
    """Two weights, each twice: a sum of two exponentials, whose tail is elementary."""
    a, b = 1.0, 0.4
    for value in (8.0, 20.0, 40.0):
        exact = (a * np.exp(-value / (2 * a)) - b * np.exp(-value / (2 * b))) / (a - b)
        # The saddlepoint formula has a relative error of a few percent for few degrees of freedom.
        assert weighted_chi2_tail(value, np.array([a, a, b, b])) == pytest.approx(exact, rel=0.05)


def test_tail_falls_from_one_to_zero():
    weights = np.array([1.0, 0.5, 0.1])
    tails = [weighted_chi2_tail(v, weights) for v in np.linspace(0.0, 30, 200)]
    assert tails[0] == 1.0
    # Near the mean another formula takes over; the seam is below half a percent.
    assert np.all(np.diff(tails) < 5e-3)
    assert tails[-1] < 1e-5
    assert weighted_chi2_tail(1.0, np.zeros(0)) == 0.0
    # Residuals of exact data are rounding.
    assert [weighted_chi2_tail(10.0**-k, weights) for k in (20, 30, 200)] == [1.0] * 3
    # Those of replicas that are all alike can be any number of errors.
    assert [weighted_chi2_tail(10.0**k, weights) for k in (4, 13, 15, 200)] == [0.0] * 4
    assert 1e-300 < weighted_chi2_tail(1300.0, weights) < 1e-280


def test_noise_radius_covers_at_its_level():
    generator = np.random.default_rng(1)
    factor = generator.standard_normal((4, 4)) * np.array([1, 0.5, 0.1, 0.01])
    covariance = factor @ factor.T
    draws = generator.standard_normal((400_000, 4)) @ factor.T
    norms = np.linalg.norm(draws, axis=1)
    for level in (0.1, 0.01):
        outside = np.mean(norms > noise_radius(covariance, level, 10**9))
        # 400,000 draws give the level to sqrt(0.1/4e5) = 5e-4; five of these, and 3 % for the saddlepoint formula.
        assert outside == pytest.approx(level, rel=0.03, abs=5 * np.sqrt(level / 400_000))


def test_one_dimension_is_the_normal_quantile():
    assert noise_radius(np.array([[4.0]]), 1e-4, 10**9) == pytest.approx(2 * stats.norm.isf(5e-5), rel=1e-6)
    assert noise_radius(np.zeros((3, 3)), 1e-4, 100) == 0.0


def test_few_replicas_widen():
    assert noise_radius(np.eye(2), 1e-3, 20) > 1.1 * noise_radius(np.eye(2), 1e-3, 10**6)
    assert student_quantile(0.025, 10**9) == pytest.approx(1.95996, abs=1e-4)
