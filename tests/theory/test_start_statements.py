"""What is claimed of a start: that it is stayed at, how fast it is left, and that only lambda matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, InvalidInput, LabelNoise, Model
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point, retract
from flatmin.theory.prediction import predict
from flatmin.theory.scaling import rescaled
from flatmin.theory.slow import Paper, SmallLearningRate

a, b, w, u, v = sp.symbols("a b w u v", real=True)
# Symmetric under w -> -w with a <-> b: w = 0 is a maximum of R on Gamma for narrow bumps, and noise leads off it.
BUMPS = Model((a, b, w), [a * sp.exp(0.3 * w - w**2), b * sp.exp(-0.3 * w - w**2)], y=[0.4, 0.4])
TOP = np.array([0.4, 0.4, 0.0])
FORK = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])
START = np.array([1.3, 0.77, -0.385])
FULL = Algorithm(1.2, "full", LabelNoise(0.1))


def curvature_of(theory, theta, step):
    """-d2R/ds2 along the curve through `theta`, by five points at equal arc length up to O(step^2)."""
    tangent = LocalGeometry.at(theory.model, theta).tangent[:, 0]
    at = [retract(theory.model, theta + k * step * tangent) for k in (-2, -1, 0, 1, 2)]
    r = [theory.regularizer(LocalGeometry.at(theory.model, p)) for p in at]
    return -(-r[0] + 16 * r[1] - 30 * r[2] + 16 * r[3] - r[4]) / 12 / step**2


class TestEscape:
    @pytest.mark.parametrize("theory", [Paper, SmallLearningRate])
    def test_the_rate_is_minus_the_second_derivative_of_r(self, theory):
        """R = R(0) - mu s^2/2: without a linear term any chart will do; differences are right to 1e-6."""
        prediction = predict(BUMPS, FULL, Claim("escape", theory.name), TOP)
        one = theory(BUMPS, FULL)
        rate = curvature_of(one, TOP, 3e-3) * one.rate * one.strength
        assert prediction.value == pytest.approx([rate], rel=1e-5)
        assert rate > 0

    def test_a_start_with_few_digits_is_moved_to_the_stationary_point(self):
        prediction = predict(BUMPS, FULL, Claim("escape"), TOP + np.array([0.01, -0.01, 0.01]))
        assert np.allclose(prediction.problem.start, TOP, atol=1e-9)

    @pytest.mark.parametrize(
        ("model", "start", "name"),
        [
            # By the symmetry of u v = 1 every step leaves u = v where it is.
            (Model((u, v), u * v, y=[1.0]), [1.0, 1.0], "noise along the leading direction"),
            (Model((u, v), u * v, y=[1.0]), [2.0, 0.5], "stationary start"),
            # u v + w z = 1: its minima of R are a circle.
            (Model((u, v, w, a), u * v + w * a, y=[1.0]), [1.0, 1.0, 0.0, 0.0], "leading rate"),
        ],
    )
    def test_not_applicable(self, model, start, name):
        prediction = predict(model, Algorithm(0.2, 1, LabelNoise(0.1)), Claim("escape"), np.array(start))
        assert prediction.value is None
        assert prediction.failed.name == name


class TestStays:
    def test_zero_against_the_slow_flow(self):
        quiet = Algorithm(0.3, 1, LabelNoise(0.0))
        prediction = predict(FORK, quiet, Claim("stays"), START)
        path = predict(FORK, Algorithm(0.3, 1, LabelNoise(0.1)), Claim("trajectory"), START)
        assert not prediction.value.any()
        moved, small = prediction.rivals
        # One unit of slow time is the last point of the trajectory, whatever the noise.
        assert np.allclose(moved.value, path.value[-1] - prediction.problem.start, rtol=1e-6)
        assert prediction.scale == pytest.approx(np.linalg.norm(moved.value))
        assert small.distance > 0.5
        normal = prediction.problem.given["direction"]
        assert np.allclose([np.linalg.norm(normal), *(normal @ prediction.problem.tangent)], [1, 0], atol=1e-12)

    def test_without_noise_other_claims_are_not_applicable(self):
        prediction = predict(FORK, Algorithm(0.3, 1, LabelNoise(0.0)), Claim("drift"), START)
        assert prediction.failed.name == "label noise"

    def test_beyond_the_second_moment_limit(self):
        """Minibatches alone drive it away: SGD does not stay, and the claim is not applicable."""
        h = LocalGeometry.at(FORK, nearest_zero_loss_point(FORK, START)).curvatures[0]
        prediction = predict(FORK, Algorithm(1.7 / h, 1, LabelNoise(0.0)), Claim("stays"), START)
        assert prediction.failed.name == "second-moment limit"

    def test_a_stationary_start_has_no_rival(self):
        model = Model((u, v), u * v, y=[1.0])
        prediction = predict(model, Algorithm(0.3, 1, LabelNoise(0.0)), Claim("stays"), np.ones(2))
        assert "label noise would not move" in prediction.notes[0]

    def test_no_conjecture(self):
        with pytest.raises(InvalidInput, match=r"^claim\.theory='conjecture' is not for kind='stays'"):
            Claim("stays", "conjecture", regularizer=u)


SETTINGS = {"lr": 0.1, "batch_size": 4}


class TestScaling:
    def test_small_lr_says_zero_and_r_says_how_much(self):
        algorithm = Algorithm(0.4, "full", LabelNoise(0.1))
        settings = {"lr": 0.1}
        small = predict(FORK, algorithm, Claim("scaling", "small-lr", settings=settings), START)
        paper = predict(FORK, algorithm, Claim("scaling", "paper", settings=settings), START)
        local = LocalGeometry.at(FORK, small.problem.start)
        other = Algorithm(0.1, "full", LabelNoise(0.1))
        gradients = [Paper(FORK, one).regularizer_gradient(local) for one in (algorithm, other)]
        assert not small.value.any()
        assert np.allclose(paper.value, gradients[0] - gradients[1], rtol=1e-9)
        assert {r.theory for r in small.rivals} <= {"derived", "paper"}

    def test_lambda_is_kept(self):
        algorithm = Algorithm(0.4, 1, LabelNoise(0.1), momentum=0.5)
        other = rescaled(FORK, algorithm, SETTINGS)
        assert (other.lr, other.batch_size) == (0.1, 4)
        assert other.strength(FORK) == pytest.approx(algorithm.strength(FORK), rel=1e-14)

    def test_the_same_algorithm_predicts_nothing(self):
        algorithm = Algorithm(0.4, 1, LabelNoise(0.1))
        prediction = predict(FORK, algorithm, Claim("scaling", settings={"lr": 0.4}), START)
        assert not prediction.value.any()

    def test_the_rescaled_algorithm_must_be_stable_too(self):
        prediction = predict(
            FORK, Algorithm(0.1, "full", LabelNoise(0.1)), Claim("scaling", settings={"lr": 5.0}), START
        )
        assert prediction.value is None
        assert prediction.failed.name == "learning rate, rescaled"

    def test_only_with_label_noise(self):
        algorithm = replace(Algorithm(0.1, "full", LabelNoise(0.1)), noise=LabelNoise(0.0))
        assert predict(FORK, algorithm, Claim("scaling", settings=SETTINGS), START).failed.name == "label noise"

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({}, r"claim\.lr is missing"),
            ({"lr": 0.0}, r"claim\.lr=0 must be positive"),
            ({"lr": 0.1, "batch_size": 0}, r"claim\.batch_size=0 must be"),
            ({"lr": 0.1, "batch_size": True}, r"claim\.batch_size=True must be"),
            ({"lr": 0.1, "batch_size": "half"}, r"claim\.batch_size='half' must be"),
        ],
    )
    def test_bad_settings(self, settings, field):
        with pytest.raises(InvalidInput, match=field):
            Claim("scaling", settings=settings)
