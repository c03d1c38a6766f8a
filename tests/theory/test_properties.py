"""Every built-in rule on random models: two routes to each quantity, limits, rest at minima of R."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import LabelFlip, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.effective import effective
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.regularizers import known_regularizer
from flatmin.theory.rules import SGD, HeavyBall, Nesterov, SharpnessAware
from flatmin.theory.slow import Paper, SmallLearningRate
from flatmin.theory.testing import BUILT_IN_RULES, Case, algorithms, cases
from hypothesis import assume, given
from hypothesis import strategies as st
from routes import (
    disagreements,
    few,
    from_the_update_map,
    quantities,
    regularizer_disagreement,
    sharpness_aware_by_hand,
    slopes_of_the_regularizer,
)
from scipy.optimize import brentq

# Relative: rounding, 1e-16, times condition numbers of the draws (100) and 1/(1 - radius), 1e3 at the edge, is 1e-11.
AGREE = 1e-8
INVARIANCES = str(Path(__file__).with_name("test_invariances.py"))
LINEAR = tuple(rule for rule in BUILT_IN_RULES if rule is not SharpnessAware)


def by_name(parameters):
    return pytest.mark.parametrize("rule", parameters, ids=lambda r: r.__name__)


@by_name(LINEAR)
@pytest.mark.parametrize("regime", ["inside", "edge"])
def test_closed_form_and_averaging_agree(rule, regime):
    @few(5 if regime == "inside" else 3)
    @given(cases(rules=[rule], regime=regime))
    def agree(case):
        assert max(disagreements(Derived, case).values()) <= AGREE

    agree()


@pytest.mark.parametrize("regime", ["inside", "edge"])
def test_sharpness_aware_minimization_by_hand_and_averaging_agree(regime):
    @few(5 if regime == "inside" else 3)
    @given(cases(rules=[SharpnessAware], kinds=["label", "gradient"], regime=regime))
    def agree(case):
        averaged = from_the_update_map(case)
        hand = sharpness_aware_by_hand(case)
        for quantity in ("covariance", "drift"):
            ours, theirs = getattr(averaged, quantity), hand[quantity]
            assert np.linalg.norm(ours - theirs) <= AGREE * hand[f"{quantity} scale"]
        assert abs(averaged.radius - hand["radius"]) <= AGREE

    agree()


@few(5)
@given(cases(kinds=["label", "flip"], rules=[SGD, HeavyBall], batches=["full"], equal=True))
def test_the_closed_form_of_the_paper_is_that_of_the_full_batch(case):
    assert max(disagreements(Paper, case).values()) <= AGREE


@by_name(BUILT_IN_RULES)
def test_drift_of_the_update_map_is_the_gradient_of_the_regularizer(rule):
    """Of the closed form of R of each rule, in the metric of the rule, by differences along Gamma."""

    @few(3)
    @given(cases(kinds=["label"], rules=[rule], batches=["full"], equal=True))
    def agree(case):
        known = known_regularizer(case.model, case.algorithm, case.local)
        # Differences of fourth order leave 1e-12 times fifth derivatives, up to 1e5 near the limit.
        assert regularizer_disagreement(case, known) <= 1e-6

    agree()


def converges(values, limit, order):
    """Whether the error falls as 10^-order when the small number is divided by ten, of all that is not rounding."""
    far, near = (np.linalg.norm(v - limit) for v in values)
    return near <= 1e-9 * np.linalg.norm(limit) or 0.8 * 10**order < far / near < 1.25 * 10**order


@few(6)
@given(cases(rules=[HeavyBall, Nesterov], condition=10.0))
def test_without_momentum_it_is_plain_sgd(case):
    def small(beta):
        return replace(case.algorithm, lr=0.2 * case.algorithm.lr, rule=type(case.algorithm.rule)(beta))

    plain = quantities(case, replace(small(0.0), rule=SGD()))
    np.testing.assert_allclose(quantities(case, small(0.0)), plain, rtol=0, atol=AGREE * np.abs(plain).max())
    assert converges([quantities(case, small(beta)) for beta in (1e-4, 1e-5)], plain, 1)


@few(8)
@given(cases(kinds=["label", "gradient"], batches=["full"]))
def test_all_samples_without_replacement_are_the_full_batch(case):
    drawn = replace(case.algorithm, batch_size=case.model.n, sampling="without-replacement")
    full = quantities(case)
    np.testing.assert_allclose(quantities(case, drawn), full, rtol=0, atol=1e-12 * np.abs(full).max())
    if case.model.n > 1 and case.algorithm.noise.kind == "label":
        other = replace(drawn, sampling="with-replacement")
        if Derived(case.model, other).second_moment_radius(case.local) < 1:
            assert np.linalg.norm(quantities(case, other) - full) > 1e-6 * np.linalg.norm(full)


@few(6)
@given(cases(kinds=["label", "flip"], rules=[SGD, HeavyBall, Nesterov], condition=10.0, equal=True))
def test_small_learning_rates_have_the_small_lr_theory(case):
    """lambda/2 on range(H) and tr H/4: the error falls as eta, over B too, for any batch."""
    errors = []
    for fraction in (1e-4, 1e-5):
        algorithm = replace(case.algorithm, lr=fraction * case.algorithm.lr)
        model, square = effective(case.model, algorithm)
        limit, theory = SmallLearningRate(model, square), Derived(model, square)
        s = limit.covariance(case.local)
        scale = np.linalg.norm(s), np.linalg.norm(case.local.third(s)) * limit.rate
        errors.append(
            np.linalg.norm(theory.covariance(case.local) - s) / scale[0]
            + np.linalg.norm(theory.drift(case.local) - limit.drift(case.local)) / max(scale[1], 1e-300)
        )
    assert 8 < errors[0] / errors[1] < 12.5


@few(5)
@given(cases(kinds=["flip"]))
def test_flips_of_a_half_are_label_noise(case):
    """As p -> 1/2 the labels hold nothing: noise of one unit around f = 0 on a square loss of curvature l''(0)."""
    model, theta = case.model, case.theta
    curvature = {"logistic": 0.25, "exponential": 1.0}[model.loss_name]
    values = model.samples.value(theta)
    f = [np.sqrt(curvature) * (e - sp.Float(v, 17)) for e, v in zip(model.prediction, values, strict=True)]
    limit = Model(model.parameters, f, y=np.zeros(model.n))
    noise = LabelNoise({"logistic": 0.5, "exponential": 1.0}[model.loss_name] / np.sqrt(curvature))
    rows = []
    for distance in (1e-2, 1e-3):
        # Curvatures at p = 1/2 are up to six times those at the p of the draw.
        lr = 0.15 * case.algorithm.lr
        algorithm = replace(case.algorithm, lr=lr, noise=LabelFlip(0.5 - distance), batch_size="full")
        square, equivalent = effective(model, algorithm)
        local = LocalGeometry.at(square, theta)
        theory = Derived(square, equivalent)
        rows.append(np.vstack([theory.covariance(local), theory.drift(local)]))
    there = quantities(Case(limit, replace(algorithm, noise=noise), theta))
    # p (1 - p) is 1/4 - (p - 1/2)^2.
    assert converges(rows, there, 2)


def fork(u, c, y, q):
    """f = (c_1 u v, c_2 u w^q): the zero-loss point with this u."""
    return np.array([u, y[0] / (c[0] * u), (y[1] / (c[1] * u)) ** (1 / q)])


@by_name(BUILT_IN_RULES)
def test_the_drift_vanishes_where_the_regularizer_is_stationary(rule):
    """The place is found from R alone; beside it there is a drift."""

    @few(2)
    @given(st.data())
    def rest(data):
        c, y = (data.draw(st.lists(st.sampled_from((0.6, 0.9, 1.3)), min_size=2, max_size=2)) for _ in range(2))
        q = data.draw(st.sampled_from((1, 2)))
        u, v, w = sp.symbols("u v w", real=True)
        model = Model((u, v, w), [c[0] * u * v, c[1] * u * w**q], y=y)
        start = fork(1.0, c, y, q)
        drawn = data.draw(algorithms(model, start, rules=[rule], noise=LabelNoise(0.1), batches=["full"]))

        def slope(s):
            case = Case(model, drawn, fork(np.exp(s), c, y, q))
            known = known_regularizer(model, drawn, case.local)
            return slopes_of_the_regularizer(case, known)[0] * np.sign(case.local.tangent[0, 0])

        down = -np.sign(slope(0.0))
        end = next((s for s in down * np.arange(0.1, 2.0, 0.1) if slope(s) * down > 0), None)
        assume(end is not None)
        at = brentq(slope, end - 0.1 * down, end, xtol=1e-10)
        sizes = []
        for s in (at, at + 0.2):
            averaged = from_the_update_map(Case(model, drawn, fork(np.exp(s), c, y, q)))
            sizes.append(np.linalg.norm(averaged.drift) / np.linalg.norm(averaged.covariance) / drawn.lr)
        # slopes are good to some 1e-9, and so is the place.
        assert sizes[0] < 1e-6 < 1e-3 < sizes[1]

    rest()


@pytest.mark.slow
def test_more_examples():
    """All of this and of the invariances with fifteen times as many examples."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__, INVARIANCES]
    done = subprocess.run(command, env={**os.environ, "FLATMIN_EXAMPLES": "15"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
