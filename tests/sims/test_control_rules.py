"""The linear process beside replicas of other rules and noise: exact moments, unbiased, and what it is worth.

Expected drifts are computed here by hand: no theory of the project is asked.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.control import LinearControl
from flatmin.sims.engine import simulate
from flatmin.sims.gauge import Goal
from flatmin.sims.kernel import Kernel
from flatmin.sims.ladder import Ladder
from flatmin.sims.measure import measurement
from flatmin.sims.progress import Silent
from flatmin.sims.sampler import Sampler
from flatmin.sims.strengths import smallest_reachable
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.effective import effective
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point
from flatmin.theory.noise import GradientNoise, LabelFlip
from flatmin.theory.prediction import Problem
from flatmin.theory.rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware
from flatmin.theory.timescales import Timescales
from kernel_models import pair_model, tanh_model, uv_model
from scipy.linalg import solve_discrete_lyapunov

U, V, W = sp.symbols("u v w", real=True)


def labelled(loss):
    return Model((U, V, W), [U * V, U * W], y=[1.0, -1.0], loss=loss)


def four_classes():
    """One sample, with a constant logit."""
    return Model((U, V, W), [[U * V, V * W, 0.5, U * W]], y=[3.0], loss="cross-entropy")


def problem(model, algorithm, start, kind="drift"):
    """The start on Gamma, and scales by hand."""
    point = nearest_zero_loss_point(effective(model, algorithm)[0], np.asarray(start, dtype=float))
    local = LocalGeometry.at(effective(model, algorithm)[0], point)
    beta = algorithm.beta
    slowest = max(np.abs(np.roots([1, -(1 + beta - algorithm.lr * h), beta])).max() for h in local.curvatures)
    minibatch = algorithm.minibatch_factor(model) > 0 and model.n > 1
    return Problem(kind, point, local.tangent, Timescales(slowest, slowest**2, 3.0, 1.0, 1.0, minibatch)), local


def taker(model, algorithm, start, kind="drift"):
    how = measurement(problem(model, algorithm, start, kind)[0], algorithm.slow_rate(model.d))
    return Sampler(model, algorithm, Kernel.for_algorithm(model, algorithm), how, 0, None, Silent())


def heavy_ball_drift(local, lr, beta, strength):
    """-lr/(1 - beta) P (1/2) D3L[S], S from the companion matrix; lr sigma^2/B = strength (1 - beta)."""
    h, normal = local.curvatures, local.normal
    one, r = np.eye(len(h)), len(h)
    a = np.block([[one - lr * np.diag(h), beta * one], [-lr * np.diag(h), beta * one]])
    fresh = lr * strength * (1 - beta) * np.diag(h)
    s = solve_discrete_lyapunov(a, np.block([[fresh, fresh], [fresh, fresh]]))[:r, :r]
    return -0.5 * lr / (1 - beta) * local.project(local.third(normal @ s @ normal.T))


DRIFTS = {
    "ball": (uv_model(), Algorithm(0.1, "full", LabelNoise(0.1), rule=HeavyBall(0.8)), [2.0, 0.5]),
    "ball-tanh": (tanh_model(), Algorithm(0.1, "full", LabelNoise(0.1), rule=HeavyBall(0.8)), [2.0, 1.3, -0.27]),
    "flips": (labelled("logistic"), Algorithm(0.5, "full", LabelFlip(0.2), repeats=1000), [2.0, 0.7, -0.7]),
    "flips-drawn": (labelled("logistic"), Algorithm(0.3, 4000, LabelFlip(0.2)), [2.0, 0.7, -0.7]),
    "flips-exponential": (labelled("exponential"), Algorithm(0.1, 4000, LabelFlip(0.2)), [2.0, 0.35, -0.35]),
    "flips-ball": (
        labelled("logistic"),
        Algorithm(0.3, "full", LabelFlip(0.2), rule=HeavyBall(0.5), repeats=1000),
        [2.0, 0.7, -0.7],
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_the_measured_drift_is_the_one_by_hand(name):
    model, algorithm, start = DRIFTS[name]
    given, local = problem(model, algorithm, start)
    expected = heavy_ball_drift(local, algorithm.lr, algorithm.beta, algorithm.strength(model))
    how = measurement(given, algorithm.slow_rate(model.d))
    kernel = Kernel.for_algorithm(model, algorithm)
    ladder = Ladder(model, algorithm, kernel, how, seed=1, threads=None, progress=Silent())
    size = float(np.linalg.norm(expected))
    measured = ladder.run(Goal(0.004 * size, 1e-4, 60.0))
    assert measured.trouble == ""
    assert measured.gain > 1e4
    # Half of an interval of 0.4 % at level 1e-4 is four standard errors.
    assert np.linalg.norm(measured.estimate.value - expected) < 0.01 * size


CASES = {
    "ball-full": (pair_model(), Algorithm(0.2, "full", LabelNoise((0.3, 0.5)), rule=HeavyBall(0.6))),
    "nesterov-drawn": (pair_model(), Algorithm(0.2, 2, LabelNoise((0.3, 0.5)), rule=Nesterov(0.6))),
    "ball-one": (
        pair_model(),
        Algorithm(0.2, 1, LabelNoise((0.3, 0.5)), "without-replacement", rule=HeavyBall(0.6)),
    ),
    "diagonal": (pair_model(), Algorithm(0.2, 2, LabelNoise((0.3, 0.5)), rule=Preconditioned((1.0, 0.5, 1.5)))),
    "flips": (labelled("exponential"), Algorithm(0.2, 2, LabelFlip(0.2))),
    "flips-twice": (labelled("exponential"), Algorithm(0.2, "full", LabelFlip(0.2), rule=HeavyBall(0.6), repeats=2)),
    "classes": (four_classes(), Algorithm(0.8, 2, LabelFlip(0.4), momentum=0.5)),
    "flips-without": (labelled("exponential"), Algorithm(0.2, 2, LabelFlip(0.2), "without-replacement")),
}


def outcomes(model, algorithm):
    """Probability, counts and noise of every batch: draw by draw."""
    n, batch = model.n, algorithm.batch(model)
    if algorithm.batch_size == "full":
        drawn = [tuple(np.repeat(np.arange(n), algorithm.repeats))]
    else:
        drawn = list(product(range(n), repeat=batch))
        if algorithm.sampling == "without-replacement":
            drawn = [d for d in drawn if len(set(d)) == batch]
    for indices in drawn:
        for draw in product(*(of_a_draw(model, algorithm, i) for i in indices)):
            count, noise = np.zeros(n), np.zeros((n, model.outputs))
            for i, (_, added) in zip(indices, draw):
                count[i] += 1
                noise[i] += added
            yield np.prod([p for p, _ in draw]) / len(drawn), count, noise


def of_a_draw(model, algorithm, i):
    """Probability of what a draw of sample i adds to its noise: signed, a flip or not, or one of a class."""
    if isinstance(algorithm.noise, LabelNoise):
        return [(0.5, s * algorithm.sigmas(model)[i]) for s in (1, -1)]
    p, k = algorithm.noise.flip, model.outputs
    if k == 1:
        return [(1 - p, 0.0), (p, 1.0)]
    return [(1 - p if c == model.y[i] else p / (k - 1), np.eye(k)[c]) for c in range(k)]


@pytest.mark.parametrize("name", CASES)
def test_exact_moments_by_enumeration(name):
    """E z z^T, the motion and its end after three steps, from every batch that can be drawn."""
    model, algorithm = CASES[name]
    point = problem(model, algorithm, [1.2, 0.8, -0.4])[0].start
    control = LinearControl(model, algorithm, point[None], [0], [3])
    (segment,) = control.segments
    law, lr, b = segment.law, algorithm.lr, algorithm.batch(model)
    g, seen, size = segment.gradients, segment.seen, segment.size
    steps = []
    for probability, count, noise in outcomes(model, algorithm):
        weight, force = count, -noise.ravel()
        if law.numbers.size:
            p, before, more = law.numbers
            weight = np.repeat(count * before + noise[:, 0] * more, law.rows)
            force = np.einsum("ikc,ic->ik", law.forces, noise - p * count[:, None]).ravel()
        rows = g @ seen
        m = segment.carried - lr / b * segment.gain @ (g.T * weight) @ rows
        slope = -lr / b * np.einsum("i,it,imq,qs->mst", weight, rows, segment.second, seen)
        steps.append((probability, m, -lr / b * segment.gain @ g.T @ force, slope))
    assert abs(sum(p for p, *_ in steps) - 1) < 1e-12
    s, moved = np.zeros((size, size)), 0.0
    for _ in range(3):
        moved = moved + sum(p * np.einsum("mst,st->m", slope, s) for p, _, _, slope in steps)
        s = sum(p * (m @ s @ m.T + np.outer(w, w)) for p, m, w, _ in steps)
    covariance, increments, ends = control.moments(algorithm.sigmas(model))
    scale = np.abs(s).max()
    np.testing.assert_allclose(covariance[0], segment.theta @ s @ segment.theta.T, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(increments[0], segment.local.tangent @ moved, rtol=0, atol=1e-12 * scale)
    form, rest = s.copy(), 0.0
    for _ in range(4000):
        rest = rest + np.einsum("mst,st->m", segment.slope, form)
        form = segment.mean_step @ form @ segment.mean_step.T
    np.testing.assert_allclose(ends[0], segment.local.tangent @ rest, rtol=1e-9, atol=1e-12 * scale)


FIRST_ORDER = [*(n for n in CASES if n != "classes"), pytest.param("classes", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_the_linear_process_is_the_replica_to_first_order(name):
    """What is left after the first order falls as the square of the size of the noise."""
    model, algorithm = CASES[name]
    point = problem(model, algorithm, [1.2, 0.8, -0.4])[0].start
    left = []
    for factor in (1.0, 100.0):
        # Flips become weaker with the batch alone, so that small noise is a large batch there.
        weaker = algorithm.at_strength(model, algorithm.strength(model) * 1e-4 / factor)
        control = LinearControl(model, weaker, point[None], [0], [5, 30])
        run = simulate(Kernel.for_algorithm(model, weaker), weaker, None, point, 64, [5, 30], control=control)
        size = np.abs(run.linear).max()
        left.append((np.abs(run.points - point[:, None] - run.linear).max(), size))
    (a, size_a), (b, size_b) = left
    assert a < 0.2 * size_a
    assert 3 < size_a / size_b < 30
    assert 20 < a / b < 500


@pytest.mark.parametrize("name", ["ball", "flips-exponential", "flips-drawn"])
def test_a_control_pulls_to_no_prediction(name):
    """Replicas of another noise than the control is told: the truth of the data is measured, not what was told."""
    model, algorithm, start = DRIFTS[name]
    told = taker(model, algorithm, start)
    strength = told.reachable(3e-5)
    other = algorithm
    if isinstance(algorithm.noise, LabelNoise):
        other = replace(algorithm, noise=LabelNoise(0.12))  # 1.44 times the strength
        truth = replace(algorithm, noise=LabelNoise(1.2 * told.at(strength).noise.sigma))
        ratio = 1.44
    else:
        # A batch of two thirds has 1.5 times the strength.
        weak = told.at(strength)
        truth = replace(weak, batch_size=2 * weak.batch(model) // 3)
        ratio = truth.strength(model) / strength
    assert other.strength(model) > 0
    run = told.run(strength, 2048, ("test",))
    loud = simulate(told.kernel, truth, None, told.measurement.problem.start, 2048, run.schedule, run.key, settle=True)
    control = told.control(strength)
    excess = control.rows(run) - control.mean(told.sigmas(strength))
    rows = told.measurement.reduce(loud.points, loud.schedule, strength) - excess
    local = problem(model, algorithm, start)[1]
    predicted = heavy_ball_drift(local, algorithm.lr, algorithm.beta, 1.0)
    measured = rows.mean(axis=0) @ predicted / (predicted @ predicted)
    error = (rows @ predicted).std() / np.sqrt(len(rows)) / (predicted @ predicted)
    # Second orders of lambda are below a percent.
    assert abs(measured - ratio) < 5 * error + 0.01
    assert measured > 1.2


@pytest.mark.parametrize("rule", [SGD(), HeavyBall(0.6)], ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("batch", ["full", 2])
def test_gradient_noise(rule, batch):
    """Covariance of the gradients: a gain, and a mean that stays."""
    model = pair_model()
    jacobian = sp.Matrix([U * V, U * W]).jacobian([U, V, W])
    algorithm = Algorithm(0.2, batch, GradientNoise(jacobian.T * jacobian / 2, 0.01), rule=rule)
    for kind in ("drift", "covariance"):
        one = taker(model, algorithm, [1.2, 0.8, -0.4], kind)
        strength = 3e-5
        run = one.run(strength, 1024, ("test",))
        plain = one.measurement.reduce(run.points, run.schedule, strength)
        rows = one.rows(run, strength)
        assert one.gain > 1e2
        errors = plain.std(axis=0) / np.sqrt(len(plain)) + 1e-300
        assert np.all(np.abs(plain.mean(axis=0) - rows.mean(axis=0)) < 5 * errors)


@pytest.mark.parametrize("kind", ["covariance", "normal-offset"])
@pytest.mark.parametrize("name", ["ball", "flips-exponential"])
def test_other_statistics(name, kind):
    """Flips have no mirror image: less gain, and no bias either."""
    one = taker(*DRIFTS[name], kind)
    strength = one.reachable(3e-6)
    run = one.run(strength, 2048, ("test",))
    plain = one.measurement.reduce(run.points, run.schedule, strength)
    rows = one.rows(run, strength)
    assert (run.mirror is None) == name.startswith("flips")
    assert one.gain > 1e2
    errors = plain.std(axis=0) / np.sqrt(len(plain)) + 1e-300
    assert np.all(np.abs(plain.mean(axis=0) - rows.mean(axis=0)) < 5 * errors)


def test_noise_along_gamma_has_no_control():
    model = pair_model()
    algorithm = Algorithm(0.2, "full", GradientNoise(sp.eye(3), 0.01))
    point = problem(model, algorithm, [1.2, 0.8, -0.4])[0].start
    assert not LinearControl(model, algorithm, point[None], [0], [5]).usable


def test_a_rule_that_is_not_linear_has_no_control_and_is_measured():
    model, algorithm = uv_model(), Algorithm(0.1, "full", LabelNoise(0.1), rule=SharpnessAware(0.05))
    one = taker(model, algorithm, [2.0, 0.5])
    assert one.control(1e-4) is None
    run = one.run(1e-4, 128, ("test",))
    assert not run.failed.any()
    assert one.rows(run, 1e-4).shape == (128, 2)


def test_a_ladder_stays_where_batches_can_go(monkeypatch):
    """Flips have no strength below that of the largest batch: no ladder begins there, however large its bias."""
    model, algorithm, start = DRIFTS["flips"]
    how = measurement(problem(model, algorithm, start)[0], algorithm.slow_rate(model.d))
    ladder = Ladder(model, algorithm, None, how, seed=0, threads=None, progress=Silent())
    least, tried = smallest_reachable(model, algorithm), []

    def biased(_, largest):
        tried.append(largest)
        estimate = SimpleNamespace(truncation=1e9, strengths=np.geomspace(0.1, 1, 4) * largest)
        return SimpleNamespace(estimate=estimate)

    monkeypatch.setattr(ladder, "_attempt", biased)
    ladder.run(Goal(1.0, 1e-3, 60.0, largest=100 * least))
    assert len(tried) == 3
    np.testing.assert_allclose(tried, np.array([100, 12.5, 10]) * least, rtol=0.05)
