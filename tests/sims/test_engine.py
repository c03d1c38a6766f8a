from __future__ import annotations

import _thread
import signal
import threading
import time

import numpy as np
import pytest
from flatmin.sims import blocks, engine
from flatmin.sims.cache import build_module
from flatmin.sims.control import LinearControl
from flatmin.sims.engine import SimulationStopped, simulate
from flatmin.sims.kernel import Kernel
from flatmin.sims.kernel_ways import Way, way_text
from flatmin.sims.lanes import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.random import block_words
from flatmin.sims.replay import KernelMismatch, check_kernel, draws, replay
from flatmin.theory import Algorithm, InvalidInput, LabelNoise
from kernel_models import WholeKernel, interpolated, on_gamma, tanh_model

GAMMA = on_gamma()


def sgd(lr=0.1, batch="full", law="rademacher", sampling="with-replacement", sigma=0.1):
    return Algorithm(lr=lr, batch_size=batch, noise=LabelNoise(sigma, law), sampling=sampling)


def with_data(kernel, model):
    """The same compiled modules with other data."""
    other = WholeKernel.for_model(model)
    assert other.module is kernel.module
    return other


def equal(a, b):
    return np.array_equal(a.points, b.points, equal_nan=True) and np.array_equal(a.status, b.status)


@pytest.mark.parametrize(
    ("batch", "sampling"),
    [("full", "with-replacement"), (2, "without-replacement"), (1, "with-replacement"), (3, "with-replacement")],
)
def test_threads_and_cuts_change_no_bit(uv, tanh, monkeypatch, batch, sampling):
    schedule = [0, 1, 7, 64, 100, 1001, 5000]
    cases = [(uv, sgd(), [0.1], [2.0, 0.5])] if batch == "full" else []
    cases += [(with_data(tanh, interpolated(5)), sgd(batch=batch, sampling=sampling), np.full(5, 0.1), GAMMA)]
    for kernel, algorithm, sigmas, start in cases:
        one = simulate(kernel, algorithm, sigmas, start, 200, schedule, (1,), 5, threads=1)
        assert equal(one, simulate(kernel, algorithm, sigmas, start, 200, schedule, (1,), 5, threads=2))
        with monkeypatch.context() as patch:
            patch.setattr(engine, "next_size", lambda steps, seconds: 90)
            assert equal(one, simulate(kernel, algorithm, sigmas, start, 200, schedule, (1,), 5, threads=2))


# Batches of one take halves of a word by the number of the step, and passes end after 21, 7 and 3 steps: odd numbers.
# From nine samples on entries of permutations are exchanged one by one.
@pytest.mark.parametrize("sampling", [WITH_REPLACEMENT, WITHOUT_REPLACEMENT])
@pytest.mark.parametrize(("n", "batch"), [(3, 1), (3, 2), (3, 3), (8, 7), (9, 1), (9, 4), (20, 1), (20, 20)])
def test_drawn_batches_equal_the_replay_where_words_are_used_up(tanh, n, batch, sampling):
    kernel = with_data(tanh, interpolated(n))
    words, schedule, sigmas = block_words(0, (), 0, LANES), np.arange(1, 71), np.linspace(0.1, 0.2, n)
    arguments = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": RADEMACHER}
    block = kernel.block(np.array(GAMMA), words)
    out = np.empty((len(schedule), 3 * LANES))
    kernel.advance(block, 0, schedule, out, sigmas, bound=np.inf, **arguments)
    path = replay(kernel.model, np.array(GAMMA), words, sigmas, steps=70, **arguments)
    np.testing.assert_allclose(out.reshape(path.shape), path, rtol=0, atol=1e-11)
    # What is left is a permutation for each replica, another than at first.
    left = block.order.reshape(n, -1)
    assert np.array_equal(np.sort(left, axis=0), np.broadcast_to(np.arange(n)[:, None], left.shape))
    assert (sampling == WITHOUT_REPLACEMENT) == (len(np.unique(left, axis=1).T) > 1)


