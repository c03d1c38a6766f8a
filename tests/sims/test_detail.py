"""The rungs of a ladder in a result: the polynomial through them, and errors along the prediction by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flatmin.sims.detail import detail
from flatmin.sims.extrapolate import Rung, extrapolate
from flatmin.sims.measure_scaling import _apart
from flatmin.sims.power_law import power_law

LADDER = np.geomspace(1e-4, 1e-3, 4)
PREDICTED = np.array([3.0, 4.0])


def estimate(offset=0.0):
    means = [PREDICTED + offset + 2 * np.array([0.6, 0.8]) * s for s in LADDER]
    covariance = np.diag([4e-6, 1e-6])
    return extrapolate([Rung(float(s), m, covariance, 500, 70) for s, m in zip(LADDER, means)], 1)


def test_errors_are_along_the_prediction():
    block = detail(estimate(), PREDICTED, 5.0, None)
    # The means lie along (3, 4), of length 5: the error is 2 lambda/5, its variance that of 0.6 x + 0.8 y over 25.
    for rung, strength in zip(block["rungs"], LADDER):
        assert rung["error"] == pytest.approx(2 * strength / 5)
        assert rung["error_standard_error"] == pytest.approx(np.sqrt(0.36 * 4e-6 + 0.64 * 1e-6) / 5)
        assert rung["standard_error"] == pytest.approx([2e-3, 1e-3])
        assert (rung["replicas"], rung["steps"]) == (500, 70)
    assert block["error_coefficients"] == pytest.approx([0.0, 2 * LADDER[-1] / 5], abs=1e-12)
    assert block["coefficients"][0] == pytest.approx([3.0, 4.0])


def test_origin_turns_the_direction():
    # From (3, 0) the prediction lies along the second axis.
    block = detail(estimate(offset=np.array([0.5, 0.0])), PREDICTED, 4.0, np.array([3.0, 0.0]))
    assert block["limit"]["error"] == pytest.approx(0.0, abs=1e-12)
    assert detail(estimate(offset=np.array([0.5, 0.0])), PREDICTED, 4.0, None)["limit"]["error"] > 0.05


def test_without_a_direction_the_error_has_its_own():
    block = detail(estimate(offset=np.array([0.0, -0.5])), PREDICTED, 2.0, PREDICTED)
    assert block["limit"]["error"] == pytest.approx(0.25)


def test_large_statistics_keep_the_error_alone(monkeypatch):
    monkeypatch.setattr("flatmin.sims.detail._MOST", 1)
    block = detail(estimate(), PREDICTED, 5.0, None)
    assert block["coefficients"] is None
    assert "mean" not in block["rungs"][0]
    assert block["rungs"][0]["error"] == pytest.approx(2 * LADDER[0] / 5)


def test_exponents():
    rungs = [Rung(float(s), np.array([3 * s**0.5]), np.array([[1e-12 * s]]), 500, 70) for s in LADDER]
    block = detail(power_law(rungs, 1.0), np.array([0.75]), 0.75, None)
    assert (block["law"], block["correction_power"]) == ("power", 1.0)
    assert block["coefficients"] == [[pytest.approx(0.5)], [pytest.approx(np.log(3))], [pytest.approx(0, abs=1e-6)]]
    assert block["limit"]["error"] == pytest.approx(-1 / 3)
    assert block["error_coefficients"] is None
    assert "error" not in block["rungs"][0]


def test_units():
    raw = estimate()
    half = raw.in_units(0.5, 1)
    assert half.value == pytest.approx(raw.value[:1] / 2)
    assert half.covariance == pytest.approx(raw.covariance[:1, :1] / 4)
    assert half.rungs[2].mean == pytest.approx(raw.rungs[2].mean[:1] / 2)
    assert half.truncation == raw.truncation / 2
    assert half.coefficients is not None
    assert half.coefficients == pytest.approx(raw.coefficients[:, :1] / 2)


def test_fractions():
    rung = Rung(1e-4, np.array([0.75]), np.array([[1e-3]]), 400, 70)
    one = replace(estimate(), value=rung.mean, covariance=rung.covariance, fraction=True, rungs=(rung,))
    one = replace(one, coefficients=None)
    block = detail(one, np.array([1.0]), 1.0, np.zeros(1))
    assert block["law"] == "fraction"
    assert block["rungs"] == [{"strength": 1e-4, "steps": 70, "replicas": 400, "mean": [0.75]}]
    assert block["limit"]["error"] == -0.25
    assert (block["coefficients"], block["error_coefficients"]) == (None, None)


def test_a_difference_of_two_ladders_has_the_rungs_of_the_difference():
    own, other = estimate(), estimate(offset=np.array([1.0, 0.0]))
    rungs, coefficients = _apart(own, 2.0, other, 4.0)
    assert coefficients is not None
    assert coefficients[0] == pytest.approx(other.value / 4 - own.value / 2)
    for rung, a, b in zip(rungs, own.rungs, other.rungs, strict=True):
        assert (rung.strength, rung.mean) == (a.strength, pytest.approx(b.mean / 4 - a.mean / 2))
        assert rung.covariance == pytest.approx(b.covariance / 16 + a.covariance / 4)
    # Ladders that stand elsewhere have none.
    shifted = tuple(replace(r, strength=r.strength * (1 + i)) for i, r in enumerate(other.rungs))
    strengths = tuple(r.strength for r in shifted)
    assert _apart(own, 2.0, replace(other, rungs=shifted, strengths=strengths), 4.0) == ((), None)


def test_one_number_has_the_sign_of_its_error():
    # As the verdict has it: a rate of -0.9 where -1 is predicted is too large.
    rungs = [Rung(float(s), np.array([-0.9]), np.array([[1e-8]]), 500, 70) for s in LADDER]
    block = detail(extrapolate(rungs, 1), np.array([-1.0]), 1.0, None)
    assert block["limit"]["error"] == pytest.approx(0.1)
    assert block["error_coefficients"][0] == pytest.approx(0.1)
