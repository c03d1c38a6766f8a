"""Exponents from rungs made by hand: exact laws, corrections, noise, and data that follow no law."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.confidence import student_quantile
from flatmin.sims.extrapolate import Rung
from flatmin.sims.power_law import power_law

STRENGTHS = np.geomspace(1e-4, 10**-2.5, 5)


def rungs(means, relative):
    errors = np.broadcast_to(relative, (5,)) * means
    return [
        Rung(float(s), np.array([m]), np.array([[e**2]]), 1000)
        for s, m, e in zip(STRENGTHS, means, errors, strict=True)
    ]


@pytest.mark.parametrize("p", [0.5, 1.0, -1.0, 0.0])
@pytest.mark.parametrize("q", [0.5, 1.0])
def test_a_law_with_its_first_correction_is_exact(p, q):
    # In the exponent, so that no second correction is left.
    means = 3.0 * STRENGTHS**p * np.exp(0.3 * (STRENGTHS / STRENGTHS[-1]) ** q)
    estimate = power_law(rungs(means, 1e-9), q)
    assert estimate.value == pytest.approx([p], abs=1e-6)
    assert estimate.fit_probability > 0.01


@pytest.mark.parametrize("size", [0.3, -0.3])
@pytest.mark.parametrize("q", [0.5, 1.0])
def test_the_second_correction_lies_within_the_truncation(size, q):
    x = (STRENGTHS / STRENGTHS[-1]) ** q
    means = 2.0 * STRENGTHS**0.75 * (1 + size * x + size * x**2)
    estimate = power_law(rungs(means, 1e-3), q)
    error = abs(float(estimate.value[0]) - 0.75)
    assert 1e-4 < error < estimate.truncation < 0.5


def test_stated_errors_are_the_real_ones():
    generator, pulls = np.random.default_rng(3), []
    for _ in range(400):
        means = STRENGTHS**0.5 * (1 + 0.05 * STRENGTHS / STRENGTHS[-1]) * (1 + 0.01 * generator.standard_normal(5))
        estimate = power_law(rungs(means, 0.01), 1.0)
        pulls.append((float(estimate.value[0]) - 0.5) / float(np.sqrt(estimate.covariance[0, 0])))
    # Four standard errors of a mean and of a standard deviation over 400.
    assert abs(np.mean(pulls)) < 4 / np.sqrt(400)
    assert abs(np.std(pulls) - 1) < 4 / np.sqrt(800)
    assert np.mean(np.abs(pulls) > student_quantile(0.005, 1000)) < 0.01 + 3 * np.sqrt(0.01 / 400)


def test_what_is_no_power_of_lambda_does_not_fit():
    kink = np.maximum(STRENGTHS, STRENGTHS[2])
    assert power_law(rungs(kink, 1e-3), 1.0).fit_probability < 1e-6
