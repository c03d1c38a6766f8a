"""When a measurement goes on to smaller strengths."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from flatmin.sims.extrapolate import Estimate
from flatmin.sims.gauge import ExtrapolatedGauge, Goal
from flatmin.sims.measured import Measured


class Scripted(ExtrapolatedGauge):
    """One whose attempts come out as said: value and truncation."""

    relative_strengths = np.array([0.1, 1.0])
    attempts = 3
    _lowest = 0.0

    def __init__(self, outcomes, crosses_over):
        measurement = SimpleNamespace(crosses_over=crosses_over, largest_strength=lambda: 1.0)
        super().__init__(SimpleNamespace(measurement=measurement, reachable=lambda s: s, stage=1))
        self.outcomes, self.largest = outcomes, []

    def _attempt(self, attempt, largest):
        self.largest.append(largest)
        if self.outcomes[attempt] is None:
            return self._nothing("the budget is too small", 1.0)
        value, truncation = self.outcomes[attempt]
        strengths = tuple(largest * self.relative_strengths)
        estimate = Estimate(np.array([value]), np.eye(1), truncation, 1, 1.0, 0.0, strengths, 100)
        return Measured(estimate, 0.0, "", 1.0, 1.0)


@pytest.mark.parametrize(
    ("outcomes", "crosses_over", "tried", "value", "truncation"),
    [
        # A small truncation is believed at once, unless one law may hide another.
        ([(0.94, 0.01), (0.75, 0.02)], False, 1, 0.94, 0.01),
        ([(0.94, 0.01), (0.75, 0.02), (0.74, 0.02)], True, 3, 0.74, 0.02),
        ([(0.75, 0.01), (0.76, 0.02)], True, 2, 0.76, 0.02),
        # What changed at the last step is part of the error, and a large truncation lowers either.
        ([(0.94, 0.01), (0.85, 0.02), (0.76, 0.02)], True, 3, 0.76, 0.09),
        ([(0.94, 0.5), (0.75, 0.02)], False, 2, 0.75, 0.02),
        # Without a second look there is no result, where one is needed.
        ([(0.94, 0.01), None], True, 2, None, None),
        ([(0.94, 0.5), None], False, 2, 0.94, 0.5),
    ],
)
def test_strengths_are_lowered_until_the_result_can_be_believed(outcomes, crosses_over, tried, value, truncation):
    gauge = Scripted(outcomes, crosses_over)
    measured = gauge.run(Goal(half_width=0.1, level=1e-3, budget=60.0))
    assert len(gauge.largest) == tried
    assert np.allclose(gauge.largest, [8.0**-k for k in range(tried)])
    if value is None:
        assert measured.estimate is None
    else:
        assert measured.estimate.value[0] == value
        assert measured.estimate.truncation == pytest.approx(truncation)
