"""Starts near a border between basins, near zero, and runs that no budget allows: no verdict, and never a wrong one."""

from __future__ import annotations

import time

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import ladder, sampler, verify
from flatmin.sims.extrapolate import Rung, extrapolate
from flatmin.sims.measure_hitting import HittingMeasurement
from flatmin.sims.measurement import TooManySteps, whole_steps
from flatmin.sims.parting import parted
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.problem import Problem
from flatmin.theory.timescales import timescales
from scipy import stats

U, V, X, Y, Z = sp.symbols("u v x y z", real=True)
ELLIPSE = Model((U, V), U**2 + 4 * V**2, y=[1.0])
SLOW = Algorithm(0.1, 1, LabelNoise(0.1))
LADDER = np.geomspace(0.1, 1.0, 4)


def two_wells(at):
    """Gamma is the line y = z = 0; R has minima near x = at - 1 and at + 1, and a maximum between."""
    x = X - at
    return Model((X, Y, Z), [s * (2 + (x**2 - 1) ** 2 + c * x) / 2 for s, c in ((Y, 0.3), (Z, -0.3))], y=[0.0, 0.0])


def rows(spread, number):
    """Rows of three components along one direction, with this spread at each strength."""
    return [np.outer(s * (number - number.mean()) / number.std(), [0.6, 0.0, 0.8]) for s in spread]


NORMAL = np.random.default_rng(1).standard_normal(4000)


def three_points(part, size):
    """As many numbers, of which this part is -1 or 1 and the others 0: the coefficient of Sarle is that part."""
    count = round(part * size / 2)
    return np.repeat([-1.0, 0.0, 1.0], [count, size - 2 * count, count])


def normal(size):
    """Quantiles of the normal distribution."""
    return stats.norm.ppf((np.arange(size) + 0.5) / size)


def test_a_spread_that_stays_is_seen():
    assert parted(LADDER, rows(0.2 * np.sqrt(LADDER), NORMAL)) == 0  # of replicas around one path
    assert parted(LADDER, rows(0.2 * LADDER**0.25, NORMAL)) == 0  # where the slow flow is singular
    assert parted(LADDER, rows(0.2 * LADDER, NORMAL)) == 0  # with a control
    assert parted(LADDER, rows(np.full(4, 0.2), NORMAL)) == pytest.approx(0.6)
    assert parted(LADDER, rows(0.2 * LADDER**-0.2, NORMAL)) == pytest.approx(0.6 * 10**0.2)
    assert parted(LADDER, rows(np.zeros(4), NORMAL)) == 0
    assert parted(LADDER, rows(np.array([0.1, 0.2, np.nan, 0.3]), NORMAL)) == np.inf


def test_replicas_that_are_all_alike_at_one_strength_hide_nothing():
    tables = rows(0.2 * np.sqrt(LADDER), three_points(0.9, 4000))
    for at in range(4):
        some = [table * (j != at) for j, table in enumerate(tables)]
        assert parted(LADDER, some) == pytest.approx(0.6 if at < 3 else 0.6 * np.sqrt(LADDER[2]))
    alone = rows(0.2 * np.sqrt(LADDER), normal(4000))
    assert parted(LADDER, [0 * alone[0], *alone[1:]]) == 0


def test_as_many_directions_as_there_are_replicas_for():
    """With 64 the second direction, where crossings are, is looked at."""
    generator, tables = np.random.default_rng(6), []
    for strength in LADDER:
        other = three_points(0.95, 64) * 0.3 * np.sqrt(strength)
        tables.append(np.stack([np.sqrt(strength) * generator.permutation(normal(64)), other, 0 * other], axis=1))
    assert parted(LADDER, tables) == pytest.approx(0.9 * np.sqrt(0.95), rel=0.05)


@pytest.mark.parametrize(
    ("exponent", "size", "seen"), [(0.35, 4000, True), (0.45, 4000, False), (0.35, 128, False), (0.2, 128, True)]
)
def test_a_variance_that_falls_too_little(exponent, size, seen):
    """Below 0.4 by more than two standard errors, 0.013 each with 4000 replicas and 0.07 with 128."""
    assert (parted(LADDER, rows(0.2 * LADDER ** (exponent / 2), normal(size))) > 0) == seen


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    ("coefficient", "size", "seen"), [(0.75, 4000, True), (0.68, 4000, False), (0.75, 128, False), (0.86, 128, True)]
)
def test_two_sides_at_one_strength(at, coefficient, size, seen):
    """Above 0.7 + 1.1/sqrt(N): 0.717 and 0.797."""
    spread = 0.2 * np.sqrt(LADDER)
    tables = rows(spread, normal(size))
    tables[at] = rows(spread, three_points(coefficient, size))[at]
    assert parted(LADDER, tables) == (pytest.approx(0.6) if seen else 0)


