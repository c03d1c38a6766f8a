"""The two-layer network: gradients by finite differences, H and R by dense matrices, zero loss, wrong input."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.theory import InvalidInput, NotApplicable
from flatmin.theory.errors import NoInterpolation
from flatmin.theory.network import NetworkProblem, accuracy, smooth_relu
from flatmin.theory.network_geometry import NetworkGeometry, to_optimum

RNG = np.random.default_rng(0)
PROBLEM = NetworkProblem(RNG.normal(size=(5, 3)), [0, 1, 2, 2, 1], hidden=6, flip=0.2)
THETA = RNG.normal(size=PROBLEM.d)


def central(function, theta, h=1e-5):
    return np.array([(function(theta + h * e) - function(theta - h * e)) / (2 * h) for e in np.eye(len(theta))])


def outputs(theta, x):
    """The network written out for one sample."""
    first, second = theta[:24].reshape(4, 6), theta[24:].reshape(7, 3)
    hidden = [(t + np.sqrt(t * t + 1)) / 2 for t in x @ first[:3] + first[3]]
    return np.array(hidden) @ second[:6] + second[6]


def test_loss_is_the_mean_over_labels_written_out():
    total = 0.0
    for x, y in zip(PROBLEM.x[:, :3], PROBLEM.y, strict=True):
        z = outputs(THETA, x)
        minus_log = np.log(np.exp(z).sum()) - z
        law = np.where(np.arange(3) == y, 0.8, 0.1)
        total += law @ (minus_log + np.log(law))
    assert PROBLEM.loss(THETA) == pytest.approx(total / 5, rel=1e-12)


def test_slopes_of_the_smooth_relu():
    t = np.linspace(-5, 5, 21)
    _, slope, bend = smooth_relu(t)
    # Central differences of step 1e-4 are right to 1e-8; their rounding is below 1e-11.
    assert slope == pytest.approx((smooth_relu(t + 1e-4)[0] - smooth_relu(t - 1e-4)[0]) / 2e-4, abs=1e-8)
    assert bend == pytest.approx((smooth_relu(t + 1e-4)[1] - smooth_relu(t - 1e-4)[1]) / 2e-4, abs=1e-8)


def test_gradient_against_finite_differences():
    # Third derivatives of order 1 and a step of 1e-5: truncation of 1e-10, rounding of 1e-11.
    assert PROBLEM.gradient(THETA) == pytest.approx(central(PROBLEM.loss, THETA), abs=1e-8)


def test_gauss_newton_matrix_is_the_hessian_at_the_optimum_and_only_there():
    theta = to_optimum(PROBLEM, THETA, tolerance=1e-14)
    matrix = np.array([NetworkGeometry(PROBLEM, theta).gauss_newton(e) for e in np.eye(PROBLEM.d)])
    hessian = central(PROBLEM.gradient, theta)
    # The residuals that are left, below 1e-6, times second derivatives of order 10.
    assert matrix == pytest.approx(hessian, abs=1e-5)
    elsewhere = np.array([NetworkGeometry(PROBLEM, THETA).gauss_newton(e) for e in np.eye(PROBLEM.d)])
    assert np.abs(elsewhere - central(PROBLEM.gradient, THETA)).max() > 1e-2


def test_the_covariance_of_the_slopes_over_flips_is_the_hessian():
    theta = to_optimum(PROBLEM, THETA, tolerance=1e-14)
    total = np.zeros((PROBLEM.d, PROBLEM.d))
    for i in range(PROBLEM.n):
        for label in range(PROBLEM.classes):
            sample = np.zeros((PROBLEM.n, PROBLEM.classes))
            law = PROBLEM.laws[PROBLEM.y[i]]
            sample[i] = law - np.eye(3)[label]
            slope = PROBLEM.backward(theta, *PROBLEM.layers(theta)[:2], sample)
            total += law[label] * np.outer(slope, slope) / PROBLEM.n
    matrix = np.array([NetworkGeometry(PROBLEM, theta).gauss_newton(e) for e in np.eye(PROBLEM.d)])
    assert total == pytest.approx(matrix, abs=1e-9)


def test_gram_trace_top_eigenvalue_and_regularizer_against_dense_eigenvalues():
    geometry = NetworkGeometry(PROBLEM, THETA)
    values = np.linalg.eigvalsh(np.array([geometry.gauss_newton(e) for e in np.eye(PROBLEM.d)]))
    assert np.linalg.eigvalsh(geometry.gram) == pytest.approx(values[-10:], abs=1e-12)
    assert geometry.gram @ np.arange(10.0) == pytest.approx(geometry.gram_product(np.arange(10.0)), abs=1e-11)
    assert geometry.trace == pytest.approx(values.sum(), rel=1e-12)
    assert geometry.largest == pytest.approx(values[-1], rel=1e-4)
    for share in (0.01, 1.0, 1.99):
        step = share / values[-1]
        expected = -np.sum(np.log(1 - step / 2 * values)) / (2 * step)
        assert geometry.regularizer(step) == pytest.approx(expected, rel=1e-10)
    assert geometry.regularizer(0.0) == pytest.approx(values.sum() / 4, rel=1e-12)


def test_no_regularizer_beyond_the_learning_rate():
    geometry = NetworkGeometry(PROBLEM, THETA)
    assert np.isfinite(geometry.regularizer(1.999 / geometry.largest))
    for function in (geometry.regularizer, geometry.regularizer_gradient):
        with pytest.raises(NotApplicable, match="must be below 2/h_max"):
            function(2.001 / geometry.largest)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.9])
def test_gradient_of_the_regularizer_against_finite_differences(share):
    step = share / NetworkGeometry(PROBLEM, THETA).largest
    numeric = central(lambda theta: NetworkGeometry(PROBLEM, theta).regularizer(step), THETA)
    # Near the pole at step h = 2 third derivatives grow as its inverse cube: 1e-8 of the largest entry at share 1.9.
    assert NetworkGeometry(PROBLEM, THETA).regularizer_gradient(step) == pytest.approx(numeric, abs=1e-6)


def test_labels_that_no_network_fits():
    with pytest.raises(NoInterpolation, match="cannot fit these labels"):
        to_optimum(NetworkProblem([[1.0, 2.0], [1.0, 2.0]], [0, 1], 4, 0.2), RNG.normal(size=22))


def test_accuracy_counts():
    weights = PROBLEM.split(THETA)
    x = RNG.normal(size=(40, 3))
    right = [int(np.argmax(outputs(THETA, row))) for row in x]
    assert accuracy(*weights, x, np.array(right)) == 1.0
    assert accuracy(*weights, x, (np.array(right) + (np.arange(40) < 10)) % 3) == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1]}, "one for each"),
        ({"y": [0, 1, 2.5]}, "whole numbers"),
        ({"y": [0, -1, 1]}, "whole numbers"),
        ({"y": [0, 0, 0]}, "whole numbers from 0 to 1"),
        ({"classes": 2}, "whole numbers from 0 to 1"),
        ({"x": [[1.0], [np.nan], [2.0]]}, "must be finite"),
        ({"flip": 0.7}, "below 1 - 1/K"),
        ({"flip": 0.0}, "above 0"),
        ({"hidden": 0}, "at least 1"),
    ],
)
def test_wrong_input_is_named(change, message):
    values = {"x": [[1.0], [3.0], [2.0]], "y": [0, 1, 2], "hidden": 2, "flip": 0.2} | change
    with pytest.raises(InvalidInput, match=message):
        NetworkProblem(**values)
