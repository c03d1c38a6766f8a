"""Runs of a two-layer network: the kernel by a second route, draws, starts, the descent, R by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.experiments.network import (
    Training,
    adversarial_start,
    descend,
    full_batch_start,
    measure,
    train,
)
from flatmin.sims.experiments.network_data import Split
from flatmin.sims.experiments.network_kernel import compiled, steps
from flatmin.sims.quadrature import stochastic_regularizer
from flatmin.theory.network import NetworkProblem
from flatmin.theory.network_geometry import NetworkGeometry, to_optimum

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(12, 4)), RNG.integers(3, size=12)
PROBLEM = NetworkProblem(X, Y, hidden=16, flip=0.2, classes=3)
SPLIT = Split(X, Y, RNG.normal(size=(30, 4)), RNG.integers(3, size=30))
THETA = 0.5 * RNG.normal(size=PROBLEM.d)


def moved(kernel, precision, labels, targets, lr=0.1, momentum=0.0, force=None, chosen=None):
    def arrays(theta):
        return [np.array(part, dtype=precision, order="C") for part in PROBLEM.split(theta)]

    chosen = np.arange(12)[None] if chosen is None else chosen
    weights, nothing = arrays(THETA), np.zeros(PROBLEM.d)
    force = arrays(nothing if force is None else force)
    x = PROBLEM.x.astype(precision)
    rates = precision(lr), precision(momentum)
    kernel(x, chosen, labels, targets.astype(precision), *weights, *arrays(nothing), *force, *rates)
    return np.concatenate([w.ravel() for w in weights]).astype(np.float64)


def test_one_step_is_the_gradient_of_theory():
    force = RNG.normal(size=PROBLEM.d)
    after = moved(compiled(), np.float32, PROBLEM.y[None], PROBLEM.laws, force=force)
    # Rounding of numbers of order 1: a few times 6e-8.
    assert after == pytest.approx(THETA - 0.1 * (PROBLEM.gradient(THETA) + force), abs=1e-6)


def test_momentum_and_labels_against_steps_written_out():
    chosen, labels = RNG.integers(12, size=(5, 4)), RNG.integers(3, size=(5, 4))
    after = moved(compiled(), np.float32, labels, np.eye(3), momentum=0.9, chosen=chosen)
    theta, push = THETA, np.zeros(PROBLEM.d)
    for batch, drawn in zip(chosen, labels, strict=True):
        small = NetworkProblem(X[batch], PROBLEM.y[batch], 16, 0.2, 3)
        activations, slope, outputs = small.layers(theta)
        softmax = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        gradient = small.backward(theta, activations, slope, (softmax - np.eye(3)[drawn]) / 4)
        push = 0.9 * push - 0.1 * gradient
        theta = theta + push
    assert after == pytest.approx(theta, abs=2e-6)


CHOSEN, LABELS = RNG.integers(12, size=(3, 4)), RNG.integers(3, size=(3, 4))


def test_machine_code_and_python_agree():
    single = moved(compiled(), np.float32, LABELS, np.eye(3), chosen=CHOSEN)
    # Rounding of numbers of order 1 in three steps.
    assert single == pytest.approx(moved(steps, np.float32, LABELS, np.eye(3), chosen=CHOSEN), abs=2e-6)


@pytest.mark.slow
def test_both_precisions_agree():
    double = moved(compiled(double=True), np.float64, PROBLEM.y[None], PROBLEM.laws)
    assert double == pytest.approx(THETA - 0.1 * PROBLEM.gradient(THETA), abs=1e-13)
    single = moved(compiled(), np.float32, LABELS, np.eye(3), chosen=CHOSEN)
    double = moved(compiled(double=True), np.float64, LABELS, np.eye(3), chosen=CHOSEN)
    assert 0 < np.abs(single - double).max() < 2e-6


def trained(training, stops, seed=0, theta=THETA, **options):
    return list(train(PROBLEM, theta, training, stops, np.random.default_rng(seed), **options))


def test_draws_depend_on_the_seed_alone():
    one, again, other = (trained(Training(0.1, 4), [5, 20], seed) for seed in (0, 0, 1))
    assert [k for k, _ in one] == [5, 20]
    assert all((a[1] == b[1]).all() for a, b in zip(one, again, strict=True))
    assert not np.allclose(one[-1][1], other[-1][1])


def test_without_flips_a_zero_loss_point_stays_and_with_flips_it_does_not():
    theta = to_optimum(PROBLEM, THETA)
    ((_, quiet),) = trained(Training(0.1, 8, flips=False), [500], theta=theta)
    ((_, noisy),) = trained(Training(0.1, 8), [500], theta=theta)
    assert np.abs(quiet - theta).max() < 1e-4
    assert np.abs(noisy - theta).max() > 1e-2


def test_flips_have_the_stated_law():
    # The mean of many single steps from one point: minus lr times the gradient of L, within four standard errors.
    ends = np.array([trained(Training(0.1, 12), [1], seed)[0][1] for seed in range(400)])
    error = ends.std(axis=0, ddof=1) / 20
    off = (ends.mean(axis=0) - (THETA - 0.1 * PROBLEM.gradient(THETA))) / error
    # 4.5 standard errors for the largest of 131 numbers; and the wrong law of p = 0.5 is seen.
    assert np.abs(off).max() < 4.5
    wrong = NetworkProblem(X, Y, 16, 0.5, 3)
    assert np.abs((ends.mean(axis=0) - (THETA - 0.1 * wrong.gradient(THETA))) / error).max() > 8


def test_a_run_stops_when_it_is_told():
    with pytest.raises(KeyboardInterrupt):
        trained(Training(0.1, 4), [5], should_stop=lambda: True)


def test_slow_time_counts_momentum_twice():
    assert Training(0.1, 64).slow_step == pytest.approx(0.01 / 64)
    assert Training(0.01, 64, 0.9).slow_step == pytest.approx(0.01 / 64)
    assert Training(0.01, 64, 0.9).regularizer_step == pytest.approx(0.01 / 1.9)


def test_descent_with_a_regularizer_follows_steps_written_out():
    theta = to_optimum(PROBLEM, THETA)
    lr, strength = 0.05, 0.02
    ((_, after),) = descend(PROBLEM, theta, lr, [40], strength)
    force = strength * NetworkGeometry(PROBLEM, theta).regularizer_gradient(lr)
    for _ in range(40):  # grad R is computed anew after fifty steps
        theta = theta - lr * (PROBLEM.gradient(theta) + force)
    # Single precision over forty steps.
    assert after == pytest.approx(theta, abs=5e-6)


def test_descent_lowers_the_regularizer_and_gradient_descent_does_not():
    theta = to_optimum(PROBLEM, THETA)
    before = NetworkGeometry(PROBLEM, theta).regularizer(0.05)
    ((_, flat),) = descend(PROBLEM, theta, 0.05, [2000], 0.02)
    ((_, limit),) = descend(PROBLEM, theta, 0.05, [2000], 0.02, 0.0)
    ((_, plain),) = descend(PROBLEM, theta, 0.05, [2000])
    # The limit of small learning rates is flatter too, and another point.
    assert NetworkGeometry(PROBLEM, limit).regularizer(0.05) < 0.8 * before
    assert 1e-4 < np.abs(limit - flat).max() < 0.1
    assert NetworkGeometry(PROBLEM, flat).regularizer(0.05) < 0.8 * before
    assert NetworkGeometry(PROBLEM, plain).regularizer(0.05) == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("start", [full_batch_start, adversarial_start])
def test_starts_have_zero_loss(start):
    theta = start(PROBLEM, np.random.default_rng(0))
    assert PROBLEM.loss(theta) < 1e-12
    assert not np.allclose(theta, start(PROBLEM, np.random.default_rng(1)))


def test_a_point_where_no_regularizer_exists_is_not_given_one():
    found = measure(PROBLEM, THETA, SPLIT, 0.05)
    assert found["R"] == pytest.approx(NetworkGeometry(PROBLEM, THETA).regularizer(0.05))
    beyond = measure(PROBLEM, THETA, SPLIT, 2.01 / found["largest"])
    assert beyond["R"] is None
    assert beyond["trace"] == found["trace"]


def test_quadrature_agrees_with_the_gram_matrix_within_its_error():
    geometry = NetworkGeometry(PROBLEM, THETA)
    step = 1.0 / geometry.largest
    exact, off = geometry.regularizer(step), []
    for seed in range(8):
        estimate = stochastic_regularizer(geometry, step, probes=32, seed=seed)
        off.append((estimate.value - exact) / estimate.error)
    # Errors are standard errors and a bracket of rounding: the mean square of 8 is 1 within 4 sqrt(2/8).
    assert 0.1 < np.mean(np.square(off)) < 3
