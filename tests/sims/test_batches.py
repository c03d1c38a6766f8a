"""Batches that are drawn from a list of samples: in registers for few, in rows for more."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import simulate, vector_codegen
from flatmin.sims.codegen import generate
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.moments import average
from flatmin.sims.replay import KernelMismatch, check_kernel, replay
from flatmin.theory import Algorithm, LabelNoise, Model
from kernel_models import step

# Samples in the list, whether it has functions, and whether its draws stay in registers.
LISTS = [(5, False, True), (9, False, False), (3, True, True), (5, True, False)]


def chain(n, functions):
    p = sp.symbols(f"p:{n + 1}", real=True)
    return Model(
        p, [(sp.tanh(a) if functions else a) * b for a, b in itertools.pairwise(p)], y=np.linspace(0.2, 0.6, n)
    )


def start(model):
    return np.linspace(0.4, 0.8, model.d)


@pytest.fixture(scope="module", params=LISTS, ids=lambda case: f"{case[0]}-{'tanh' if case[1] else 'products'}")
def kernel(request):
    n, functions, in_registers = request.param
    found = Kernel.for_model(chain(n, functions))
    assert ("batches_pass(theta, words, None" in found.source) == in_registers
    return found


BATCHES = [(1, WITH_REPLACEMENT), (4, WITH_REPLACEMENT), *((b, WITHOUT_REPLACEMENT) for b in (1, 3))]


@pytest.mark.parametrize(("batch", "sampling"), BATCHES)
def test_paths_are_the_replay(kernel, batch, sampling):
    model = kernel.model
    # Sizes of the noise that differ between samples; more steps than one permutation or word serves.
    sigmas = np.linspace(0.05, 0.2, model.n)
    got, words = step(kernel, start(model), sigmas, batch=batch, sampling=sampling, steps=70)
    how = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": RADEMACHER}
    path = replay(model, start(model), words, sigmas, steps=70, **how)
    # 70 steps of a few ulp each (4e-16), in a stable iteration.
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=70 * 4e-15)
    assert np.all(got.std(axis=1) > 1e-4)


@pytest.mark.parametrize("sampling", ["with-replacement", "without-replacement"])
def test_moments_are_those_of_the_points(kernel, sampling):
    model = kernel.model
    algorithm = Algorithm(lr=0.05, batch_size=2, sampling=sampling, noise=LabelNoise(0.1))
    setting = (kernel, algorithm, None, start(model), 64)
    points = simulate(*setting, range(150), seed=1).points
    got = average(*setting, 150, seed=1)
    rows = np.moveaxis(points, 1, -1).reshape(-1, model.d)
    np.testing.assert_allclose(got.mean, rows.mean(axis=0), rtol=1e-12)
    # Of squares near 1, summed up 9,600 times.
    np.testing.assert_allclose(got.covariance, np.cov(rows.T, bias=True), rtol=0, atol=1e-13)


def long_list():
    """Products of 18 parameters in one list of five samples: the last sums stand in a block by themselves."""
    p = sp.symbols("p:18", real=True)
    return Model(p, [sum(p[3 * i + j] * p[(3 * i + j + 1) % 18] for j in range(6)) for i in range(5)], y=[0.1] * 5)


def spreads(kernel, steps):
    """Variances over so many steps, as sums have them and as points do."""
    algorithm = Algorithm(lr=0.05, batch_size=2, noise=LabelNoise(0.1))
    setting = (kernel, algorithm, None, np.linspace(0.1, 0.3, kernel.model.d), 64)
    points = np.moveaxis(simulate(*setting, range(steps), seed=5).points, 1, -1).reshape(-1, kernel.model.d)
    return average(*setting, steps, seed=5).covariance, points.var(axis=0)


@pytest.mark.parametrize("steps", [33, 34])
def test_sums_in_blocks_miss_no_step(steps):
    got, expected = spreads(Kernel.for_model(long_list()), steps)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


def error_of_few(n, steps):
    """How far variances are off over so few steps, of products of n + 1 parameters."""
    got, expected = spreads(Kernel.for_model(chain(n, False)), steps)
    return np.max(np.abs(np.diag(got) - expected))


# In the last block of sums of four parameters (vectors of eight numbers: six) there are four in turns, and two, three
# vectors and one are left for the first of them.
IN_TURNS = (3, 5)


@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize("n", IN_TURNS)
def test_sums_in_turns_miss_no_step(n, steps):
    assert error_of_few(n, steps) < 1e-14


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("if turns > 1:", "if turns > 4:"), ("builder.add(first, loop.index)", "first")],
    ids=["what is left is forgotten", "one vector again and again"],
)
def test_a_step_that_sums_miss_is_seen(monkeypatch, right, wrong):
    assert vector_codegen.below_all("vector_moments").count(right) == 1
    read = vector_codegen.below_all
    monkeypatch.setattr(vector_codegen, "below_all", lambda name: read(name).replace(right, wrong))
    assert max(error_of_few(n, 3) for n in IN_TURNS) > 1e-6


MUTANTS = {
    "a count too many": ("((counts[i], 1.0),", "((counts[i], 2.0),"),
    "the sign of the other half": (
        "return v.right(code, 1), v.left(code, 63)",
        "return v.right(code, 1), v.left(generator.get()[4], 63)",
    ),
    "no exchange": ("rows[j] = v.each(builder.select, here, before, rows[j])", "pass"),
    "noise of the first sample": ("builder.xor, sizes[i], signs", "builder.xor, sizes[0], signs"),
    "turns in one order": ("own = builder.select(", "own = loop.index if True else builder.select("),
    "the permutation is not kept": ("store_rows(v, order, base, permutation.get())", "pass"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant):
    model, (right, wrong) = chain(5, False), MUTANTS[mutant]
    text = generate(model)
    assert text.count(right) == 1
    wrong_kernel = Kernel.from_source(model, text.replace(right, wrong))

    def caught(batch, sampling):
        try:
            check_kernel(wrong_kernel, start(model), batch, sampling, RADEMACHER)
        except KernelMismatch:
            return True
        return False

    assert any(caught(*way) for way in BATCHES)
