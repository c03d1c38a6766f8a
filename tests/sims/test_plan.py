"""Sample sizes: whole blocks, the planned error, and no more than rounding up would cost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from flatmin.sims import plan
from flatmin.sims.confidence import noise_radius
from flatmin.sims.extrapolate import polynomial_weights
from flatmin.sims.lanes import LANES
from flatmin.sims.plan import Pilot, sample_sizes, tail_inflation, whole_blocks
from hypothesis import given
from hypothesis import strategies as st

_STRENGTHS = np.geomspace(0.1, 1.0, 4)


def _measurement(degree, power, paired=False):
    """Runs that are as long as lambda^-power."""
    return SimpleNamespace(
        degree=degree, residual_columns=0, paired=paired, schedule=lambda s: np.array([round(1000 * s**-power)])
    )


def _half_width(pilot, sizes, variances, degree, level):
    """What is planned, with the sizes themselves as weights of the fit: the best there is, and with room for tails."""
    weights = polynomial_weights(_STRENGTHS, variances / sizes, degree)[0]
    error = float(np.sqrt(np.sum(weights**2 * variances / sizes)))
    tails = tail_inflation(pilot.kurtosis / sizes.min(), level / 2)
    return error * noise_radius(pilot.covariance, level / 2, pilot.replicas) * tails


@given(
    degree=st.sampled_from([1, 2]),
    power=st.floats(0, 1.5),
    falling=st.floats(0, 2),
    log_half=st.floats(-3, 0),
    curved=st.floats(1.8, 60),
)
def test_sizes_are_whole_blocks_that_reach_the_planned_error(degree, power, falling, log_half, curved):
    pilot = Pilot(1.0, np.diag([1.0, 0.5]), curved, 256, 1e-3)
    half, level, variances = 10.0**log_half, 1e-3, _STRENGTHS**falling
    sizes, cost = sample_sizes(pilot, _measurement(degree, power), _STRENGTHS, half, level, variances)
    assert np.all(sizes % LANES == 0)
    assert np.all(sizes >= max(128, curved / 0.05))
    costs = np.round(1000 * _STRENGTHS**-power) / 1000
    assert cost == pytest.approx(float(costs @ sizes))
    assert _half_width(pilot, sizes, variances, degree, level) <= half * (1 + 1e-9)


def test_what_is_dear_is_what_runs_are_long_for(monkeypatch):
    seen = []
    monkeypatch.setattr(plan, "whole_blocks", lambda *given: seen.append(given) or whole_blocks(*given))
    pilot = Pilot(1.0, np.eye(2), 3.0, 256, 1e-3)
    sample_sizes(pilot, _measurement(1, 1.0), _STRENGTHS, 0.1, 1e-3, np.ones(4))
    ((_, fewest, _, costs),) = seen
    assert fewest == 2
    np.testing.assert_allclose(costs, 1 / _STRENGTHS, rtol=1e-3)


def test_pairs_have_one_size_and_cost_what_it_costs():
    pilot = Pilot(1.0, np.eye(2), 3.0, 256, 1e-3)
    sizes, cost = sample_sizes(pilot, _measurement(1, 0.0, paired=True), _STRENGTHS, 0.05, 1e-3, np.ones(4))
    apart, _ = sample_sizes(pilot, _measurement(1, 0.0), _STRENGTHS, 0.05, 1e-3, np.ones(4))
    assert len(set(sizes)) == 1
    assert cost == 4 * sizes[0]
    # As many as the strength that needs most, and not what rounding loads onto one.
    assert apart.max() - 2 * LANES <= sizes[0] <= apart.max() + LANES


def test_no_spread_asks_for_the_fewest_and_a_huge_one_ends():
    measured = _measurement(1, 1.0)

    def sizes(covariance, tails):
        return sample_sizes(Pilot(1.0, covariance, tails, 256, 1e-3), measured, _STRENGTHS, 0.1, 1e-3, np.ones(4))[0]

    assert list(sizes(np.zeros((2, 2)), 3.0)) == [128] * 4
    for huge in (sizes(1e30 * np.eye(2), 3.0), sizes(np.eye(2), np.inf)):
        assert huge.min() >= 128
        assert huge.max() <= 1e9 + LANES


@given(
    wanted=st.lists(st.floats(0.1, 60.0), min_size=4, max_size=4),
    log_variances=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    decades=st.floats(0, 3),
)
def test_whole_blocks_are_as_precise_as_wanted_and_cost_no_more_than_rounding_up(wanted, log_variances, decades):
    wanted, variances, costs = np.array(wanted), 10.0 ** np.array(log_variances), np.geomspace(10**decades, 1.0, 4)
    blocks = whole_blocks(wanted, 2, variances, costs)
    assert np.all(blocks == np.floor(blocks))
    assert np.all(blocks >= 2)
    # Rounding of sums of four numbers.
    assert np.sum(variances / blocks) <= np.sum(variances / wanted) * (1 + 1e-12)
    assert costs @ blocks <= costs @ np.maximum(np.ceil(wanted), 2)
    cheapest = np.argmin(costs)
    if blocks[cheapest] > 2:
        blocks[cheapest] -= 1
        assert np.sum(variances / blocks) > np.sum(variances / wanted) * (1 - 1e-12)  # none can be spared


def test_a_dear_block_is_not_begun_for_a_few_replicas():
    costs, wanted = np.array([100.0, 1.0]), np.array([2.1, 21.0])
    # Sizes at the least cost: variances go as wanted^2 costs. 2 + 42 blocks, 242, in the place of 3 + 22, 322.
    assert list(whole_blocks(wanted, 1, wanted**2 * costs, costs)) == [2, 42]
