"""Kernels of models over indexed parameters: the same draws and steps as the replay, whatever is cut out of a run."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import cache
from flatmin.sims.engine import simulate
from flatmin.sims.indexed_codegen import features, generate_indexed, generate_indexed_moments
from flatmin.sims.lanes import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.theory import Algorithm, LabelNoise
from flatmin.theory.indexed import IndexedModel
from indexed_models import J, based, data, difference_model, net_model, start, tanh_model
from indexed_runs import LR, advance, fresh, replayed
from kernel_models import WholeKernel

LAYOUTS = {"difference": difference_model, "tanh": tanh_model, "net": net_model}


@pytest.fixture(scope="session")
def kernels():
    return {name: WholeKernel.for_model(make()) for name, make in LAYOUTS.items()}


class Other:
    """A kernel with other data."""

    def __init__(self, model, kernel):
        self.model, self.module = model, kernel.module


# Batches in one pass of four or eight samples, in several, and with samples that fill up.
CASES = [(FULL, 10), *((WITH_REPLACEMENT, b) for b in (1, 4, 5, 8, 21, 29)), (WITHOUT_REPLACEMENT, 9)]


@pytest.mark.parametrize("law", [RADEMACHER, GAUSSIAN])
@pytest.mark.parametrize(("sampling", "batch"), CASES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_equals_the_replay(kernels, name, sampling, batch, law):
    kernel, arguments = kernels[name], {"sampling": sampling, "batch": batch, "law": law}
    got = advance(kernel, fresh(kernel.model, 3), range(1, 15), **arguments)
    # 14 steps of sums of some 100 terms of order 1, a few ulp each.
    np.testing.assert_allclose(got, replayed(kernel.model, 3, 14, **arguments), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [3, 64, 65, 130])
def test_full_batches_equal_the_replay_whatever_a_word_has_bits_for(kernels, n):
    """A word has the signs of 21 steps, of one, and of a part of one."""
    model = difference_model(n=n)
    arguments = {"sampling": FULL, "batch": n, "law": RADEMACHER}
    sigmas = np.linspace(0.1, 0.3, n)
    got = advance(Other(model, kernels["difference"]), fresh(model, 3), range(1, 25), **arguments)
    np.testing.assert_allclose(got, replayed(model, 3, 24, sigmas, **arguments), rtol=0, atol=1e-11)


@pytest.mark.parametrize("sampling", [WITH_REPLACEMENT, WITHOUT_REPLACEMENT])
@pytest.mark.parametrize("name", LAYOUTS)
def test_equals_the_replay_with_signs_of_one_size(kernels, name, sampling):
    model, arguments = kernels[name].model, {"sampling": sampling, "batch": 5, "law": RADEMACHER}
    arguments["sigmas"] = np.full(model.n, 0.2)
    got = advance(kernels[name], fresh(model, 3), range(1, 15), **arguments)
    np.testing.assert_allclose(got, replayed(model, 3, 14, **arguments), rtol=0, atol=1e-12)


def test_the_comparison_notices_other_draws(kernels):
    model = kernels["net"].model
    got = advance(kernels["net"], fresh(model, 3), [14], sampling=WITH_REPLACEMENT, batch=4)[0]
    other = replayed(model, 3, 14, sampling=WITH_REPLACEMENT, batch=5, law=RADEMACHER)[-1]
    assert np.max(np.abs(got - other)) > 1e-4


def test_a_wrong_slope_in_the_text_is_noticed(kernels):
    model, text = kernels["difference"].model, kernels["difference"].source
    (line,) = re.findall(r"^t\d+ = sub c0 t\d+$", text, re.MULTILINE)
    kernel = WholeKernel.from_source(model, text.replace(line, line.replace("sub", "add")))
    arguments = {"sampling": FULL, "batch": model.n, "law": RADEMACHER}
    got = advance(kernel, fresh(model, 3), [14], **arguments)[0]
    assert np.max(np.abs(got - replayed(model, 3, 14, **arguments)[-1])) > 1e-6


@pytest.mark.parametrize("name", LAYOUTS)
def test_step_is_the_finite_difference_of_the_loss(kernels, name):
    model, lr, h = kernels[name].model, 1e-2, 1e-6
    got = advance(kernels[name], fresh(model, 1), [1], sigmas=np.zeros(model.n), lr=lr, batch=model.n, sampling=FULL)
    theta, direction = start(model), np.random.default_rng(4).normal(size=model.d)
    difference = (model.loss(theta + h * direction) - model.loss(theta - h * direction)) / (2 * h)
    # h^2 times third derivatives of order 100, and rounding: of the loss over h, of theta over lr.
    assert (theta - got[0, :, 0]) / lr @ direction == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_replica_does_not_depend_on_how_many_there_are(kernels, name):
    kernel = kernels[name]
    many = advance(kernel, fresh(kernel.model, LANES), [9, 40])
    for replicas in (1, 2, 7):
        np.testing.assert_array_equal(advance(kernel, fresh(kernel.model, replicas), [9, 40]), many[:, :, :replicas])


@pytest.mark.parametrize(("sampling", "batch"), [(FULL, 10), (WITH_REPLACEMENT, 4), (WITHOUT_REPLACEMENT, 9)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_same_bits_when_cut(kernels, name, sampling, batch):
    kernel, arguments = kernels[name], {"sampling": sampling, "batch": batch}
    whole, parts = fresh(kernel.model, 5), fresh(kernel.model, 5)
    advance(kernel, whole, [300], **arguments)
    # 96 is a multiple of max(1, 64 // 10) * 16.
    for first, last in ((0, 96), (96, 288), (288, 300)):
        advance(kernel, parts, [last], first=first, **arguments)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def wave_model(size=9, n=6):
    """f = sum_j sin(u_j) x_j + |v_j|^1.5 x_j^2, with functions that only a library has."""
    u, v, x = based(u=(size,), v=(size,), x=(size,))
    f = sp.Sum(sp.sin(u[J]) * x[J] + sp.Abs(v[J]) ** sp.Rational(3, 2) * x[J] ** 2, (J, 0, size - 1))
    xs, y = data(n, size)
    return IndexedModel([u, v], f, inputs=x, x=xs, y=y)


@pytest.mark.parametrize("name", ['a"""b', "u\\x", "é\n", 'q"'])
def test_names_stand_in_no_code(name):
    """They are in the docstring of the module alone, and cannot end it."""
    u, x = sp.IndexedBase(name, shape=(3,)), sp.IndexedBase("x", shape=(3,))
    model = IndexedModel([u], sp.Sum(u[J] ** 2 * x[J], (J, 0, 2)), inputs=x, x=[[1.0, 2.0, 3.0]], y=[1.0])
    text = generate_indexed(model)
    assert ast.get_docstring(ast.parse(text)) is not None
    assert name not in text.split("\n\nimport ")[1]


