"""Every verdict rule giving each of its answers, on estimates made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.confidence import student_quantile
from flatmin.sims.decide import compare, judge
from flatmin.sims.extrapolate import Estimate
from scipy import stats

LEVEL, MARGIN = 1e-3, 0.02
PREDICTED = np.array([3.0, 4.0])


def estimate(value, error=1e-4, truncation=0.0, covariance=None):
    covariance = error**2 * np.eye(len(value)) if covariance is None else covariance
    return Estimate(np.asarray(value, dtype=float), covariance, truncation, 1, 0.5, 0.0, (1e-4, 1e-3), 10_000)


def verdict(value, **options):
    return compare(PREDICTED, 5.0, np.zeros(2), estimate(value, **options), margin=MARGIN, level=LEVEL)


def test_supported():
    result = verdict(PREDICTED * 1.001)
    assert result.verdict == "supported"
    assert result.relative_error == pytest.approx(0.001)
    low, high = result.interval
    assert low < 0.001 < high
    assert max(abs(low), abs(high)) < MARGIN


@pytest.mark.parametrize("factor", [1.05, 0.95, 2.0, 0.0, -1.0])
def test_refuted_along_the_prediction(factor):
    result = verdict(PREDICTED * factor)
    assert result.verdict == "refuted"
    assert result.interval[0] > MARGIN or result.interval[1] < -MARGIN


def test_refuted_across_the_prediction():
    result = verdict(PREDICTED + 0.05 * np.array([-4.0, 3.0]))
    assert result.verdict == "refuted"
    assert result.interval[0] > MARGIN


@pytest.mark.parametrize("factor", [1.02, 0.98, 1.0])
def test_inconclusive(factor):
    # An error of the size of the margin, or noise that is as large as the margin.
    result = verdict(PREDICTED * factor, error=0.05 if factor == 1.0 else 1e-2)
    assert result.verdict == "inconclusive"


def test_truncation_counts_against_both_answers():
    assert verdict(PREDICTED * 1.001, truncation=0.2).verdict == "inconclusive"
    assert verdict(PREDICTED * 1.03, truncation=0.2).verdict == "inconclusive"


def test_interval_has_the_stated_width():
    result = verdict(PREDICTED * 1.01, covariance=np.outer(PREDICTED, PREDICTED) / 25 * 1e-4)
    half = student_quantile(LEVEL / 4, 10_000) * 1e-2 / 5
    assert result.interval == pytest.approx((0.01 - half, 0.01 + half), rel=1e-9)


def test_zero_prediction_has_no_direction():
    zero = np.zeros(2)
    supported = compare(zero, 5.0, zero, estimate([1e-4, 0.0]), margin=MARGIN, level=LEVEL)
    refuted = compare(zero, 5.0, zero, estimate([1.0, 0.0]), margin=MARGIN, level=LEVEL)
    assert (supported.verdict, refuted.verdict) == ("supported", "refuted")


@pytest.mark.parametrize("broken", [(float("nan"), 1.0), (0.0, float("nan")), (1.0, -1.0)])
def test_a_broken_interval_gives_no_verdict(broken):
    with pytest.raises(ValueError, match="no interval"):
        judge([broken], MARGIN)


def test_error_rate_at_the_margin():
    """A theory wrong by exactly the margin is supported, and refuted, no more often than the level."""
    generator = np.random.default_rng(4)
    level, error = 0.2, 0.01
    answers = []
    for _ in range(4000):
        value = PREDICTED * (1 + MARGIN) + error * generator.standard_normal(2)
        answers.append(compare(PREDICTED, 5.0, np.zeros(2), estimate(value, error), margin=MARGIN, level=level).verdict)
    # Each tail along the prediction has level/4; three standard errors of a fraction of 4000.
    for answer in ("supported", "refuted"):
        assert answers.count(answer) / 4000 < level / 4 + 3 * np.sqrt(0.05 / 4000)
    assert answers.count("refuted") > 0.5 * level / 4 * 4000


def test_error_rate_across_the_prediction_in_many_dimensions():
    generator = np.random.default_rng(5)
    predicted = np.zeros(12)
    predicted[0] = 5.0
    true = predicted.copy()
    true[1] = 5.0 * MARGIN
    answers = []
    for _ in range(1500):
        value = true + 0.01 * generator.standard_normal(12)
        held = estimate(value, 0.01)
        answers.append(compare(predicted, 5.0, np.zeros(12), held, margin=MARGIN, level=0.2).verdict)
    # The ball gives the norm a conservative interval: level/2 bounds each answer.
    for answer in ("supported", "refuted"):
        assert answers.count(answer) / 1500 <= 0.1


class TestOneNumber:
    @staticmethod
    def compare(predicted, value, error=1e-4, margin=MARGIN, **options):
        scale = abs(predicted) or 1.0
        return compare(
            np.array([predicted]), scale, np.zeros(1), estimate([value], error), margin=margin, level=LEVEL, **options
        )

    @pytest.mark.parametrize("predicted", [-1.5, 0.75])
    def test_a_bound_from_below_is_broken_below_it_alone(self, predicted):
        for excess, verdict in ((0.5, "supported"), (0.0, "supported"), (-0.5, "refuted")):
            assert self.compare(predicted, predicted + excess, at_least=True).verdict == verdict
        assert self.compare(predicted, predicted + 0.5).verdict == "refuted"
        # Where the interval crosses the margin below the bound, neither.
        assert (
            self.compare(predicted, predicted * (1 - MARGIN * np.sign(predicted)), at_least=True).verdict
            == "inconclusive"
        )

    @pytest.mark.parametrize("predicted", [-1.0, 2.0, 0.0])
    def test_the_error_has_a_sign_of_its_own(self, predicted):
        low, high = self.compare(predicted, predicted + 0.01 * (abs(predicted) or 1.0)).interval
        assert 0.009 < low < 0.01 < high < 0.011

    @pytest.mark.parametrize(
        ("predicted", "successes", "verdict"),
        [(1.0, 2000, "supported"), (1.0, 1998, "supported"), (1.0, 1965, "inconclusive"), (1.0, 1850, "refuted"),
         (0.0, 0, "supported"), (0.0, 2000, "refuted"), (1.0, 0, "refuted")],
    )  # fmt: skip
    def test_a_fraction_has_an_exact_interval(self, predicted, successes, verdict):
        share = successes / 2000
        held = Estimate(
            np.array([share]), np.array([[share * (1 - share) / 2000]]), 0.0, 0, 1.0, 0.0, (1e-3,), 2000, fraction=True
        )
        result = compare(np.array([predicted]), 1.0, np.zeros(1), held, margin=MARGIN, level=LEVEL)
        assert result.verdict == verdict
        # Another route: the bounds are where the binomial tails are level/4.
        low, high = (predicted + v for v in result.interval)
        if 0 < successes < 2000:
            assert stats.binom.sf(successes - 1, 2000, low) == pytest.approx(LEVEL / 4, rel=1e-6)
            assert stats.binom.cdf(successes, 2000, high) == pytest.approx(LEVEL / 4, rel=1e-6)

    def test_few_replicas_that_all_agree_prove_little(self):
        held = Estimate(np.ones(1), np.zeros((1, 1)), 0.0, 0, 1.0, 0.0, (1e-3,), 100, fraction=True)
        result = compare(np.ones(1), 1.0, np.zeros(1), held, margin=MARGIN, level=LEVEL)
        assert result.verdict == "inconclusive"
        assert result.interval == pytest.approx((-(1 - (LEVEL / 4) ** 0.01), 0.0))