@pytest.mark.parametrize("n", [3, 9])
@pytest.mark.parametrize("sampling", ["with-replacement", "without-replacement"])
def test_the_linear_process_makes_the_draws_of_the_replicas(tanh, n, sampling):
    """It is compared with their generators at the end, and its permutations with theirs by what it explains."""
    kernel, algorithm = with_data(tanh, interpolated(n)), sgd(lr=0.01, batch=2, sampling=sampling, sigma=0.01)
    control = LinearControl(kernel.model, algorithm, np.array([GAMMA]), [0], [100])
    run = simulate(kernel, algorithm, np.full(n, 0.01), GAMMA, 256, [100], control=control)
    left = run.points[0] - np.array(GAMMA)[:, None] - run.linear[0]
    assert left.std() < 0.05 * run.linear[0].std()


def test_blocks_handled_together_are_those_handled_alone(uv, monkeypatch):
    """In one thread 41 blocks make tasks of three; some replicas leave."""
    algorithm, start = sgd(lr=0.5, law="gaussian", sigma=0.6), [2.0, 0.5]
    control = LinearControl(uv.model, algorithm, np.array([start]), [0], [40, 100])

    def run():
        return simulate(uv, algorithm, None, start, 64 * 40 + 5, [0, 40, 100], threads=1, settle=True, control=control)

    together = run()
    monkeypatch.setattr(blocks, "_MOST_TOGETHER", 1)
    alone = run()
    assert 0 < np.sum(alone.status >= 0) < 2000
    assert equal(together, alone)
    for name in ("settled", "linear", "second", "ends"):
        assert np.array_equal(getattr(together, name), getattr(alone, name))


def test_fewer_replicas_are_the_first_ones(uv):
    many = simulate(uv, sgd(), [0.1], [2.0, 0.5], 130, [100], seed=1)
    few = simulate(uv, sgd(), [0.1], [2.0, 0.5], 70, [100], seed=1)
    assert np.array_equal(many.points[:, :, :70], few.points)
    assert len(np.unique(many.points[0, 0])) > 100


def test_seed_and_key_choose_the_numbers(uv):
    runs = [simulate(uv, sgd(), [0.1], [2.0, 0.5], 64, [99], key, seed) for key, seed in (((), 0), ((), 1), ((1,), 0))]
    assert all(not np.array_equal(a.points, b.points) for a in runs for b in runs if a is not b)


@pytest.mark.parametrize(("batch", "sampling"), [("full", "with-replacement"), (3, "with-replacement")])
def test_without_noise_gamma_is_not_left(uv, pair, batch, sampling):
    # u v = 1 and u w = -1/2 hold exactly in floating point, so nothing moves at all.
    for kernel, start in ((uv, [2.0, 0.5]), (pair, [2.0, 0.5, -0.25])):
        run = simulate(kernel, sgd(0.3, batch), np.zeros(kernel.model.n), start, 70, [0, 1000], settle=True)
        assert np.array_equal(run.points, np.broadcast_to(np.array(start)[:, None], run.points.shape))
        assert run.settled.all()
        assert not run.failed.any()


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_imbalance_of_uv_obeys_its_identity(uv, law):
    """q = u^2 - v^2 obeys q' = q (1 - eta^2 r^2), r = uv - 1 - eps, whatever eps is: exactly solvable."""
    lr, sigma, steps = 0.2, 0.3, 100
    run = simulate(uv, sgd(lr, law=law), [sigma], [2.0, 0.5], 64, range(steps + 1), seed=4)
    noise = np.array([eps[0] for _, eps in draws(block_words(4, (), 0, 64), 1, 1, FULL, _id(law), steps)])
    u, v = run.points[:, 0], run.points[:, 1]
    r = (u * v - 1)[:-1] - sigma * noise
    q = u**2 - v**2
    # Each side is rounded a few times at the size of u^2 + v^2.
    scale = (u**2 + v**2)[1:] + (u**2 + v**2)[:-1]
    assert np.max(np.abs(q[1:] - q[:-1] * (1 - lr**2 * r**2)) / scale) < 16 * 2.0**-53
    assert np.min(np.abs(q[1:] - q[:-1]).max(axis=1)) > 1e-4, "the identity is not tested where nothing moves"


def _id(law):
    return GAUSSIAN if law == "gaussian" else RADEMACHER


@pytest.mark.parametrize("batch", ["full", 10])
def test_more_samples_than_bits_in_a_word(tanh, batch):
    model = interpolated(150)
    kernel = with_data(tanh, model)
    check_kernel(kernel, GAMMA, model.n, FULL, RADEMACHER)
    run = simulate(kernel, sgd(0.1, batch), np.full(150, 0.1), GAMMA, 64, [300])
    assert not run.failed.any()
    assert np.all(run.points.std(axis=-1) > 0)