@pytest.mark.parametrize("make", [difference_model, lambda: difference_model(size=40), wave_model])
def test_same_bits_when_every_step_is_looked_at(make):
    """Then no pass over the index ends a step and begins the next one, as it does for four samples or fewer.

    With 40 entries it is a loop, with few it is not.
    """
    kernel = WholeKernel.for_model(make())
    for sampling, batch in [(WITH_REPLACEMENT, 1), (WITH_REPLACEMENT, 3), (WITHOUT_REPLACEMENT, 4)]:
        arguments = {"sampling": sampling, "batch": batch}
        path = advance(kernel, fresh(kernel.model, 5), range(1, 21), **arguments)
        np.testing.assert_array_equal(advance(kernel, fresh(kernel.model, 5), [20], **arguments)[0], path[-1])
        replay = replayed(kernel.model, 5, 20, law=RADEMACHER, **arguments)
        np.testing.assert_allclose(path, replay, rtol=0, atol=1e-11)  # some ulp of each of 20 steps


def test_start_is_recorded_and_checked_when_the_schedule_asks_for_it(kernels):
    model = kernels["net"].model
    state = fresh(model, 2)
    got = advance(kernels["net"], state, [0, 1], bound=1e-3)
    np.testing.assert_array_equal(got[0], np.repeat(start(model)[:, None], 2, axis=1))
    np.testing.assert_array_equal(state[3][:3], [0, 0, -1])


