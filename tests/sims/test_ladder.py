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


@pytest.fixture(scope="module")
def sizes():
    """A function: replicas per strength for a fixed point, if its variance is said to fall as lambda to this power."""
    model, algorithm = pair_model(), Algorithm(lr=0.4, batch_size=1, noise=LabelNoise(0.1))
    prediction = predict(model, algorithm, Claim("fixed-point"), np.array([2.0, 0.5, -0.25]))
    kernel = Kernel.for_algorithm(model, algorithm)

    def run(power):
        how = measurement(prediction.problem, algorithm.lr)
        how.control, how.variance_power = lambda *_: None, power
        measured = Ladder(model, algorithm, kernel, how, seed=1, threads=None, progress=Silent()).run(
            Goal(2e-4 * prediction.scale, 1e-3, 60.0)
        )
        assert measured.trouble == ""
        return [rung.replicas for rung in measured.estimate.rungs]

    return run


def test_how_the_variance_falls_is_measured_where_a_run_is_long(sizes, monkeypatch):
    """It falls like lambda; that it does not fall at all is believed only where nothing is measured."""
    right, measured = sizes(1), sizes(0)
    monkeypatch.setattr(ladder, "_WORTH_PILOTS", np.inf)
    believed = sizes(0)
    # Pilots of 128 replicas know a variance to some 15 %.
    np.testing.assert_allclose(measured, right, rtol=0.3)
    assert believed[0] > 5 * right[0]