def variance_ratio(kernel):
    """Variance of one step's noise over lr^2 sigma^2/B, along the gradient, where all samples are the same."""
    model, batch, lr, sigma = kernel.model, 6, 0.1, 0.5
    run = simulate(kernel, sgd(lr, batch), np.full(model.n, sigma), GAMMA, 20_000, [1])
    g = model.samples.jacobian(GAMMA)[0]
    moved = (run.points[0] - GAMMA[:, None]).T @ g / (g @ g)
    return moved.var() / (lr**2 * sigma**2 / batch)


def twins():
    """Two equal samples: with signs shared by equal indices the variance would be 1 + (B-1)/n = 3.5 times larger."""
    x = np.array([[1.0], [1.0]])
    return tanh_model(x, 1.3 * np.tanh(2.0 * x[:, 0]) - 0.27 * x[:, 0])


def test_equal_indices_have_signs_of_their_own(tanh):
    # The variance of 20,000 sums of 6 signs has a standard error below sqrt(2/20000) = 0.01.
    assert variance_ratio(with_data(tanh, twins())) == pytest.approx(1, abs=0.05)


def test_a_kernel_that_shares_signs_is_caught(tanh, monkeypatch):
    """A mutant: the signs of equal indices in a batch are the same, as in a wrong reading of Algorithm 1."""
    right = "noise[k] = flip(1.0, code, 0)"
    assert tanh.source.count(right) == 1
    # Draws take their sign from bit number `index` of the first draw's word, which the unused `order` keeps.
    wrong = (
        "order[k] = words[4 * LANES + k] if b == 0 else order[k]\n            noise[k] = flip(1.0, order[k], index[k])"
    )
    # Draws with their signs in one pass, and targets with noise for it, are switched off, so that these are made.
    apart = tanh.source
    for at_once in ("elif law == RADEMACHER", "if sampling != FULL or in_words"):
        assert at_once in apart
        apart = apart.replace(at_once, at_once[: at_once.index("if") + 2] + " False")
    check_kernel(Kernel.from_source(twins(), apart), GAMMA, 6, WITH_REPLACEMENT, RADEMACHER)
    mutant = Kernel.from_source(twins(), apart.replace(right, wrong))
    with pytest.raises(KernelMismatch, match="differs from its replay"):
        check_kernel(mutant, GAMMA, 6, WITH_REPLACEMENT, RADEMACHER)
    monkeypatch.setattr(blocks, "check_kernel", lambda *args: None)
    assert variance_ratio(mutant) == pytest.approx(3.5, abs=0.2)


def test_divergence_is_a_status_and_stays_in_its_lane(uv):
    # eta h = 2.1 at the start and strong noise: a third of the replicas leave, not all at the same step.
    start, schedule = [2.0, 0.5], [0, 50, 400]
    run = simulate(uv, sgd(0.5, law="gaussian"), [0.8], start, 256, schedule, seed=2)
    out = run.status >= 0
    assert 0 < out.sum() < 256, "the test needs both kinds"
    assert np.isfinite(run.points[:, :, ~out]).all()
    assert not np.isfinite(run.points[-1][:, out]).all()
    assert np.array_equal(run.failed, out)
    assert len(set(run.status[out])) > 1
    assert "out of bounds from step" in repr(run)
    # Every replica that stayed is what the same draws give when followed alone.
    noise = np.array([e[0] for _, e in draws(block_words(2, (), 0, 64), 1, 1, FULL, GAUSSIAN, 50)])
    u, v = np.full(64, 2.0), np.full(64, 0.5)
    with np.errstate(all="ignore"):
        for eps in noise:
            r = u * v - 1 - 0.8 * eps
            u, v = u - 0.5 * r * v, v - 0.5 * r * u
    inside = ~out[:64]
    np.testing.assert_allclose(run.points[1, 0, :64][inside], u[inside], rtol=1e-6)


def test_arguments_do_not_recompile():
    kernel = Kernel.for_model(interpolated(9, seed=3))
    n = kernel.model.n
    for lr, batch, sigma in ((0.1, n, 0.1), (0.05, 3 * n, 0.2)):
        simulate(kernel, sgd(lr, batch), np.full(n, sigma), GAMMA, 3, [5], settle=True)
    stepping, descent = kernel.prepare(WITH_REPLACEMENT, RADEMACHER), kernel._module(None)
    theta = np.zeros(3 * LANES, dtype=np.float32)
    for call in (stepping.run, descent.rest):
        with pytest.raises(TypeError, match="argument 1 must be"):
            call(*[theta] * 4, *[0] * (call.__code__.co_argcount - 4))


