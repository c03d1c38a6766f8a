"""Flips among K classes: Fisher's identity, the equivalent square loss, and two routes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import flatmin.theory.effective as module
import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelFlip, Model
from flatmin.theory.averaging import UpdateMap, average
from flatmin.theory.cross_entropy import ClassFlipLaw, CrossEntropy
from flatmin.theory.derived import Derived
from flatmin.theory.effective import effective
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point
from flatmin.theory.rules import HeavyBall, Nesterov, SharpnessAware
from flatmin.theory.slow import Paper, SmallLearningRate

W, A, B, C, D, X = sp.symbols("w a b c d x", real=True)
INPUTS = Model(
    (W, A, B, C, D),
    [0, A * sp.tanh(W * X) + B, C * sp.tanh(W * X) + D],
    inputs=(X,),
    x=[[1.0], [-2.0]],
    y=[1, 2],
    loss="cross-entropy",
)
AT_INPUTS = np.array([1.5, 1.0, 0.5, -1.0, 0.7])


def random_case(seed):
    """One sample of K classes, logits random polynomials, in more parameters than it needs."""
    rng = np.random.default_rng(seed)
    k = 2 + seed % 3
    p = sp.symbols(f"p0:{k + 1}", real=True)
    logits = []
    for _ in range(k):
        i, j = rng.choice(k + 1, 2, replace=False)
        a, b = (sp.Rational(int(n), 10) for n in rng.integers(5, 15, 2))
        logits.append(a * p[i] * p[j] + b * sp.tanh(p[int(rng.integers(k + 1))]))
    model = Model(p, [logits], y=[int(rng.integers(k))], loss="cross-entropy")
    flip = float(rng.uniform(0.1, 0.95 * (1 - 1 / k)))
    return model, Algorithm(1.0, "full", LabelFlip(flip)), rng.uniform(0.5, 1.5, k + 1)


def located(model, algorithm, start, part=0.4):
    """Equivalent problem, algorithm at `part` of the largest learning rate, geometry at a zero-loss point."""
    square = effective(model, algorithm)[0]
    theta = nearest_zero_loss_point(square, start)
    local = LocalGeometry.at(square, theta)
    scaled = replace(algorithm, lr=part * 2 / float(local.curvatures[0]))
    return square, scaled, local


@cache
def random_located(seed, rule=None):
    """A random case, and the averaged update map of its K logits."""
    model, algorithm, start = random_case(seed)
    _, algorithm, local = located(model, replace(algorithm, rule=rule), start)
    return model, algorithm, local, average(UpdateMap(model, algorithm), local.theta)


def distances(model, algorithm, local, averaged, square=None, theory=Derived):
    """Relative distances of S and drift of a closed form from those of averaging."""
    own, equivalent = effective(model, algorithm)
    closed = theory(square or own, equivalent)
    s = averaged.covariance
    # The drift is a difference of terms of this size.
    size = closed.rate * float(np.linalg.norm(local.second)) * float(np.linalg.norm(local.jacobian)) * np.linalg.norm(s)
    there = LocalGeometry.at(closed.model, local.theta)
    return (
        float(np.linalg.norm(closed.covariance(there) - s) / np.linalg.norm(s)),
        float(np.linalg.norm(closed.drift(there) - averaged.drift) / size),
    )


class TestLoss:
    @pytest.mark.parametrize("k", [2, 3, 5])
    def test_values_are_those_of_the_definition(self, k):
        rng = np.random.default_rng(k)
        f, y = rng.normal(size=(4, 3 * k)), rng.integers(k, size=3).astype(float)
        loss = CrossEntropy(k)
        rows = f.reshape(4, 3, k)
        own = np.take_along_axis(rows, y.astype(int)[None, :, None] + np.zeros((4, 1, 1), dtype=int), axis=-1)[..., 0]
        np.testing.assert_allclose(loss.values(0, f, y), np.log(np.exp(rows).sum(axis=-1)) - own, rtol=1e-13)
        h = 1e-6
        for c in range(3 * k):
            step = h * np.eye(3 * k)[c]
            change = (loss.values(0, f + step, y) - loss.values(0, f - step, y))[:, c // k] / (2 * h)
            # Central differences: h^2 of the third derivative, and rounding over h.
            np.testing.assert_allclose(loss.values(1, f, y)[:, c], change, atol=1e-8)

    def test_logits_far_apart_stay_finite(self):
        f = np.array([[2000.0, -2000.0, 0.0]])
        assert CrossEntropy(3).values(0, f, np.array([1.0])) == 4000.0
        np.testing.assert_array_equal(CrossEntropy(3).values(1, f, np.array([1.0])), [[1.0, -1.0, 0.0]])

    def test_symbols_are_the_numbers(self):
        """Draws of classes 1, 1 and 2: slopes by the sum over draws."""
        f, y = sp.symbols("f0:3", real=True), sp.Symbol("y")
        slopes = CrossEntropy(3).drawn_slopes(f, y, sp.Integer(3), [sp.Integer(v) for v in (0, 2, 1)])
        at = np.array([0.3, -1.2, 0.8])
        one = sum(CrossEntropy(3).values(1, at[None], np.array([c]))[0] for c in (1.0, 1.0, 2.0))
        found = [float(s.subs(dict(zip(f, at)))) for s in slopes]
        np.testing.assert_allclose(found, one, rtol=1e-13)

    def test_gradient_of_a_model(self):
        theta = np.array([0.7, 1.1, -0.4, 0.6, 0.2])
        h = 1e-6
        change = [(INPUTS.loss(theta + h * e) - INPUTS.loss(theta - h * e)) / (2 * h) for e in np.eye(5)]
        np.testing.assert_allclose(INPUTS.gradient(theta), change, atol=1e-9)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.45])
@pytest.mark.parametrize("k", [2, 3, 6])
class TestLaw:
    def test_covariance_of_the_slope_is_the_hessian(self, k, p):
        """Fisher's identity, from the law of the labels and second derivatives of the logarithm."""
        law, y = ClassFlipLaw(CrossEntropy(k), p), np.array([k - 1.0])
        (q,) = law.targets(y)
        assert q.sum() == pytest.approx(1, abs=1e-15)
        f = np.log(q)
        slopes = np.array([CrossEntropy(k).values(1, f[None], np.array([float(c)]))[0] for c in range(k)])
        np.testing.assert_allclose(q @ slopes, 0, atol=1e-15)
        covariance = (slopes.T * q) @ slopes
        h = 1e-5
        hessian = [
            sum(q[c] * CrossEntropy(k).values(1, (f + s * h * e)[None], np.array([float(c)]))[0] for c in range(k)) * s
            for e in np.eye(k)
            for s in (1, -1)
        ]
        hessian = np.array(hessian).reshape(k, 2, k).sum(axis=1) / (2 * h)
        np.testing.assert_allclose(covariance, hessian, atol=1e-9)
        np.testing.assert_allclose(np.trace(covariance) / k, [law.variance, law.alpha][0], rtol=1e-13)
        weights, target = (a[0] for a in law.whitened(y))
        np.testing.assert_allclose(weights.T @ weights, covariance, atol=1e-15)
        np.testing.assert_allclose(weights @ f, target, atol=1e-14)
        # Residuals of uncorrelated noise of variance 1, which the weights turn into the slopes.
        kicks = law.kicks(y)[0] * (np.arange(k) != k - 1)
        kicks = kicks - (kicks @ q)[:, None]
        np.testing.assert_allclose((kicks * q) @ kicks.T, np.eye(k - 1), atol=1e-13)
        np.testing.assert_allclose(weights.T @ kicks, slopes.T, atol=1e-14)

    def test_noise_of_the_update_map_is_multinomial(self, k, p):
        law = ClassFlipLaw(CrossEntropy(k), p)
        noise = sp.symbols(f"e0:{k}")
        labels = sp.Matrix(law.labels(sp.Integer(7), noise, 0.0))
        (q,) = law.targets(np.zeros(1))
        a = np.array(labels.jacobian(noise)).astype(float)
        expected = 7 * (np.diag(q) - np.outer(q, q))
        np.testing.assert_allclose((a * 7 * law.label_variances(np.zeros(1))) @ a.T, expected, atol=1e-14)
        np.testing.assert_allclose(np.array(labels.subs(dict.fromkeys(noise, 0))).astype(float)[:, 0], 7 * q)


