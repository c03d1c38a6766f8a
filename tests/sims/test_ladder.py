"""How many replicas a ladder takes at each strength."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims import ladder
from flatmin.sims.gauge import Goal
from flatmin.sims.kernel import Kernel
from flatmin.sims.ladder import Ladder
from flatmin.sims.measure import measurement
from flatmin.sims.progress import Silent
from flatmin.theory import Algorithm, Claim, LabelNoise
from flatmin.theory.prediction import predict
from kernel_models import pair_model

MODEL, ALGORITHM = pair_model(), Algorithm(lr=0.4, batch_size=1, noise=LabelNoise(0.1))
START = np.array([2.0, 0.5, -0.25])


@pytest.fixture(scope="module")
def kernel():
    return Kernel.for_algorithm(MODEL, ALGORITHM)


def of(kernel, kind, **changed):
    """A ladder for a statistic of the model, whose measurement is changed, and the scale of the statistic."""
    prediction = predict(MODEL, ALGORITHM, Claim(kind), START)
    how = measurement(prediction.problem, ALGORITHM.lr)
    vars(how).update(changed)
    made = Ladder(MODEL, ALGORITHM, kernel, how, seed=1, threads=None, progress=Silent())
    return made, prediction.scale


@pytest.fixture
def sizes(kernel):
    """A function: replicas per strength for a fixed point, if its variance is said to fall as lambda to this power."""

    def plan(power):
        made, scale = of(kernel, "fixed-point", control=lambda *_: None, variance_power=power)
        assert made.run(Goal(2e-4 * scale, 1e-3, 60.0)).trouble == ""
        # Of a first attempt, because a later one has other strengths.
        return made._sizes(0, *piloted(made, scale))[0]

    return plan


def test_how_the_variance_falls_is_measured_where_a_run_is_long(sizes, monkeypatch):
    """It falls like lambda; that it does not fall at all is believed only where nothing is measured."""
    measured = sizes(0)
    monkeypatch.setattr(ladder, "_WORTH_PILOTS", np.inf)
    right, believed = sizes(1), sizes(0)
    # Pilots of 128 replicas know a variance to some 15 %.
    np.testing.assert_allclose(measured, right, rtol=0.3)
    assert believed[0] > 5 * right[0]


def piloted(made, scale, budget=60.0):
    """After its pilot: that, and the four strengths."""
    made._goal = Goal(1e-5 * scale, 1e-3, budget)
    pilot = made._pilot(0, made._largest())
    return pilot, pilot.largest * made.relative_strengths


def test_variances_are_those_that_remain_under_a_control(kernel):
    """No replica of these pilots had a part in the coefficients of the control."""
    made, scale = of(kernel, "trajectory")
    pilot, strengths = piloted(made, scale)
    assert made.sampler.coefficients is not None
    assert made.sampler.fitted_columns > 16
    values = len(pilot.covariance) - made.measurement.residual_columns
    found = made._variances(0, pilot, strengths[:-1])
    for strength, relative in zip(strengths[:-1], found, strict=True):
        ensemble = made.sampler.run(float(strength), 2048, ("check",))
        many = made._spread(ensemble, float(strength), fitted=0).covariance
        # Of 128 replicas; the factor for rows that coefficients were fitted to would be 1.7.
        expected = np.trace(many[:values, :values]) / np.trace(pilot.covariance[:values, :values])
        assert relative == pytest.approx(expected, rel=0.4)


def test_pilots_that_the_budget_cannot_bear_are_not_run(kernel, monkeypatch):
    made, scale = of(kernel, "fixed-point", control=lambda *_: None)
    pilot, strengths = piloted(made, scale)
    ran = []
    monkeypatch.setattr(made, "_variances", lambda *_: ran.append(1))
    made._sizes(0, pilot, strengths)
    assert len(ran) == 1
    made._goal = Goal(1e-5 * scale, 1e-3, 20 * 128 * pilot.seconds_per_replica)
    made._sizes(0, pilot, strengths)
    assert len(ran) == 1


def test_a_lost_replica_leaves_the_belief(kernel, monkeypatch):
    made, scale = of(kernel, "fixed-point", control=lambda *_: None)
    pilot, strengths = piloted(made, scale)
    measured = made._sizes(0, pilot, strengths)[0]
    monkeypatch.setattr(type(made.measurement), "lost", lambda self, ensemble: np.array([True]))
    assert made._variances(0, pilot, strengths[:-1]) is None
    assert not np.array_equal(made._sizes(0, pilot, strengths)[0], measured)
