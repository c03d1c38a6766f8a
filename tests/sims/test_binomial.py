"""Counts and flips are multinomial and binomial: chi-square tests of the tables and of the kernels' draws."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.binomial import alias_table, halves, noise_tables
from flatmin.sims.random import block_words
from flatmin.sims.replay import Stream, batches
from flatmin.theory import Algorithm, Model
from flatmin.theory.noise import LabelFlip
from scipy.stats import binom, chisquare, multinomial


@pytest.mark.parametrize("trials", [1, 2, 64, 1 << 19])
@pytest.mark.parametrize("p", [0.5, 0.2, 1e-3, 0.43])
def test_a_table_holds_the_whole_law(trials, p):
    """Exactly: the probabilities that columns and thresholds give, against the mass function."""
    first, columns = alias_table(trials, p)
    width = len(columns)
    got = np.zeros(width)
    np.add.at(got, np.arange(width), columns[:, 0] / 2.0**32 / width)
    np.add.at(got, columns[:, 1].astype(int), (1 - columns[:, 0] / 2.0**32) / width)
    # Thresholds of 32 bits, several of which add up in one value, and tails of 1e-12 that are left out.
    np.testing.assert_allclose(got, binom.pmf(first + np.arange(width), trials, p), rtol=0, atol=4e-9)
    assert abs(got.sum() - 1) < 1e-12
    assert binom.cdf(first - 1, trials, p) + binom.sf(first + width - 1, trials, p) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 301])
def test_ranges_are_halved_down_to_samples(n):
    ranges = list(halves(n))
    assert len(ranges) == n - 1
    counts = {0: n}
    for first, middle, last in ranges:
        assert counts.pop(first) == last - first
        counts[first], counts[middle] = middle - first, last - middle
    assert counts == dict.fromkeys(range(n), 1)
    # Two sizes at each depth at most: few tables.
    assert len({(m - a) / (b - a) for a, m, b in ranges}) <= 2 * int(np.ceil(np.log2(max(n, 2))))


def chi_square(samples, pmf, total):
    """p-value of whole numbers against a mass function, with expected counts of at least ten."""
    expected = total * pmf
    edges = np.flatnonzero(expected >= 10)
    low, high = edges[0], edges[-1]
    observed = np.bincount(np.clip(samples, low, high) - low, minlength=high - low + 1)
    wanted = expected[low : high + 1].copy()
    wanted[0] += expected[:low].sum()
    wanted[-1] += expected[high + 1 :].sum()
    return chisquare(observed, wanted * total / wanted.sum()).pvalue


@pytest.mark.parametrize(("trials", "p"), [(1, 0.2), (13, 0.2), (1000, 0.37), (77_777, 0.01)])
def test_binomial_draws(trials, p):
    tables, lanes = noise_tables(1, trials, flip=p), 20_000
    drawn = Stream(block_words(7, (), 0, lanes)).binomial(np.full(lanes, float(trials)), tables, 3).astype(int)
    # Below this once in 10^4 sets of numbers; the seed is fixed.
    assert chi_square(drawn, binom.pmf(np.arange(trials + 1), trials, p), lanes) > 1e-4
    # The test can fail: half a standard deviation of another mean.
    other = min(0.99, p + 0.5 * np.sqrt(p * (1 - p) / trials))
    assert chi_square(drawn, binom.pmf(np.arange(trials + 1), trials, other), lanes) < 1e-4


def problem(n):
    import sympy as sp

    u, x = sp.symbols("u x", real=True)
    labels = np.where(np.arange(n) % 2, 1.0, -1.0)
    return Model((u,), u * x, inputs=(x,), x=np.ones((n, 1)), y=labels, loss="logistic")


@pytest.mark.parametrize(("n", "batch"), [(3, 4), (5, 100)])
def test_counts_are_multinomial_and_flips_binomial(n, batch):
    lanes, algorithm = 20_000, Algorithm(0.1, batch, LabelFlip(0.3))
    ((count, flips, _),) = batches(block_words(5, (), 0, lanes), problem(n), algorithm, 1, 1)
    assert np.all(count.sum(axis=0) == batch)
    for row in count.astype(int):
        assert chi_square(row, binom.pmf(np.arange(batch + 1), batch, 1 / n), lanes) > 1e-4
    both = count[0] + count[-1]
    assert chi_square(both.astype(int), binom.pmf(np.arange(batch + 1), batch, 2 / n), lanes) > 1e-4
    assert chi_square(flips.sum(axis=0).astype(int), binom.pmf(np.arange(batch + 1), batch, 0.3), lanes) > 1e-4
    if batch == 4:
        cells, seen = np.unique(count.T, axis=0, return_counts=True)
        assert len(cells) == 15
        assert chisquare(seen, lanes * multinomial.pmf(cells, 4, [1 / 3] * 3)).pvalue > 1e-4


def test_without_replacement_no_sample_comes_twice():
    algorithm = Algorithm(0.1, 3, LabelFlip(0.3), "without-replacement")
    for count, flips, _ in batches(block_words(5, (), 0, 64), problem(5), algorithm, 2, 20):
        assert np.all(count.sum(axis=0) == 3)
        assert set(np.unique(count)) == {0.0, 1.0}
        assert np.all(flips <= count)
