"""The generated text, and one step of it against gradients written by hand.

The golden files are what the generator prints. After a wanted change, write them anew and read the difference:
``FLATMIN_REGENERATE_GOLDEN=1 pytest tests/sims/test_codegen.py``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.codegen import generate
from flatmin.sims.lanes import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.replay import draws, replay
from flatmin.theory import Model
from kernel_models import WholeKernel, pair_model, step, tanh_model, uv_model

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "make"), [("uv", uv_model), ("tanh", tanh_model)])
def test_generated_text_is_the_golden_file(name, make):
    path = GOLDEN / f"{name}.py.txt"
    text = generate(make())
    if os.environ.get("FLATMIN_REGENERATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("make", [uv_model, pair_model, tanh_model])
def test_text_does_not_depend_on_the_data(make):
    model = make()
    other = Model(
        model.parameters,
        model.prediction if not model.inputs else model.prediction[0],
        inputs=model.inputs,
        x=model.x + 1 if model.inputs else None,
        y=model.y + 1,
    )
    assert generate(other) == generate(model)


def one_step_by_hand(start, y, sigmas, value_and_gradient, words, lr, batch, sampling):
    """Algorithm 1, draw after draw, with a gradient written by hand."""
    ((index, noise),) = draws(words, len(y), batch, sampling, RADEMACHER, 1)
    result = np.empty((len(start), LANES))
    for k in range(LANES):
        total = np.zeros(len(start))
        for i, eps in zip(index[:, k], noise[:, k], strict=True):
            f, g = value_and_gradient(i)
            total += (f - (y[i] + sigmas[i] * eps)) * g
        result[:, k] = start - lr / batch * total
    return result


@pytest.mark.parametrize(("batch", "sampling"), [(2, FULL), (3, WITH_REPLACEMENT), (2, WITHOUT_REPLACEMENT)])
def test_one_step_of_uv_uw_by_hand(pair, batch, sampling):
    start, sigmas = np.array([1.1, 0.8, -0.4]), np.array([0.3, 0.2])
    u, v, w = start
    by_hand = [(u * v, np.array([v, u, 0.0])), (u * w, np.array([w, 0.0, u]))]
    got, words = step(pair, start, sigmas, batch=batch, sampling=sampling)
    expected = one_step_by_hand(start, [1.0, -0.5], sigmas, by_hand.__getitem__, words, 0.05, batch, sampling)
    # A few operations on numbers of order 1; an ulp there is 2e-16.
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-15)


@pytest.mark.parametrize(("batch", "sampling"), [(2, FULL), (3, WITH_REPLACEMENT), (2, WITHOUT_REPLACEMENT)])
def test_one_step_of_tanh_by_hand(tanh, batch, sampling):
    start, sigmas = np.array([1.7, 1.2, -0.3]), np.array([0.3, 0.2])

    def value_and_gradient(i):
        (w, a, b), x = start, (1.0, 3.0)[i]
        t = np.tanh(w * x)
        return a * t + b * x, np.array([a * x / np.cosh(w * x) ** 2, t, x])

    got, words = step(tanh, start, sigmas, batch=batch, sampling=sampling)
    expected = one_step_by_hand(start, [1.0, 0.5], sigmas, value_and_gradient, words, 0.05, batch, sampling)
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-15)


# Every function that a study may use, and names that Python or the generated text uses for something else.
def awkward_model():
    lam, k, y, g, q = sp.symbols("lambda k y t0 q'", real=True)
    x = sp.Symbol("theta")
    f = (
        sp.exp(-lam * x) + sp.log(1 + k**2) + sp.sqrt(1 + y**2) + sp.Abs(g) * sp.sin(q) + sp.cos(k) * sp.tan(y / 4)
        + sp.sinh(lam) * sp.cosh(q) / (2 + g**2) + sp.Rational(1, 3) * lam**3 + sp.pi * k + q ** sp.Float(1.5) + 1 / k
    )  # fmt: skip
    return Model((lam, k, y, g, q), f, inputs=(x,), x=[[0.5], [-0.25]], y=[1.0, 0.0])


@pytest.fixture(scope="session")
def awkward():
    return WholeKernel.for_model(awkward_model())


def test_all_functions_against_finite_differences(awkward):
    model, start, lr = awkward.model, np.array([0.3, 0.7, -0.4, -0.6, 0.9]), 1e-2
    got, _ = step(awkward, start, np.zeros(2), lr=lr, batch=2)
    gradient = (start[:, None] - got) / lr
    h = 1e-6 * np.eye(5)
    differences = (model.loss(start + h) - model.loss(start - h)) / 2e-6
    # Central differences: h**2 times third derivatives of order 1 to 10, and rounding of 1e-16/h.
    np.testing.assert_allclose(gradient, np.repeat(differences[:, None], LANES, axis=1), rtol=0, atol=5e-9)


def test_names_in_a_list_are_words():
    (inputs,) = re.findall(r'^SAMPLE = """\\\nin (.*)', generate(awkward_model()), re.MULTILINE)
    names = inputs.split()
    assert len(set(names)) == 7
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize("law", [RADEMACHER, GAUSSIAN])
@pytest.mark.parametrize(("batch", "sampling"), [(1, FULL), (3, WITH_REPLACEMENT)])
def test_many_steps_of_uv_equal_the_replay(uv, batch, sampling, law):
    # 150 steps: more than two words of 64 signs, in passes of several steps and single ones.
    sigmas = np.array([0.2])
    got, words = step(uv, [2.0, 0.5], sigmas, batch=batch, sampling=sampling, law=law, steps=150)
    arguments = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": law}
    path = replay(uv.model, np.array([2.0, 0.5]), words, sigmas, steps=150, **arguments)
    # 150 steps of a few ulp each (4e-16), in a stable iteration.
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=150 * 4e-15)


def one_parameter(layout):
    u, x = sp.symbols("u x", real=True)
    if layout == "inputs":
        return Model((u,), u**2 * x + sp.tanh(u), inputs=(x,), x=[[0.5], [-0.25], [1.0]], y=[1.0, 0.0, 0.5])
    return Model((u,), {"one": [u**3], "list": [u**2, sp.exp(u)]}[layout], y=[1.0, -0.5][: 1 + (layout == "list")])


@pytest.fixture(scope="module", params=["one", "list", "inputs"])
def single(request):
    return WholeKernel.for_model(one_parameter(request.param))


@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(None, FULL), (1, WITH_REPLACEMENT), (2, WITH_REPLACEMENT), (1, WITHOUT_REPLACEMENT)],
)
def test_one_parameter_equals_the_replay(single, batch, sampling):
    n = single.model.n
    sigmas, batch = np.linspace(0.1, 0.2, n), batch or n
    # 20 steps: passes of several steps and single ones.
    got, words = step(single, [0.7], sigmas, batch=batch, sampling=sampling, steps=20)
    arguments = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": RADEMACHER}
    path = replay(single.model, np.array([0.7]), words, sigmas, steps=20, **arguments)
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=20 * 4e-15)


def test_one_parameter_descends(single):
    theta, settled = np.full(LANES, 0.7), np.zeros(LANES, dtype=bool)
    single.descend(theta, settled, 0.05, 1.0, 100_000)
    assert settled.all()
    h = 1e-6
    assert abs(single.model.loss(theta[:1] + h) - single.model.loss(theta[:1] - h)) / (2 * h) < 1e-9