def test_a_way_compiles_what_it_takes_and_no_more(tanh, tmp_path):
    kernel = Kernel.for_model(tanh.model)
    for law in (RADEMACHER, GAUSSIAN):
        (tmp_path / str(law)).mkdir()
        module = build_module(way_text(kernel.source, Way(FULL, law)), tmp_path / str(law))
        assert bool(module.normals.signatures) == (law == GAUSSIAN)
        assert not module.draw.signatures
        assert not hasattr(module, "descend")
    assert not hasattr(kernel._module(None), "advance")


def test_phi_is_where_descent_without_noise_ends(tanh):
    run = simulate(tanh_on_gamma(tanh), sgd(0.05), np.full(4, 0.3), GAMMA, 10, [0, 50], settle=True)
    raw = simulate(tanh_on_gamma(tanh), sgd(0.05), np.full(4, 0.3), GAMMA, 10, [0, 50])
    model, theta = tanh_on_gamma(tanh).model, raw.points[1].T
    assert run.settled.all()
    assert np.max(np.abs(model.residuals(theta))) > 1e-3
    for _ in range(100_000):
        theta = theta - 0.05 * model.gradient(theta)
        if np.max(np.abs(model.residuals(theta))) < 1e-14:
            break
    # Rest means a step below 1e-13 (1 + max|start|) = 3e-13: what is left to go is at most that over lr h_min.
    slowest = np.linalg.eigvalsh(model.hessian(GAMMA))[0]
    np.testing.assert_allclose(run.points[1].T, theta, rtol=0, atol=2 * 3e-13 / (0.05 * slowest))
    assert 2 * 3e-13 / (0.05 * slowest) < 1e-8


def tanh_on_gamma(tanh):
    x = np.array([[1.0], [3.0], [-1.0], [0.5]])
    return with_data(tanh, tanh_model(x, 1.3 * np.tanh(2.0 * x[:, 0]) - 0.27 * x[:, 0]))


def test_progress_adds_up_and_a_run_can_be_stopped(uv):
    seen = []
    simulate(uv, sgd(), [0.1], [2.0, 0.5], 100, [10, 20_000], on_progress=seen.append)
    assert sum(seen) == 100 * 20_000
    began = time.perf_counter()
    with pytest.raises(SimulationStopped):
        simulate(uv, sgd(), [0.1], [2.0, 0.5], 1000, [10**12], should_stop=lambda: True)
    assert time.perf_counter() - began < 2


@pytest.fixture
def interrupts():
    """Interrupts, also where the shell that began the tests has them ignored (`pytest &`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("controlled", [False, True])
def test_interrupt_stops_within_a_second(uv, controlled):
    marks = [10**11, 10**12]
    control = LinearControl(uv.model, sgd(), np.array([[2.0, 0.5]]), [0], marks) if controlled else None
    # Compiled before, or the interrupt would come while Numba compiles, which may swallow it.
    short = LinearControl(uv.model, sgd(), np.array([[2.0, 0.5]]), [0], [5])
    simulate(uv, sgd(), [0.1], [2.0, 0.5], 64, [5], control=short)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    began = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulate(uv, sgd(), [0.1], [2.0, 0.5], 10000, [10**12], control=control)
    assert time.perf_counter() - began < 0.3 + 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicas": 0}, "replicas"),
        ({"replicas": 10**9}, "GiB"),
        ({"schedule": []}, "schedule"),
        ({"schedule": [3, 3]}, "increase"),
        ({"schedule": [-1, 3]}, "increase"),
        ({"schedule": [0.5]}, "whole"),
        ({"sigmas": [0.1, 0.1]}, "sigmas"),
        ({"sigmas": [-0.1]}, "sigmas"),
        ({"start": [1.0]}, "start"),
    ],
)
def test_bad_arguments_are_refused(uv, change, message):
    arguments = {"sigmas": [0.1], "start": [2.0, 0.5], "replicas": 3, "schedule": [5], **change}
    with pytest.raises(InvalidInput, match=message):
        simulate(uv, sgd(), **arguments)