# Rounding times the condition of the solves, below 1e4 here.
AGREE = 1e-8


SLOW = [(0, HeavyBall(0.6)), (3, None), (4, None), (5, None), (2, None), (4, HeavyBall(0.6)), (1, HeavyBall(0.6))]


@pytest.mark.parametrize(
    ("seed", "rule"),
    [(0, None), (1, None), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_two_routes_agree_on_random_models(seed, rule):
    model, algorithm, local, averaged = random_located(seed, rule)
    assert local.rank == model.outputs - 1
    for theory in (Derived, Paper):
        assert max(distances(model, algorithm, local, averaged, theory=theory)) < AGREE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prediction", "x", "rule"),
    [
        ([0, A * W * X + B, C * W * X + D], [[1.0], [-2.0]], Nesterov(0.5)),
        # Its forcing is a sum over the noise of all logits.
        ([0, A * B * X, A * C], [[1.0]], SharpnessAware(0.3)),
    ],
    ids=["samples", "forcing"],
)
def test_two_routes_agree_with_inputs(prediction, x, rule):
    model = Model((W, A, B, C, D), prediction, inputs=(X,), x=x, y=[1, 2][: len(x)], loss="cross-entropy")
    _, algorithm, local = located(model, Algorithm(1.0, 37, LabelFlip(0.3), rule=rule), AT_INPUTS)
    averaged = average(UpdateMap(model, algorithm), local.theta)
    assert max(distances(model, algorithm, local, averaged)) < AGREE


def test_lambda_is_the_rate_over_the_batch():
    algorithm = Algorithm(0.4, 50, LabelFlip(0.3), momentum=0.5)
    assert algorithm.strength(INPUTS) == pytest.approx(0.4 / 50 / 0.5, rel=1e-14)
    square, own = effective(INPUTS, algorithm)
    assert own.strength(square) == pytest.approx(0.4 / 50 / 0.5, rel=1e-14)
    full = effective(INPUTS, replace(algorithm, batch_size="full", repeats=3))[1]
    assert (square.n, full.samples(square), full.batch(square)) == (4, 2, 6)
    assert effective(INPUTS, replace(algorithm, batch_size=7))[0] is square


class _Mutant(ClassFlipLaw):
    """Without the part of the weights that couples the classes."""

    def whitened(self, y):
        weights, _ = super().whitened(y)
        weights = np.sqrt(self.chance) * self._differences(y)
        return weights, np.einsum("ikc,ic->ik", weights, np.log(self.targets(y)))


class _OneChance(ClassFlipLaw):
    """The probability of a flip in the place of that of a flip to a given class."""

    @property
    def chance(self):
        return self.flip


class _OwnWeight(ClassFlipLaw):
    """The curvature q_y (1 - q_y) of two classes for each of the other classes."""

    def whitened(self, y):
        weights = np.sqrt(self.flip * (1 - self.flip) / self.rows) * self._differences(y)
        return weights, np.einsum("ikc,ic->ik", weights, np.log(self.targets(y)))


@pytest.mark.parametrize("mutant", [_Mutant, _OwnWeight])
def test_mutants_of_the_weights_are_caught(mutant):
    """They share zero-loss points and lambda, but not H."""
    model, algorithm, local, averaged = random_located(1)
    flips = algorithm.flips(model)
    square = module._square.__wrapped__(model, mutant(flips.loss, flips.flip))
    assert abs(square.loss(local.theta)) < 1e-20
    s, drift = distances(model, algorithm, local, averaged, square)
    assert s > 1e-3
    assert drift > 1e-4


def test_a_mutant_of_the_target_has_other_zero_loss_points():
    model, algorithm, local, _ = random_located(1)
    flips = algorithm.flips(model)
    square = module._square.__wrapped__(model, _OneChance(flips.loss, flips.flip))
    assert square.loss(local.theta) > 1e-4


def test_a_rival_theory_is_caught():
    assert min(distances(*random_located(1), theory=SmallLearningRate)) > 1e-3


class TestCorners:
    @pytest.mark.parametrize("p", [0.1, 0.35])
    @pytest.mark.parametrize("beta", [0.0, 0.5])
    def test_two_classes_are_the_logistic_loss_of_the_difference(self, p, beta):
        """Labels 1 and -1 are classes 1 and 0; all predictions agree to rounding."""
        t = sp.tanh(W * X)
        f = [0.3 * A * X, A * t + B * X]
        x, y = [[1.0], [3.0]], np.array([1.0, -1.0])
        classes = Model((W, A, B), f, inputs=(X,), x=x, y=(y + 1) / 2, loss="cross-entropy")
        logistic = Model((W, A, B), f[1] - f[0], inputs=(X,), x=x, y=y, loss="logistic")
        theta = np.array([2.0, 1.3, -0.27])
        np.testing.assert_allclose(classes.gradient(theta), logistic.gradient(theta), rtol=1e-13)
        algorithm = Algorithm(1.5, "full", LabelFlip(p), momentum=beta)
        point = nearest_zero_loss_point(effective(classes, algorithm)[0], theta)
        found = []
        for model in (classes, logistic):
            square, equivalent = effective(model, algorithm)
            theory, local = Paper(square, equivalent), LocalGeometry.at(square, point)
            assert abs(square.loss(point)) < 1e-24
            flips = algorithm.flips(model)
            more = [algorithm.strength(model), flips.alpha, flips.spread, theory.regularizer(local)]
            parts = [local.curvatures, theory.covariance(local).ravel(), theory.drift(local), more]
            found.append(np.concatenate(parts))
        # Rounding times the condition of H, below 1e2.
        np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-13)

    def test_a_function_added_to_all_logits_changes_nothing(self):
        model, algorithm, start = random_case(1)
        more = sp.sin(model.parameters[0]) + model.parameters[1] ** 2
        other = Model(model.parameters, [[e + more for e in model.prediction]], y=model.y, loss="cross-entropy")
        _, algorithm, local = located(model, algorithm, start)
        square, own = effective(other, algorithm)
        there = LocalGeometry.at(square, local.theta)
        one, two = Derived(effective(model, algorithm)[0], effective(model, algorithm)[1]), Derived(square, own)
        np.testing.assert_allclose(one.covariance(local), two.covariance(there), atol=1e-12)
        np.testing.assert_allclose(one.drift(local), two.drift(there), atol=1e-12)

    def test_names_of_classes_do_not_matter(self):
        model, algorithm, start = random_case(1)
        order = [2, 0, 1]
        renamed = Model(
            model.parameters,
            [[model.prediction[c] for c in order]],
            y=[order.index(int(model.y[0]))],
            loss="cross-entropy",
        )
        _, algorithm, local = located(model, algorithm, start)
        square, own = effective(renamed, algorithm)
        there = LocalGeometry.at(square, local.theta)
        first = Derived(effective(model, algorithm)[0], effective(model, algorithm)[1])
        np.testing.assert_allclose(first.drift(local), Derived(square, own).drift(there), atol=1e-12)

    def test_lists_are_the_same_as_inputs(self):
        rows = [[e.subs(X, int(v)) for e in INPUTS.prediction] for (v,) in INPUTS.x]
        listed = Model(INPUTS.parameters, rows, y=INPUTS.y, loss="cross-entropy")
        np.testing.assert_allclose(listed.gradient(AT_INPUTS), INPUTS.gradient(AT_INPUTS), rtol=1e-13)
        algorithm = Algorithm(1.0, "full", LabelFlip(0.3))
        one, two = (effective(m, algorithm)[0] for m in (listed, INPUTS))
        np.testing.assert_allclose(one.residuals(AT_INPUTS), two.residuals(AT_INPUTS), rtol=1e-13)


def test_parameters_may_have_the_names_of_the_weights():
    weight = sp.Symbol("weight0", real=True)
    model = Model((weight, A, B), [weight * X, A * X, B], inputs=(X,), x=[[1.0]], y=[0], loss="cross-entropy")
    square = effective(model, Algorithm(1.0, "full", LabelFlip(0.3)))[0]
    assert [s.name for s in square.inputs] == ["x", "weight0_", "weight1", "weight2"]
