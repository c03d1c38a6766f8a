"""Kernels of every rule, noise, sampling and loss against their replay, and what they have in common with plain SGD."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import replay
from flatmin.sims.codegen import generate
from flatmin.sims.engine import simulate
from flatmin.sims.form import Form
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, RADEMACHER
from flatmin.sims.moments import average
from flatmin.sims.replay import KernelMismatch, check_kernel
from flatmin.theory import Algorithm, InvalidInput, LabelNoise, Model
from flatmin.theory.errors import TooLarge
from flatmin.theory.noise import GradientNoise, LabelFlip
from flatmin.theory.rules import (
    SGD,
    HeavyBall,
    Nesterov,
    Preconditioned,
    SharpnessAware,
    UpdateRule,
    WeightDecay,
)
from kernel_models import WholeKernel, interpolated, on_gamma, pair_model, tanh_model, uv_model

START = np.array([1.7, 0.9, -0.4])
SAMPLINGS = [("full", "with-replacement"), (1, "with-replacement"), (5, "with-replacement"), (2, "without-replacement")]


@dataclass(frozen=True)
class Clipped(UpdateRule):
    """A user's rule that is not linear in the gradient: it is divided by sqrt(1 + |g|^2)."""

    scale: float

    def update(self, theta, memory, gradient, c):
        g = gradient(theta)
        return theta - c.lr * c.scale * g / sp.sqrt(1 + g.dot(g)), ()


# Each case compiles some modules. The marked ones take the same ways through them with other formulas.
RULES = [
    HeavyBall(0.8),
    SharpnessAware(0.1),
    *(
        pytest.param(rule, marks=pytest.mark.slow)
        for rule in (SGD(), Nesterov(0.8), WeightDecay(3.0), Preconditioned((1.0, 0.5, 2.0)), Clipped(0.7))
    ),
]
M = sp.Symbol("m")
LOSSES = ["square", "logistic", "exponential", sp.log(1 + sp.exp(-2 * M)) + sp.exp(-M) / 2]


def models(loss):
    """A list of predictions, and one expression with inputs; labels are -1 and 1."""
    pair, tanh = pair_model(), tanh_model()
    listed = Model(pair.parameters, pair.prediction, y=[1.0, -1.0], loss=loss)
    x = [[1.0], [-0.5], [2.0]]
    return listed, Model(tanh.parameters, tanh.prediction[0], inputs=tanh.inputs, x=x, y=[1, -1, 1], loss=loss)


def covariance(model):
    """Of rank two, with theta in it."""
    a, b, _ = model.parameters
    return sp.Matrix([[1 + a**2, a * b, 0], [a * b, b**2 + 1, 0], [0, 0, 0]])


def checked(model, algorithm, kind=WholeKernel):
    """Compare the kernel with its replay."""
    kernel = kind.for_algorithm(model, algorithm)
    simulate(kernel, algorithm, None, START, 1, [1])
    return kernel


# Compiling its kernels takes half a minute.
AWARE = pytest.param(SharpnessAware(0.1), marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "rule", [AWARE if isinstance(r, SharpnessAware) else r for r in RULES], ids=lambda r: type(r).__name__
)
def test_label_noise(rule):
    for model in models("square"):
        for batch, sampling in SAMPLINGS:
            for noise in (LabelNoise(0.3), LabelNoise(0.3, "gaussian")):
                checked(model, Algorithm(0.05, batch, noise, sampling, rule=rule))


