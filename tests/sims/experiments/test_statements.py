"""Exact intervals of medians: how often they miss, and all outcomes of a statement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flatmin.sims.experiments.statements import MEAN, Statement, decide, mean_interval, median_interval, needed


def test_interval_of_twenty_values_against_the_binomial_written_out():
    # P(Bin(20, 1/2) <= 1) = 21/2^20 on each side.
    values, level = np.random.default_rng(0).permutation(20).astype(float), 2 * 21 / 2**20
    assert median_interval(values, level * 1.001) == (1.0, 18.0)
    assert median_interval(values, level * 0.999) == (0.0, 19.0)
    assert median_interval(values, 1.9 / 2**20) == (-math.inf, math.inf)


@pytest.mark.parametrize("level", [0.5, 0.05, 1e-3, 7.3e-6])
def test_the_fewest_values_that_are_needed(level):
    count = needed(level)
    assert median_interval(range(count), level)[0] == 0
    assert median_interval(range(count - 1), level)[0] == -math.inf


@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy", "of two values"])
def test_intervals_miss_the_median_no_more_often_than_stated(law):
    rng, trials, count, level = np.random.default_rng(1), 4000, 25, 0.05
    # Half of the mass at 1 and a little more below it: the median is 0, and there are many ties.
    draw = {"of two values": lambda size: (rng.random(size) > 0.51).astype(float)}.get(law) or getattr(rng, law)
    median = math.log(2) if law == "exponential" else 0.0
    missed = 0
    for values in draw(size=(trials, count)):
        low, high = median_interval(values, level)
        missed += not low <= median <= high
    # The true rate is at most 0.0433 here (order statistics 8 and 18); four standard errors of a rate from 4000 trials.
    assert missed / trials <= 0.0433 + 4 * math.sqrt(0.0433 / trials)
    if law == "normal":
        assert missed / trials >= 0.0433 - 4 * math.sqrt(0.0433 / trials)


def statement(values, low=-math.inf, high=math.inf, rivals=()):
    return Statement("name", "text", values, low, high, rivals=rivals)


def test_all_outcomes():
    values = np.linspace(1.0, 2.0, 40)
    outcomes = {(0.0, 3.0): "supported", (0.0, 0.5): "refuted", (2.5, 3.0): "refuted", (1.5, 9.0): "inconclusive"}
    for (low, high), expected in outcomes.items():
        (decision,) = decide([statement(values, low, high)])
        assert decision.verdict == expected
        assert bool(decision.reason) == (expected == "inconclusive")
        assert decision.interval[0] <= decision.middle <= decision.interval[1]


def test_few_runs_and_diverged_runs_decide_nothing_in_favour():
    (few,) = decide([statement([1.0] * 5, 0.0, 2.0)])
    assert few.verdict == "inconclusive"
    assert "fewer than the 11" in few.reason
    (diverged,) = decide([statement([math.inf] * 40, high=2.0)])
    assert diverged.verdict == "refuted"
    (some,) = decide([statement([1.0] * 20 + [math.inf] * 20, high=2.0)])
    assert some.verdict == "inconclusive"


@pytest.mark.parametrize(("low", "high"), [(0.0, math.inf), (-math.inf, 2.0), (0.0, 2.0)])
def test_diverged_and_unknown_values_help_no_side(low, high):
    def verdict(values):
        return decide([statement(values, low, high)])[0].verdict

    assert verdict([1.0] * 40) == "supported"
    for bad in (math.inf, -math.inf, math.nan):
        assert verdict([1.0] * 38 + [bad] * 2) == "supported"
        assert verdict([1.0] * 20 + [bad] * 20) == "inconclusive"
    # A diverged run is outside of the range, beyond an end that is not said if there are two; an unknown one anywhere.
    assert verdict([math.inf] * 40) == ("refuted" if math.inf in (high, -low) else "inconclusive")
    assert verdict([math.nan] * 40) == "inconclusive"
    wrong = 3.0 if high == 2.0 else -1.0
    assert verdict([wrong] * 38 + [math.nan] * 2) == "refuted"
    assert verdict([wrong] * 20 + [math.nan] * 20) == "inconclusive"


def test_the_level_is_shared_by_statements_and_rivals():
    one = statement(range(30), 0.0, 40.0)
    decisions = decide([statement(range(30), rivals=(one, one)), one], confidence=0.99)
    assert [d.level for d in decisions] == pytest.approx([0.0025, 0.0025])
    assert decisions[0].rivals[0].level == decisions[1].level


def test_broken_numbers_give_no_verdict():
    with pytest.raises(ValueError, match="values="):
        statement([])
    with pytest.raises(ValueError, match="below high"):
        statement([1.0], 2.0, 2.0)


def test_interval_of_a_mean_against_a_table_and_its_rate_of_misses():
    # Student's 97.5 % quantile with 4 degrees of freedom, to the digits of printed tables.
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.05)
    assert (low + high, high - low) == pytest.approx((6.0, 2 * 2.776 * math.sqrt(2.5 / 5)), rel=2e-4)
    draws = np.random.default_rng(2).normal(size=(4000, 5))
    missed = sum(not low <= 0.0 <= high for low, high in (mean_interval(values, 0.05) for values in draws))
    # Four standard errors of a rate of 0.05 from 4000 trials.
    assert abs(missed / 4000 - 0.05) <= 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_all_outcomes_of_a_mean():
    values = [1.0, 1.1, 0.9, 1.05, 0.95]
    for (low, high), expected in {(0, 2): "supported", (3, 4): "refuted", (1, 2): "inconclusive"}.items():
        (decision,) = decide([statement(values, low, high)], 0.99, MEAN)
        assert (decision.verdict, decision.middle) == (expected, pytest.approx(1.0))
        assert decision.as_json()["mean"] == decision.middle
    (diverged,) = decide([statement([*values, math.inf], 0.0, 2.0)], 0.99, MEAN)
    assert diverged.verdict == "inconclusive"
    assert "diverged" in diverged.reason
    (single,) = decide([statement([1.0], 0.0, 2.0)], 0.99, MEAN)
    assert "fewer than the 5" in single.reason
    (ties,) = decide([statement([1.0] * 4, 0.0, 2.0)], 0.99, MEAN)
    assert (ties.verdict, ties.interval) == ("inconclusive", (-math.inf, math.inf))
    (enough,) = decide([statement([1.0] * 5, 0.0, 2.0)], 0.99, MEAN)
    assert enough.verdict == "supported"