def test_directions_are_taken_together():
    size = 4096
    generator, numbers = np.random.default_rng(1), three_points(0.9, size)
    tables = [np.stack([s * generator.permutation(numbers) for s in (0.3, 0.4)], axis=1) for _ in LADDER]
    tables = [table - table.mean(axis=0) for table in tables]
    # Each has the variance 0.9 of its square.
    assert parted(LADDER, tables) == pytest.approx(3 * 0.5 * np.sqrt(0.9), rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_crossings_at_large_strengths_along_no_axis_of_the_spread(seed):
    """A polynomial fits the means, and its limit is off; at the other strengths the axes are those of one path."""
    generator, data, tables = np.random.default_rng(seed), [], []
    for strength in LADDER:
        table = generator.standard_normal((4000, 2)) * [1.2, 0.1] * np.sqrt(strength)
        table += np.outer(generator.random(4000) < stats.norm.sf(0.8 / np.sqrt(strength)), np.sqrt([8.0, 8.0]))
        data.append(Rung(float(strength), table.mean(axis=0), np.cov(table.T) / 4000, 4000))
        tables.append(table - table.mean(axis=0))
    found = extrapolate(data, 2)
    wrong = float(np.linalg.norm(found.value))
    assert wrong > found.truncation + 4 * np.sqrt(np.trace(found.covariance))
    assert found.fit_probability > 1e-4
    assert wrong < parted(LADDER, tables)


def test_crossings_along_what_spreads_least_elsewhere():
    """So few replicas have four directions, and that of the crossings is not one of them but where they are."""
    generator = np.random.default_rng(4)
    tables = [generator.standard_normal((128, 8)) * np.geomspace(1, 0.01, 8) * np.sqrt(s) for s in LADDER]
    tables[-1][:, -1] += 3 * (generator.random(128) < 0.2)
    assert parted(LADDER, [table - table.mean(axis=0) for table in tables]) > 3


def test_many_directions_of_few_replicas_are_no_news():
    """Some spread less at one strength than at the others, by chance."""
    generator = np.random.default_rng(2)
    for _ in range(20):
        tables = [generator.standard_normal((128, 64)) * np.geomspace(1, 0.1, 64) * np.sqrt(s) for s in LADDER]
        assert parted(LADDER, [table - table.mean(axis=0) for table in tables]) == 0


@pytest.mark.parametrize("size", [128, 4000])
@pytest.mark.parametrize("law", [lambda g, n: g.standard_normal(n) ** 2, lambda g, n: g.exponential(size=n)])
def test_no_shape_with_one_side_is_taken_for_two(law, size):
    """Squares are the most like two sides that a control leaves; of 128 a twentieth may be taken for it."""
    generator, taken = np.random.default_rng(5), 0
    for _ in range(100):
        tables = [rows([s], law(generator, size))[0] for s in 0.2 * np.sqrt(LADDER)]
        taken += parted(LADDER, tables) > 0
    assert taken <= 12  # three standard errors more


@pytest.mark.parametrize("part", [0.002, 0.03, 0.3, 0.5])
def test_two_sides_are_seen_whatever_their_parts(part):
    """Though the spread falls: ever fewer replicas cross a border, and the mean is no series yet."""
    crossed = np.where(np.arange(4000) < part * 4000, 1.0, 0.0)
    assert parted(LADDER, rows(0.2 * np.sqrt(LADDER), crossed + 0.01 * NORMAL)) == pytest.approx(0.6)


@pytest.mark.parametrize("two_sides", [True, False])
def test_what_parts_is_seen_beside_a_wide_spread_in_another_direction(two_sides):
    """The first principal direction, and the whole variance, are those of one path."""
    generator = np.random.default_rng(7)
    turned, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    tables = []
    for s in np.sqrt(LADDER):
        wide, narrow = generator.standard_normal((2, 4000))
        other = s * (generator.random(4000) < 0.1) + 0.01 * s * narrow if two_sides else narrow
        rows = np.stack([5 * s * wide, 0.5 * (other - other.mean()), np.zeros(4000)], axis=1)
        tables.append((rows - rows.mean(axis=0)) @ turned)
    # Of the other direction alone.
    assert parted(LADDER, tables) == pytest.approx(3 * 0.5 * (0.3 if two_sides else 1), rel=0.05)


def test_what_crosses_a_border_is_no_series():
    """Probabilities to be on the wrong side of a border at 0.95 spreads: a polynomial fits, and ends elsewhere."""
    generator, data, tables = np.random.default_rng(3), [], []
    for strength in LADDER:
        table = np.where(generator.standard_normal((3000, 1)) * np.sqrt(strength) > 0.95, -1.0, 1.0)
        table += 0.01 * np.sqrt(strength) * generator.standard_normal((3000, 1))
        data.append(Rung(float(strength), table.mean(axis=0), np.cov(table.T).reshape(1, 1) / 3000, 3000))
        tables.append(table - table.mean(axis=0))
    found = extrapolate(data, 2)
    wrong = abs(float(found.value[0]) - 1.0)
    assert wrong > 2 * found.truncation
    assert found.fit_probability > 1e-4
    assert wrong < parted(LADDER, tables)


@pytest.mark.parametrize("seen", [True, False])
def test_near_a_border_between_basins_no_end_is_refuted(seen, monkeypatch):
    """Far less than the ensemble's spread away from it: half of the replicas go to the other end."""
    monkeypatch.setattr(ladder.Ladder, "attempts", 1)  # with lower strengths it would be decided in time
    if not seen:
        monkeypatch.setattr(ladder, "parted", lambda strengths, tables: 0.0)
    case = (two_wells(3.0), Algorithm(0.2, 1, LabelNoise(0.1)))
    (verdict,) = verify(
        *case, start=[3 + 1e-5, 0.0, 0.0], claims=[Claim("fixed-point")], margin=0.2, budget=600.0, seed=1
    )
    assert verdict.verdict == ("inconclusive" if seen else "refuted")
    assert ("replicas part" in verdict.reason) == seen


@pytest.mark.parametrize(("off", "seed"), [(0.011, 1), (0.0112, 5)])
def test_few_that_cross_at_large_strengths_alone_refute_nothing(off, seed):
    """None of the 128 replicas at the smallest strength crosses: their spread says nothing of those that do."""
    case = (two_wells(3.0), Algorithm(0.2, 1, LabelNoise(0.1)))
    claims = [Claim("fixed-point")]
    (verdict,) = verify(
        *case, start=[3 + off, 0.0, 0.0], claims=claims, margin=0.02, budget=600.0, seed=seed, threads=1
    )
    assert verdict.verdict == "supported"


@pytest.mark.parametrize("x", [0.0, 1e-9])
def test_a_start_near_zero_is_as_good_as_any(x):
    """The size of theta is no scale there: that of slopes which change little is, and the same one elsewhere."""
    claims, algorithm = [Claim("escape"), Claim("trajectory")], Algorithm(0.2, 1, LabelNoise(0.1))
    for at in (0.0, 3.0):
        verdicts = verify(
            two_wells(at), algorithm, start=[at + x, 0.0, 0.0], claims=claims, margin=0.1, budget=600.0, seed=2
        )
        assert [v.verdict for v in verdicts] == ["supported", "supported"]


@pytest.mark.parametrize("at", [0.0, 1e-3, 3.0])
def test_a_ball_is_wide_beside_a_replica_wherever_zero_is(at):
    """The strengths of a hitting time do not depend on where the origin of theta is."""
    model, algorithm = two_wells(at), Algorithm(0.2, 1, LabelNoise(0.1))
    start, end = np.array([at + 0.5, 0.0, 0.0]), np.array([at + 0.8, 0.0, 0.0])
    scales = timescales(model, algorithm, np.array([start, end]))
    given = {"settings": {"gamma": 1e-4}, "given": {"target": end}}
    problem = Problem("hitting-time", start, np.eye(3)[:, :1], scales, horizon=1.0, **given)
    s = [np.trace(Derived(model, algorithm).covariance(LocalGeometry.at(model, p))) for p in (start, end)]
    near = (0.3 * 1e-4) ** 2 / (max(s) / algorithm.strength(model))
    assert HittingMeasurement(problem, 0.2).largest_strength() == pytest.approx(near, rel=1e-9)


def test_a_run_of_too_many_steps_is_told_of():
    near = Claim("hitting-time", settings={"gamma": 1e-9})
    (verdict,) = verify(Model((U, V), U * V, y=[1.0]), SLOW, start=[2.0, 0.5], claims=[near])
    assert (verdict.verdict, verdict.replica_steps) == ("inconclusive", 0)
    assert "no budget is long enough" in verdict.reason
    assert whole_steps(np.array([1.4, 1e14])).tolist() == [1, 10**14]
    for steps in (1e16, np.inf, np.nan):
        with pytest.raises(TooManySteps):
            whole_steps(np.array([1.0, steps]))


def test_a_control_that_is_not_believed_ends_no_study(monkeypatch):
    """As it happens near the second-moment limit, where a few replicas carry its mean."""
    monkeypatch.setattr(sampler, "_MISMATCH", 1e-9)
    claims = [Claim("drift"), Claim("reaches", settings={"gamma": 0.2})]
    one, other = verify(Model((U, V), U * V, y=[1.0]), SLOW, start=[2.0, 0.5], claims=claims, budget=600.0)
    assert (one.verdict, other.verdict) == ("inconclusive", "supported")
    assert "standard errors from its exact value" in one.reason


def test_basins_keep_to_the_budget():
    """So near to the point that the noise must be tiny: the pilot run alone would take hours."""
    slow = Algorithm(1e-5, 1, LabelNoise(0.1))
    begun = time.perf_counter()
    (verdict,) = verify(
        ELLIPSE, slow, start=[0.3, 0.48], claims=[Claim("reaches", settings={"gamma": 0.2})], budget=1.0
    )
    assert verdict.verdict == "inconclusive"
    assert "budget" in verdict.reason
    assert time.perf_counter() - begun < 60  # compiling, and not one run