@pytest.mark.parametrize("name", LAYOUTS)
def test_divergence_is_flagged_in_the_replicas_where_it_happens(kernels, name):
    kernel, model = kernels[name], kernels[name].model
    state = fresh(model, 4)
    state[0].reshape(model.d, 4)[0, 2] = np.nan
    got = advance(kernel, state, [500], bound=1e3)
    # It is seen at the first step that is a multiple of 16 * (64 // 10).
    np.testing.assert_array_equal(state[3][:4], [-1, -1, 96, -1])
    assert np.isfinite(got[0][:, [0, 1, 3]]).all()
    state = fresh(model, 4)
    advance(kernel, state, [3, 500], lr=1e3, bound=1e3)
    np.testing.assert_array_equal(state[3][:4], 3)


@pytest.mark.parametrize("name", LAYOUTS)
def test_without_noise_a_zero_loss_point_stays(kernels, name):
    model = kernels[name].model
    theta = start(model)
    y = model.samples.value(theta)
    out = np.empty((1, model.d * 2))
    arguments = (model.x, y, np.zeros(model.n), LR, 4, WITH_REPLACEMENT, RADEMACHER, np.inf)
    kernels[name].module.advance(*fresh(model, 2), 0, np.array([50]), out, *arguments)
    # The kernel rounds f otherwise than NumPy does: residuals of 1e-15, and 50 steps.
    np.testing.assert_allclose(out.reshape(-1, 2), np.repeat(theta[:, None], 2, axis=1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", LAYOUTS)
def test_descend_comes_to_rest_where_the_gradient_vanishes(kernels, name):
    model = kernels[name].model
    theta, settled = np.repeat(start(model), 3), np.zeros(LANES, dtype=np.bool_)
    theta.reshape(-1, 3)[0, 1] = np.inf  # is not waited for
    steps = kernels[name].module.descend(theta, settled, model.x, model.y, 0.05, 1e-9, 1e6, 20_000)
    assert 16 <= steps < 20_000
    assert steps % 16 == 0
    np.testing.assert_array_equal(settled[:3], [True, False, True])
    # A last step below 1e-9 at a learning rate of 0.05.
    np.testing.assert_allclose(model.gradient(theta.reshape(-1, 3)[:, 0]), 0, atol=2e-8)
    few = kernels[name].module.descend(np.repeat(start(model), 3), settled, model.x, model.y, 0.05, 1e-9, 1e6, 20)
    assert few == 32
    assert not settled[:3].any()


@pytest.mark.parametrize(("sampling", "batch"), [(FULL, 10), (WITH_REPLACEMENT, 21)])
@pytest.mark.parametrize("name", ["difference", "net"])
def test_moments_are_sums_over_the_path(kernels, name, sampling, batch):
    kernel, model = kernels[name], kernels[name].model
    replicas, steps, shift = 3, 31, start(model) + 0.1
    path = advance(kernel, fresh(model, replicas), range(steps), sampling=sampling, batch=batch) - shift[:, None]
    state, sums = fresh(model, replicas), np.full(2 * model.d * replicas, 5.0)
    sigmas = np.linspace(0.1, 0.3, model.n)
    arguments = (shift, model.x, model.y, sigmas, LR, batch, sampling, RADEMACHER, np.inf)
    kernel.prepare(sampling, RADEMACHER, moments=True).accumulate(*state, 0, steps, sums, *arguments)
    expected = np.concatenate([path.sum(axis=0), (path**2).sum(axis=0)])
    # 31 terms of order 1, a few ulp each.
    np.testing.assert_allclose(sums.reshape(-1, replicas) - 5.0, expected, rtol=0, atol=1e-12)
    # And the run itself is the same, to rounding: another text, which the compiler may order otherwise.
    end = advance(kernel, fresh(model, replicas), [steps], sampling=sampling, batch=batch)[0]
    np.testing.assert_allclose(state[0].reshape(-1, replicas), end, rtol=0, atol=1e-13)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(sums.reshape(-1, replicas) - 5.0, expected[::-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["difference", "net"])
def test_moments_have_the_same_bits_when_cut(kernels, name):
    model, kernel = kernels[name].model, kernels[name]
    module = kernel.prepare(WITH_REPLACEMENT, RADEMACHER, moments=True)
    arguments = (start(model), model.x, model.y, np.full(model.n, 0.2), LR, 4, WITH_REPLACEMENT, RADEMACHER, 1e6)
    found = []
    for cuts in ((0, 200), (0, 96, 192, 200)):
        state, sums = fresh(model, 2), np.zeros((len(cuts) - 1, 2 * model.d * 2))
        for k, (first, last) in enumerate(pairwise(cuts)):
            module.accumulate(*state, first, last, sums[k], *arguments)
        found.append((*state, sums.sum(axis=0)))
    for a, b in zip(*(f[:-1] for f in found), strict=True):
        np.testing.assert_array_equal(a, b)
    # Sums of 200 terms that are added up in two orders.
    np.testing.assert_allclose(found[0][-1], found[1][-1], rtol=0, atol=1e-11)


def test_features_of_an_input():
    u, v, x = sp.symbols("u v x", real=True)
    assert features((u**2 - v**2) * x, x) == {x: u**2 - v**2}
    assert features((u * x + v) ** 2, x) == {x**2: u**2, x: 2 * u * v, 1: v**2}
    assert features((u - 1) ** 20 * sp.sin(x), x) == {sp.sin(x): (u - 1) ** 20}
    assert features(u * sp.tanh(v * x), x) is None
    assert features((u + x) ** 9, x) is None  # ten features


def test_sizes_alone_are_in_the_text():
    model, other = difference_model(), difference_model()
    other.x[:], other.y[:] = 1.0, 2.0
    assert generate_indexed(model) == generate_indexed(other)
    assert generate_indexed(model) != generate_indexed(difference_model(size=12))


@pytest.mark.parametrize("name", LAYOUTS)
def test_hot_loops_are_vector_code(kernels, name, tmp_path):
    assembly = cache.assembly(cache.build_module(kernels[name].source, tmp_path))
    body = assembly[assembly.index("3run") :]
    vectors = len(re.findall(r"\bvfn?m(?:add|sub)\d+pd\b", body))
    numbers = len(re.findall(r"\bvfn?m(?:add|sub)\d+sd\b", body))
    if not vectors and not numbers:
        pytest.skip("this processor has no fused multiply-add, or other names for it")
    # Some processors do the remainder of a loop one number at a time: one copy of the body, where vectors have several
    # side by side. A loop that fell back to scalar code has no vectors at all.
    assert vectors > 2 * numbers


def test_simulate_from_end_to_end(kernels):
    model = kernels["difference"].model
    sgd = Algorithm(lr=LR, batch_size=4, noise=LabelNoise(sigma=0.2))
    run = simulate(kernels["difference"], sgd, np.full(model.n, 0.2), start(model), 70, [0, 50, 300], seed=5)
    again = simulate(kernels["difference"], sgd, np.full(model.n, 0.2), start(model), 70, [50, 300], seed=5, threads=1)
    assert run.points.shape == (3, model.d, 70)
    assert not run.failed.any()
    np.testing.assert_array_equal(run.points[1:], again.points)
    assert len(np.unique(run.points[2, 0])) == 70


def test_one_parameter_and_one_sample():
    u, x = based(u=(1,), x=(1,))
    xs, y = data(1, 1)
    model = IndexedModel([u], sp.Sum(u[J] * x[J], (J, 0, 0)), inputs=x, x=xs, y=y)
    text = generate_indexed(model)
    assert "SIZE = 1\n" in text
    assert "SIZE = 1\n" in generate_indexed_moments(model)