@pytest.mark.parametrize(
    ("rule", "loss"),
    [
        (HeavyBall(0.8), LOSSES[1]),
        pytest.param(SharpnessAware(0.1), LOSSES[3], marks=pytest.mark.slow),
        pytest.param(SGD(), LOSSES[0], marks=pytest.mark.slow),
        pytest.param(Nesterov(0.8), LOSSES[2], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_flips(rule, loss):
    for model in models(loss)[1:]:
        for batch, sampling in [*SAMPLINGS, (1000, "with-replacement")]:
            checked(model, Algorithm(0.05, batch, LabelFlip(0.2), sampling, rule=rule))
        checked(model, Algorithm(0.05, "full", LabelFlip(0.2), rule=rule, repeats=7))


@pytest.mark.parametrize("rule", [HeavyBall(0.8), AWARE], ids=lambda r: type(r).__name__)
def test_gradient_noise(rule):
    for model in models("square")[1:]:
        for batch, sampling in SAMPLINGS:
            checked(model, Algorithm(0.05, batch, GradientNoise(covariance(model), 0.2), sampling, rule=rule))


def library_models(loss="square"):
    """As `models`, of functions that only a library has."""
    w, a, b, x = sp.symbols("w a b x", real=True)
    fs = [a * sp.sin(w) + sp.cosh(b / 5) / 9, sp.cos(a * b) + sp.sinh(w / 5) / 9 + sp.tan(b / 5) / 9]
    f = a * sp.sin(w * x) + (1 + b**2) ** sp.Rational(13, 10) * sp.cos(x) / 4
    data = {"inputs": (x,), "x": [[1.0], [-0.5], [2.0]], "y": [1, -1, 1]}
    return Model((w, a, b), fs, y=[1.0, -1.0], loss=loss), Model((w, a, b), f, loss=loss, **data)


@pytest.mark.parametrize(
    ("noise", "rule"),
    [
        (LabelNoise(0.3), SGD()),
        (LabelNoise(0.3, "gaussian"), SGD()),
        (LabelNoise(0.3), HeavyBall(0.8)),
        pytest.param(LabelNoise(0.3), SharpnessAware(0.1), marks=pytest.mark.slow),
        (LabelFlip(0.2), HeavyBall(0.8)),
    ],
    ids=str,
)
def test_functions_of_a_library(noise, rule):
    """They are called for one number after the other, in all passes over replicas."""
    for model in library_models("square" if isinstance(noise, LabelNoise) else "logistic"):
        for batch, sampling in SAMPLINGS if rule == SGD() else SAMPLINGS[2:3]:
            algorithm = Algorithm(0.05, batch, noise, sampling, rule=rule)
            kernel = checked(model, algorithm, WholeKernel if rule == SGD() else Kernel)
        got = average(kernel, algorithm, None, START, 70, 30, burn_in=10, seed=3)
        points = simulate(kernel, algorithm, None, START, 70, range(10, 30), seed=3).points
        np.testing.assert_allclose(got.mean, points.mean(axis=(0, 2)), rtol=1e-12)
        assert np.all(points[-1].std(axis=1) > 1e-3)


def test_paths_that_grow_without_bound_are_no_mismatch(monkeypatch):
    """Angles so large that none is known; at smaller learning rates the kernel is compared all the same."""
    w, a, b = sp.symbols("w a b", real=True)
    fs = [a * sp.sin(w) + sp.cosh(b), sp.cos(a * b) + sp.sinh(w) / 3 + sp.tan(b) / 9]
    model = Model((w, a, b), fs, y=[1.0, -1.0], loss="logistic")
    algorithm = Algorithm(0.05, "full", LabelFlip(0.2), rule=HeavyBall(0.8))
    kernel = Kernel.for_algorithm(model, algorithm)
    check_kernel(kernel, START, 2, FULL, RADEMACHER, algorithm)
    monkeypatch.setattr(replay, "_QUARTERS", 0)
    with pytest.raises(KernelMismatch):
        check_kernel(kernel, START, 2, FULL, RADEMACHER, algorithm)


@pytest.mark.parametrize("rule", [HeavyBall(0.8), AWARE], ids=lambda r: type(r).__name__)
def test_moments_are_those_of_the_points(rule):
    ball = isinstance(rule, HeavyBall)
    for loss, noise in (("square", LabelNoise(0.1)), ("logistic", LabelFlip(0.2))):
        for model in models(loss)[: 2 if ball else 1]:
            algorithm = Algorithm(0.05, 3, noise, rule=rule)
            kernel = Kernel.for_algorithm(model, algorithm)
            got = average(kernel, algorithm, None, START, 70, 100, burn_in=30, seed=3)
            points = simulate(kernel, algorithm, None, START, 70, range(30, 100), seed=3).points
            np.testing.assert_allclose(got.mean, points.mean(axis=(0, 2)), rtol=1e-12)
            flat = np.moveaxis(points, 1, 0).reshape(3, -1)
            np.testing.assert_allclose(got.covariance, np.cov(flat, bias=True), rtol=0, atol=1e-12)


def test_a_wrong_constant_is_seen():
    """A mutant: the kernel of the heavy ball told another momentum than its replay."""
    algorithm = Algorithm(0.05, 2, LabelNoise(0.3), rule=HeavyBall(0.8))
    kernel = Kernel.for_algorithm(pair_model(), algorithm)

    class Wrong(Form):
        def state(self, theta, algorithm, model):
            return super().state(theta, replace(algorithm, rule=HeavyBall(0.81)), model)

    wrong = replace(kernel, form=Wrong(kernel.form.rule))
    check_kernel(kernel, START, 2, 1, 0, algorithm)
    with pytest.raises(KernelMismatch):
        check_kernel(wrong, START, 2, 1, 0, algorithm)


def test_momentum_zero_is_plain_sgd():
    model, noise = pair_model(), LabelNoise(0.3)
    plain, ball = (Algorithm(0.05, 2, noise, rule=rule) for rule in (SGD(), HeavyBall(0.0)))
    a, b = (simulate(Kernel.for_algorithm(model, x), x, None, START, 64, [50]).points for x in (plain, ball))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_the_text_depends_on_no_number():
    flips = [
        Algorithm(lr, batch, LabelFlip(p), rule=HeavyBall(beta))
        for lr, batch, p, beta in ((0.1, 3, 0.1, 0.5), (0.2, "full", 0.3, 0.9))
    ]
    for model in models("logistic"):
        assert len({generate(model, Form.of(model, a)) for a in flips}) == 1
    for model in (pair_model(), tanh_model()):
        assert generate(model, Form.of(model, Algorithm(0.1, 1, LabelNoise(0.2)))) == generate(model)


def test_threads_and_cuts_change_no_bit(monkeypatch):
    for loss, noise in (("square", LabelNoise(0.1)), ("logistic", LabelFlip(0.2))):
        for model in models(loss):
            for batch in ("full", 3):
                algorithm = Algorithm(0.05, batch, noise, rule=HeavyBall(0.8))
                kernel = Kernel.for_algorithm(model, algorithm)
                runs = []
                for threads, size in ((1, 1000), (2, 1)):
                    monkeypatch.setattr("flatmin.sims.engine.next_size", lambda *_, size=size: size)
                    runs.append(simulate(kernel, algorithm, None, START, 130, [0, 7, 1500], threads=threads).points)
                assert np.array_equal(*runs)


@pytest.mark.parametrize(
    "rule",
    [
        HeavyBall(0.8),
        SharpnessAware(0.01),
        *(pytest.param(r, marks=pytest.mark.slow) for r in (Nesterov(0.8), WeightDecay(3.0))),
    ],
    ids=str,
)
def test_phi_is_where_the_same_rule_ends_without_noise(rule):
    """Phi of the start is the end of a run without noise, and a zero-loss point; weight decay is of the noise."""
    noisy = Algorithm(0.1, "full", LabelNoise(0.1), rule=rule)
    silent = replace(noisy, noise=LabelNoise(0.0))
    model, start = uv_model(), [2.0, 0.7]
    kernel = Kernel.for_algorithm(model, noisy)
    settled = simulate(kernel, noisy, None, start, 2, [0, 3], settle=True)
    ended = simulate(kernel, silent, None, start, 2, [20_000]).points[0]
    assert not settled.failed.any()
    np.testing.assert_allclose(settled.points[0], ended, rtol=0, atol=1e-11)
    np.testing.assert_allclose(settled.points[:, 0] * settled.points[:, 1], 1.0, atol=1e-11)


def test_phi_with_flips_is_where_the_mean_loss_is_least():
    model = models("logistic")[0]
    algorithm = Algorithm(0.3, 500, LabelFlip(0.2), rule=HeavyBall(0.5))
    kernel = Kernel.for_algorithm(model, algorithm)
    run = simulate(kernel, algorithm, None, START, 3, [0, 30], settle=True)
    assert not run.failed.any()
    u, v, w = np.moveaxis(run.points, 1, 0)
    # The logistic mean loss is least where the margin is log((1-p)/p).
    np.testing.assert_allclose([u * v, -u * w], np.log(4.0), atol=1e-10)


def test_gradient_noise_has_the_covariance_that_it_is_told():
    """One step from a zero-loss point, full batch: lr strength Sigma, within five standard errors."""
    model, strength, lr = pair_model(), 0.04, 0.1
    point = np.array([2.0, 0.5, -0.25])
    algorithm = Algorithm(lr, "full", GradientNoise(covariance(model), strength))
    kernel = Kernel.for_algorithm(model, algorithm)
    moved = simulate(kernel, algorithm, None, point, 40_000, [1]).points[0] - point[:, None]
    expected = lr * strength * np.array(covariance(model).subs(dict(zip(model.parameters, point)))).astype(float)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / moved.shape[1])
    assert np.all(np.abs(np.cov(moved) - expected) <= 5 * error + 1e-15)


def test_what_cannot_run_is_refused():
    many = interpolated(40)
    with pytest.raises(TooLarge, match="at most 32 samples"):
        Kernel.for_algorithm(many, Algorithm(0.1, 1, LabelNoise(0.1), rule=SharpnessAware(0.1)))
    ball = Algorithm(0.1, 1, LabelNoise(0.1), momentum=0.5)
    twice = Algorithm(0.1, "full", LabelNoise(0.1), repeats=2)
    with pytest.raises(InvalidInput, match="does not run"):
        simulate(Kernel.for_model(many), ball, None, on_gamma(), 1, [1])
    with pytest.raises(InvalidInput, match="repeats"):
        simulate(Kernel.for_model(many), twice, None, on_gamma(), 1, [1])
