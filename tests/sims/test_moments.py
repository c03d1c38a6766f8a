"""Moments in the kernel against the recorded path, and what they may not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import blocks, codegen, moments
from flatmin.sims.cache import load_module
from flatmin.sims.engine import simulate
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.moments import average
from flatmin.sims.random import block_words
from flatmin.theory import Algorithm, InvalidInput, LabelNoise, Model
from indexed_models import difference_model, start
from indexed_models import tanh_model as indexed_tanh
from kernel_models import interpolated, uv_model


def sgd(batch, law="rademacher", lr=0.1, sampling="with-replacement"):
    return Algorithm(lr=lr, batch_size=batch, sampling=sampling, noise=LabelNoise(0.1, law))


# More sums than registers, of pairs of parameters: in parts, the last of which takes two vectors in turn.
@pytest.fixture(scope="module")
def four():
    a, b, c, d = sp.symbols("a b c d", real=True)
    return Kernel.for_model(Model((a, b, c, d), [a * b + c * d], y=[0.5]))


CASES = [("uv", [2.0, 0.5], "full"), ("pair", [2.0, 0.5, -0.25], 1), ("tanh", [2.0, 1.3, -0.27], 1)]
CASES += [("tanh", [2.0, 1.3, -0.27], "full"), ("tanh", [2.0, 1.3, -0.27], 3), ("pair", [2.0, 0.5, -0.25], "full")]
CASES += [("four", [0.5, 0.6, 0.7, 0.8], "full")]
CASES = [(*case, "with-replacement") for case in CASES]
CASES += [("tanh", [2.0, 1.3, -0.27], 1, "without-replacement"), ("pair", [2.0, 0.5, -0.25], 2, "without-replacement")]


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
@pytest.mark.parametrize(("name", "start", "batch", "sampling"), CASES)
def test_moments_are_those_of_the_path(request, name, start, batch, law, sampling):
    kernel = request.getfixturevalue(name)
    algorithm, sigmas = sgd(batch, law, sampling=sampling), np.linspace(0.1, 0.2, kernel.model.n)
    got = average(kernel, algorithm, sigmas, start, 70, 200, burn_in=30, seed=3)
    points = simulate(kernel, algorithm, sigmas, start, 70, range(30, 200), seed=3).points
    rows = np.moveaxis(points, 1, -1).reshape(-1, kernel.model.d)
    assert got.count == len(rows) == 170 * 70
    # Sums of 12,000 numbers of order 1 that are held for 64 steps before the shift: some hundred ulp.
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.covariance, np.cov(rows.T, bias=True), rtol=0, atol=1e-12)


def test_many_parameters_have_their_squares_alone():
    theta = sp.symbols("t:18", real=True)
    model = Model(theta, [sum(theta[k] * theta[k + 9] for k in range(9))], y=[0.5])
    kernel, start = Kernel.for_model(model), np.linspace(0.1, 0.6, 18)
    got = average(kernel, sgd("full"), [0.1], start, 70, 200, seed=3)
    points = simulate(kernel, sgd("full"), [0.1], start, 70, range(200), seed=3).points
    rows = np.moveaxis(points, 1, -1).reshape(-1, 18)
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.covariance, np.var(rows, axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("lr", [0.1, 0.5])
def test_progress_counts_each_step_of_a_replica_once(uv, lr):
    """With the larger rate replicas leave their bounds, and full blocks run again."""
    seen = []
    got = average(uv, sgd("full", "gaussian", lr), [0.6], [2.0, 0.5], 140, 500, seed=2, on_progress=seen.append)
    assert (got.count < 140 * 500) == (lr == 0.5)
    assert sum(seen) == got.replica_steps == 140 * 500


def test_a_small_variance_is_not_lost_in_a_large_mean(uv):
    """sigma = 1e-4 spreads u by 6e-6 around 2, a variance 10^11 times smaller than the mean square."""
    start = [2.0, 0.5]
    got = average(uv, sgd("full"), [1e-4], start, 64, 2000, burn_in=500)
    points = simulate(uv, sgd("full"), [1e-4], start, 64, range(500, 2000)).points - np.array(start)[:, None]
    exact = np.cov(np.moveaxis(points, 1, -1).reshape(-1, 2).T, bias=True)
    # An ulp of the mean square, 4e-16, over the variance of 4e-11; one sum of 96,000 squares would lose 100 times more.
    np.testing.assert_allclose(np.diag(got.covariance), np.diag(exact), rtol=2e-5)


@pytest.mark.parametrize("model", [uv_model(), interpolated(3), interpolated(70), indexed_tanh(size=5, n=3)], ids=str)
@pytest.mark.parametrize("batch", ["full", 1])
def test_threads_and_cuts_change_no_bit(model, batch, monkeypatch):
    """Cuts follow the clock; from one sample on to more than one word has signs for, and replicas one by one."""
    kernel = Kernel.for_model(model)
    start = np.linspace(0.3, 0.6, model.d)

    def run(threads, size):
        monkeypatch.setattr(moments, "next_size", lambda steps, seconds: size)
        got = average(kernel, sgd(batch, lr=0.01), None, start, 100, 2500, burn_in=5, threads=threads)
        return got.mean, got.covariance

    expected = run(1, 2500)
    for threads, size in ((2, 2500), (1, 1), (2, 333)):
        for got, wanted in zip(run(threads, size), expected, strict=True):
            assert np.array_equal(got, wanted)


def test_replicas_out_of_bounds_do_not_count(uv):
    got = average(uv, sgd("full", "gaussian", lr=0.5), [0.8], [2.0, 0.5], 256, 400, seed=2)
    out = got.status >= 0
    assert 0 < out.sum() < 256
    assert got.count == 400 * int((~out).sum())
    # Those that stayed are counted, though some share their sums with others that did not.
    points = simulate(uv, sgd("full", "gaussian", lr=0.5), [0.8], [2.0, 0.5], 256, range(400), seed=2).points
    rows = np.moveaxis(points[:, :, ~out], 1, -1).reshape(-1, 2)
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.covariance, np.cov(rows.T, bias=True), rtol=1e-11)


def test_blocks_taken_together_are_those_taken_alone(uv, monkeypatch):
    """In one thread 41 blocks make tasks of three; some replicas leave."""

    def run():
        return average(uv, sgd("full", "gaussian", lr=0.5), [0.6], [2.0, 0.5], 64 * 40 + 5, 200, burn_in=20, threads=1)

    together = run()
    monkeypatch.setattr(blocks, "_MOST_TOGETHER", 1)
    alone = run()
    assert 0 < np.sum(alone.status >= 0) < 2000
    for name in ("mean", "covariance", "status"):
        assert np.array_equal(getattr(together, name), getattr(alone, name))


def test_replicas_out_of_bounds_do_not_count_where_no_sums_are_shared():
    """Of a model over an index each replica has sums of its own."""
    model, algorithm = difference_model(), Algorithm(0.1, 2, LabelNoise(0.5))
    kernel = Kernel.for_algorithm(model, algorithm)
    assert kernel.sharing == 1
    how = (None, start(model), 100)
    got = average(kernel, algorithm, *how, 60, seed=2)
    path = simulate(kernel, algorithm, *how, range(61), seed=2)
    stayed = path.status < 0
    assert 0 < stayed.sum() < 100
    assert np.array_equal(got.status < 0, stayed)
    rows = np.moveaxis(path.points[:60, :, stayed], 1, -1).reshape(-1, model.d)
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=0, atol=1e-12)


def test_burn_in_must_be_shorter_than_the_run(uv):
    with pytest.raises(InvalidInput, match="burn_in=10 must be at least 0 and below steps=10"):
        average(uv, sgd("full"), [0.1], [2.0, 0.5], 64, 10, burn_in=10)


@pytest.mark.parametrize(("name", "lanes"), [("uv", 128), ("uv", 32), ("tanh", 32)])
@pytest.mark.parametrize("sampling", [FULL, WITH_REPLACEMENT, WITHOUT_REPLACEMENT])
def test_the_lane_width_changes_no_bit(request, name, lanes, sampling):
    kernel = request.getfixturevalue(name)
    text = kernel.source.replace("LANES = 64", f"LANES = {lanes}")
    assert text != kernel.source
    start, n = np.array({"uv": [2.0, 0.5], "tanh": [2.0, 1.3, -0.27]}[name]), kernel.model.n

    def paths(module, width):
        found = []
        for block in range(128 // width):
            words = np.concatenate([block_words(5, (1,), block, width).ravel(), np.zeros(width, dtype=np.uint64)])
            state = (np.repeat(start, width), words, np.repeat(np.arange(n, dtype=np.uint64), width))
            out, status = np.empty((2, len(start) * width)), np.full(width, -1)
            data = (kernel.model.x, kernel.model.y, np.full(n, 0.1))
            module.advance(*state, status, 0, np.array([70, 200]), out, *data, 0.1, n, sampling, RADEMACHER, 1e6)
            found.append(out.reshape(2, len(start), width))
        return np.concatenate(found, axis=2)

    assert np.array_equal(paths(load_module(text), lanes), paths(kernel.module, 64))


def test_many_parameters_have_squares_alone():
    assert codegen.moment_pairs(2) == [(0, 0), (0, 1), (1, 1)]
    assert codegen.moment_pairs(17) == [(j, j) for j in range(17)]
