"""The limit lambda -> 0: exact on polynomials, honest about noise, truncation and lack of fit."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.extrapolate import Rung, extrapolate, polynomial_weights

LADDER = np.geomspace(1e-4, 1e-3, 4)


def rungs(function, variance=1e-10, size=2):
    return [Rung(float(s), np.asarray(function(s), dtype=float), variance * np.eye(size), 500) for s in LADDER]


@pytest.mark.parametrize("degree", [1, 2])
def test_polynomials_of_the_degree_are_exact(degree):
    coefficients = np.array([[2.0, -1.0], [300.0, 40.0], [1e5, -3e4]])[: degree + 1]
    estimate = extrapolate(rungs(lambda s: s ** np.arange(degree + 1) @ coefficients), degree)
    np.testing.assert_allclose(estimate.value, [2.0, -1.0], rtol=1e-12)
    # Exact data lie on the polynomial: residuals are rounding beside the stated noise.
    assert estimate.fit_probability > 0.999


def test_covariance_is_that_of_the_weights():
    estimate = extrapolate(rungs(lambda s: [1.0, 2.0], variance=1e-6), 2)
    weights = polynomial_weights(LADDER, np.full(4, 2e-6), 2)[0]
    np.testing.assert_allclose(estimate.covariance, np.sum(weights**2) * 1e-6 * np.eye(2), rtol=1e-12)


def test_errors_cover_the_limit():
    """Noisy rungs: the squared error over its stated variance averages to 1."""
    generator = np.random.default_rng(2)
    ratios = []
    for _ in range(2000):
        noisy = rungs(lambda s: np.array([1.0, 0.5]) + 20 * s + 1e-3 * generator.standard_normal(2), variance=1e-6)
        estimate = extrapolate(noisy, 2)
        ratios.append((estimate.value - [1.0, 0.5]) ** 2 / np.diag(estimate.covariance))
    # 4000 chi-squares of one degree: their mean has the standard error sqrt(2/4000) = 0.022; four of these.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.09)


@pytest.mark.parametrize("degree", [1, 2])
def test_truncation_bounds_the_term_left_out(degree):
    """A series whose terms do not grow at the top of the ladder: the bound covers what the next one does."""
    top = LADDER[-1]

    def series(s):
        x = s / top
        return [1.0 + sum(0.05 * x**p for p in range(1, degree + 2)), 0.0]

    estimate = extrapolate(rungs(series, variance=1e-16), degree)
    assert abs(estimate.value[0] - 1.0) <= estimate.truncation
    # And it is no blanket: it stays below the term itself.
    assert estimate.truncation < 0.05


def test_lack_of_fit_is_seen():
    bent = extrapolate(rungs(lambda s: [np.sqrt(s), 0.0], variance=1e-10), 1)
    assert bent.fit_probability < 1e-6
    straight = extrapolate(rungs(lambda s: [3 * s, 0.0], variance=1e-10), 1)
    assert straight.fit_probability > 1e-3


def test_fit_probability_is_uniform_on_true_polynomials():
    generator = np.random.default_rng(3)
    scales = np.array([1e-3, 2e-3, 1e-3, 5e-4])
    values = []
    for _ in range(1500):
        data = [
            Rung(float(s), 1.0 + 5 * s + c * generator.standard_normal(2), c**2 * np.eye(2), 500)
            for s, c in zip(LADDER, scales)
        ]
        values.append(extrapolate(data, 1).fit_probability)
    # Fractions of 1500 have standard errors below 0.013; three of these and the seam of the tail formula.
    for level in (0.1, 0.5, 0.9):
        assert np.mean(np.array(values) < level) == pytest.approx(level, abs=0.04)


def test_an_exact_rung_does_not_break_the_fit():
    data = [Rung(float(s), np.array([1.0]), np.zeros((1, 1)), 500) for s in LADDER]
    estimate = extrapolate(data, 1)
    assert estimate.value[0] == pytest.approx(1.0, rel=1e-12)
    assert np.all(np.isfinite(estimate.covariance))


@pytest.mark.parametrize(("slope", "part"), [(0.0, (0.6, 1.0)), (100.0, (0.0, 0.1))])
def test_what_more_data_take_from_the_truncation(slope, part):
    """All but a little where the last term is not seen for its error; little where it is."""
    generator, strengths = np.random.default_rng(1), np.geomspace(0.1, 1.0, 4)
    rungs = [
        Rung(s, np.array([1 + slope * s + generator.standard_normal()]), np.eye(1), 100) for s in strengths.tolist()
    ]
    found = extrapolate(rungs, 1)
    assert part[0] <= found.uncertain / found.truncation <= part[1]
    assert found.in_units(3.0, 1).uncertain == pytest.approx(3 * found.uncertain)
