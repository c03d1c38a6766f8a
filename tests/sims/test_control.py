"""Control variates: exact moments by a second route, and estimates that no control pulls anywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from flatmin.sims.control import LinearControl, LinearMoments, second_moment_map
from flatmin.sims.engine import simulate
from flatmin.sims.gauge import Goal
from flatmin.sims.ladder import Ladder
from flatmin.sims.measure import measurement
from flatmin.sims.progress import Silent
from flatmin.sims.random import claim_key
from flatmin.sims.sampler import ControlMismatch, Sampler
from flatmin.theory import Algorithm, Claim, LabelNoise
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point
from flatmin.theory.prediction import predict
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_models import pair_model, tanh_model, uv_model

SAMPLINGS = [("full", True), (1, True), (3, True), (1, False), (2, False)]


def batches(n, batch, replacement):
    """Every batch of a step with its probability."""
    if batch == "full":
        return [(tuple(range(n)), 1.0)]
    every = list(product(range(n), repeat=batch))
    kept = every if replacement else [b for b in every if len(set(b)) == batch]
    return [(b, 1 / len(kept)) for b in kept]


@given(seed=st.integers(0, 10**6), case=st.sampled_from(SAMPLINGS))
@settings(max_examples=60, deadline=None)
def test_second_moments_are_those_of_all_batches(seed, case):
    """E[M S M^T] as a matrix, and by enumerating every batch of a step."""
    batch, replacement = case
    rng = np.random.default_rng(seed)
    n, r = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    g, lr = rng.normal(size=(n, r)), 0.3
    s = rng.normal(size=(r, r))
    s = s @ s.T
    size = n if batch == "full" else batch
    expected = np.zeros((r, r))
    for chosen, probability in batches(n, batch, replacement):
        m = np.eye(r) - lr / size * sum(np.outer(g[i], g[i]) for i in chosen)
        expected += probability * m @ s @ m.T
    got = (second_moment_map(g, lr, size, batch == "full", replacement) @ s.ravel()).reshape(r, r)
    # Some hundred terms of the size of the largest.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_moments_after_many_steps_are_those_of_one_after_the_other(seed, steps):
    rng = np.random.default_rng(seed)
    r = int(rng.integers(1, 4))
    g = rng.normal(size=(3, r))
    step = second_moment_map(g, 0.3 / np.sum(g**2), 2, False, True)
    fresh, s = g.T @ g / 30, np.eye(r) * rng.uniform()
    after, total = LinearMoments(step, fresh).after(s, steps)
    expected = np.zeros((r, r))
    for _ in range(steps):
        expected = expected + s
        s = (step @ s.ravel()).reshape(r, r) + fresh
    np.testing.assert_allclose(after, s, rtol=0, atol=1e-11 * max(1, np.abs(s).max()))
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


MODELS = {
    "uv": (uv_model, [2.0, 0.5], 0.2, 1, "with-replacement"),
    "pair": (pair_model, [2.0, 0.5, -0.25], 0.3, 4, "with-replacement"),
    "pair-odd": (pair_model, [2.0, 0.5, -0.25], 0.3, 1, "with-replacement"),
    "pair-1": (pair_model, [2.0, 0.5, -0.25], 0.3, 1, "without-replacement"),
    "tanh": (tanh_model, [2.0, 1.3, -0.27], 0.27, "full", "with-replacement"),
}


def setting(name):
    make, start, lr, batch, sampling = MODELS[name]
    model = make()
    return model, Algorithm(lr=lr, batch_size=batch, noise=LabelNoise(0.1), sampling=sampling), start


def sampler(request, name, kind, kernel=None):
    model, algorithm, start = setting(name)
    kernel = kernel or request.getfixturevalue(name.split("-")[0])
    prediction = predict(model, algorithm, Claim(kind), np.array(start))
    return Sampler(
        model, algorithm, kernel, measurement(prediction.problem, algorithm.lr), 0, None, Silent()
    ), prediction


@pytest.mark.parametrize("name", MODELS)
def test_the_linear_process_is_the_replica_to_first_order(request, name):
    """At a tiny noise theta - theta* is the linear process, draw for draw; the rest is of second order."""
    model, algorithm, start = setting(name)
    kernel = request.getfixturevalue(name.split("-")[0])
    point = nearest_zero_loss_point(model, np.array(start))
    control = LinearControl(model, algorithm, point[None], [0], [5, 50])
    for size in (1e-5, 1e-4):
        sigmas = np.full(model.n, size)
        run = simulate(kernel, algorithm, sigmas, point, 100, [5, 50], control=control)
        deviation = run.points - point[:, None]
        assert 0.1 * size < np.abs(run.linear).max() < 10 * size
        assert np.abs(deviation - run.linear).max() < 20 * size**2


@pytest.mark.parametrize("kind", ["drift", "covariance"])
@pytest.mark.parametrize("name", MODELS)
def test_variance_falls_and_the_mean_stays(request, name, kind):
    """At lambda = 3e-5: by 10^4, with minibatches by 10^3; and the means agree within their errors."""
    taker, _ = sampler(request, name, kind)
    run = taker.run(3e-5, 2048, ("test",))
    plain = taker.measurement.reduce(run.points, run.schedule, 3e-5)
    rows = taker.rows(run, 3e-5)
    assert taker.gain > (1e3 if name.startswith("pair") else 1e4)
    errors = plain.std(axis=0) / np.sqrt(len(plain)) + 1e-300
    # Five standard errors of the plain mean, in at most nine components.
    assert np.all(np.abs(plain.mean(axis=0) - rows.mean(axis=0)) < 5 * errors)


@pytest.mark.parametrize("kind", ["drift", "covariance"])
def test_a_control_pulls_to_no_prediction(request, uv, kind):
    """Replicas of another sigma than the theory is told: the truth of the data is 1.44 times what theory predicts."""
    taker, prediction = sampler(request, "uv", kind)
    strength = 3e-5
    run = taker.run(strength, 2048, ("test",))
    told = taker.sigmas
    louder = 1.2
    taker.sigmas = lambda s: louder * told(s)
    true = taker.run(strength, 2048, ("test",))
    # The controls are those of the weaker noise, with its draws: only their coefficient is not the best.
    control = taker.control(strength)
    taker.sigmas = told
    excess = control.rows(run) - control.mean(told(strength))
    rows = taker.measurement.reduce(true.points, true.schedule, strength) - excess
    predicted = prediction.value.ravel() / taker.own_strength
    ratio = rows.mean(axis=0) @ predicted / (predicted @ predicted)
    error = (rows @ predicted).std() / np.sqrt(len(rows)) / (predicted @ predicted)
    assert abs(ratio - louder**2) < 5 * error
    assert error < 0.02
    assert ratio > 1.3


def test_a_wrong_exact_mean_is_seen(request):
    """A mutant: the mean of the control with lambda twice too large would move the estimate to a false theory."""
    taker, _ = sampler(request, "uv", "drift")
    run = taker.run(3e-5, 2048, ("test",))
    control = taker.control(3e-5)
    wrong = type(control)(control.linear, control.rows, lambda sigmas: 2 * control.mean(sigmas))
    taker._controls[3e-5] = wrong
    with pytest.raises(ControlMismatch, match="standard errors from its exact"):
        taker.rows(run, 3e-5)


def test_antithetic_signs_help_the_normal_offset_and_not_the_drift(request, uv):
    """theta with all signs turned: odd orders of the noise cancel, which the offset is free of, and the drift too."""
    taker, _ = sampler(request, "uv", "drift")
    point, strength = taker.measurement.problem.start, 1e-5
    sigmas = taker.sigmas(strength)
    normal = LocalGeometry.at(taker.model, point).normal[:, 0]
    one = simulate(uv, taker.algorithm, sigmas, point, 1000, [0, 400])
    turned = simulate(uv, taker.algorithm, sigmas, point, 1000, [0, 400], antithetic=True)
    plain = normal @ (one.points[1] - point[:, None])
    pairs = 0.5 * (plain + normal @ (turned.points[1] - point[:, None]))
    assert plain.var() / pairs.var() > 1e3
    drift, again = (
        simulate(uv, taker.algorithm, sigmas, point, 1000, [0, 400], settle=True, antithetic=a).points[1, 0]
        for a in (False, True)
    )
    # A pair costs two runs: it would have to halve the variance.
    assert (0.5 * (drift + again)).var() > 0.5 * drift.var()


def test_regressed_controls_do_not_bias_a_trajectory(request):
    """Coefficients from other data: the mean is that of the plain rows, with an error that is far smaller."""
    taker, _ = sampler(request, "tanh", "trajectory")
    strength = taker.measurement.admissible(2e-3)
    first = taker.run(strength, 256, ("pilot",), controlled=False)
    taker.refer_to(first.points.mean(axis=2))
    taker.regress(taker.run(strength, 384, ("regression",)), strength)
    run = taker.run(strength, 1024, ("main",))
    plain = taker.measurement.reduce(run.points, run.schedule, strength)
    rows = taker.rows(run, strength)
    assert taker.gain > 10
    errors = plain.std(axis=0) / np.sqrt(len(plain))
    assert np.all(np.abs(plain.mean(axis=0) - rows.mean(axis=0)) < 5 * errors)
    assert claim_key("main") in run.key


@pytest.mark.parametrize("name", MODELS)
def test_the_normal_offset_is_the_derived_one(request, name):
    """E[theta - Phi(theta)] by antithetic pairs, and H m = -(1/2) D3L[S]."""
    model, algorithm, start = setting(name)
    problem = predict(model, algorithm, Claim("drift"), np.array(start)).problem
    how = measurement(replace(problem, kind="normal-offset"), algorithm.lr)
    kernel = request.getfixturevalue(name.split("-")[0])
    ladder = Ladder(model, algorithm, kernel, how, seed=1, threads=None, progress=Silent())
    theory, local = Derived(model, algorithm), LocalGeometry.at(model, problem.start)
    expected = theory.normal_offset(local)
    measured = ladder.run(Goal(0.02 * float(np.linalg.norm(expected)), 1e-4, 30.0))
    assert measured.trouble == ""
    assert measured.gain > 1e3
    error = np.linalg.norm(measured.estimate.value - expected) / np.linalg.norm(expected)
    # Half of an interval of 2 % at level 1e-4 is 4 standard errors.
    assert error < 0.02
    # The comparison can fail: half of it is refuted.
    assert np.linalg.norm(0.5 * expected - measured.estimate.value) > 0.4 * np.linalg.norm(expected)
