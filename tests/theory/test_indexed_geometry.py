"""`IndexedGeometry` against the same model with a symbol for every entry, against differences, and with mutants."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, NotApplicable
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.indexed import IndexedModel
from flatmin.theory.indexed_geometry import IndexedGeometry
from flatmin.theory.slow import Paper
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed_models import J, K, based, difference_model, expanded, net_model, start, tanh_model

STEP = 0.05
SMALL = {
    "difference": lambda: difference_model(size=4, n=3),
    "tanh": lambda: tanh_model(size=4, n=3),
    "net": lambda: net_model(hidden=3, p=2, n=4),
    "more samples than parameters": lambda: tanh_model(size=2, n=7),
}


def on_gamma(model, theta):
    """The same model with targets that make theta a zero-loss point."""
    model.y[:] = model.samples.value(theta)
    return model


@pytest.fixture(scope="module")
def pairs():
    """Geometry and the dense geometry of the model written out, at a zero-loss point."""
    found = {}
    for name, make in SMALL.items():
        model = make()
        theta = start(model)
        on_gamma(model, theta)
        written = expanded(model)
        found[name] = (IndexedGeometry(model, theta), LocalGeometry.at(written, theta), written)
    return found


def close(a, b):
    # The same sums of some hundred products of order 1 to 10, in another order, and one inverse of condition 10.
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", SMALL)
def test_products_and_spectrum_equal_the_dense_ones(pairs, name):
    ours, dense, _ = pairs[name]
    rng = np.random.default_rng(0)
    vectors, weights = rng.normal(size=(2, ours.model.d)), rng.normal(size=(2, ours.n))
    close(ours.product(vectors), vectors @ dense.jacobian.T)
    close(ours.adjoint(weights), weights @ dense.jacobian)
    close(ours.gauss_newton(vectors[0]), dense.hessian @ vectors[0])
    close(ours.gram_product(weights[0]), ours.gram @ weights[0])
    close(ours.gram, dense.jacobian @ dense.jacobian.T / ours.n)
    close(ours.curvatures, dense.curvatures)
    close(ours.trace, np.trace(dense.hessian))
    close(ours.project(vectors[0]), dense.project(vectors[0]))
    close(ours.normal.T @ ours.normal, dense.normal @ dense.normal.T)


@pytest.mark.parametrize("name", SMALL)
def test_third_derivatives_equal_the_dense_ones(pairs, name):
    ours, dense, _ = pairs[name]
    rng = np.random.default_rng(1)
    vectors, weights = rng.normal(size=(3, ours.model.d)), np.array([0.7, -0.2, 1.1])
    close(ours.third(vectors, weights), dense.third((vectors.T * weights) @ vectors))


@pytest.mark.parametrize("name", SMALL)
def test_regularizer_and_drift_equal_the_theory_of_small_models(pairs, name):
    ours, dense, written = pairs[name]
    theory = Paper(written, Algorithm(lr=STEP, batch_size="full", noise=LabelNoise(0.3)))
    assert ours.regularizer(STEP) == pytest.approx(theory.regularizer(dense), rel=1e-12)
    assert ours.regularizer(0) == pytest.approx(dense.curvatures.sum() / 4, rel=1e-12)
    vectors, weights = ours.covariance(STEP, theory.strength)
    close((vectors.T * weights) @ vectors, theory.covariance(dense))
    # Three routes: S in `third`, W in grad R, and the dense theory.
    velocity = theory.velocity(dense)
    close(ours.velocity(STEP), velocity)
    close(-0.5 * ours.project(ours.third(*ours.covariance(STEP, 1.0))), velocity)


@given(seed=st.integers(0, 2**32 - 1), form=st.sampled_from(["vector", "matrix"]), step=st.sampled_from([0.0, 0.01]))
@settings(max_examples=15, deadline=None)
def test_gradient_is_the_difference_of_the_regularizer(seed, form, step):
    rng = np.random.default_rng(seed)
    model = random_model(rng, form)
    theta, direction, h = rng.normal(size=model.d) * 0.4, rng.normal(size=model.d), 1e-5
    ends = [IndexedGeometry(model, theta + s * h * direction).regularizer(step) for s in (1, -1)]
    gradient = IndexedGeometry(model, theta).regularizer_gradient(step)
    # h^2 times third derivatives, and rounding of R over h; both relative to the size of R and of its gradient.
    scale = abs(ends[0]) + float(np.abs(gradient) @ np.abs(direction))
    assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-6 * scale)


def random_model(rng, form):
    """A random formula of two arrays, either form."""
    n, size, p = (int(k) for k in rng.integers(1, 5, size=3))
    a, b, c = (round(float(v), 2) for v in rng.normal(size=3))
    if form == "vector":
        u, v, x = based(u=(size,), v=(size,), x=(size,))
        f = sp.Sum(a * u[J] ** 2 * x[J] + b * sp.sin(u[J] * v[J]) + c * v[J] * x[J] ** 2, (J, 0, size - 1))
        return IndexedModel([u, v], f, inputs=x, x=rng.normal(size=(n, size)), y=np.zeros(n))
    u, w, x = based(u=(size,), W=(size, p), x=(p,))
    inner = sp.Sum(w[K, J] * x[J], (J, 0, p - 1))
    f = sp.Sum(u[K] * sp.sin(inner + a) + b * inner**2 * u[K] ** 2, (K, 0, size - 1))
    return IndexedModel([u, w], f, inputs=x, x=rng.normal(size=(n, p)), y=np.zeros(n))


MUTANTS = {
    "D3L without its factor 2": ("2 * along * turned", "along * turned", "third"),
    "D3L without the trace": ("+ twice * self.slopes[name]", "", "third"),
    "R for another eta": ("0.5 * step * self.curvatures", "step * self.curvatures", "regularizer"),
    "W of another eta": ("2 * np.eye(self.n) - step", "2 * np.eye(self.n) - 0.5 * step", "regularizer_gradient"),
    "W without the inputs of a matrix": (" * self._products(m)", "", "regularizer_gradient"),
    "P without 1/n": ("/ values) / self.n", "/ values)", "project"),
    "one half of the second derivatives": ("sum(self.curves[a, b] * change[b] for b in change)",
                                           "self.curves[a, a] * change[a]", "_turned"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(name, pairs, monkeypatch):
    import inspect
    import textwrap

    from flatmin.theory import indexed_geometry

    right, wrong, method = MUTANTS[name]
    text = textwrap.dedent(inspect.getsource(getattr(IndexedGeometry, method)))
    assert right in text
    scope = dict(vars(indexed_geometry))
    exec(text.replace(right, wrong), scope)
    monkeypatch.setattr(IndexedGeometry, method, scope[method])
    caught = 0
    for case in ("net", "tanh"):
        for test in (
            test_products_and_spectrum_equal_the_dense_ones,
            test_third_derivatives_equal_the_dense_ones,
            test_regularizer_and_drift_equal_the_theory_of_small_models,
        ):
            try:
                test(pairs, case)
            except AssertionError:
                caught += 1
    assert caught


def test_ten_thousand_parameters():
    d, n = 10_000, 5
    rng = np.random.default_rng(3)
    u, x = based(u=(d,), x=(d,))
    xs = rng.normal(size=(n, d))
    model = IndexedModel([u], sp.Sum(u[J] ** 2 * x[J], (J, 0, d - 1)), inputs=x, x=xs, y=np.zeros(n))
    theta = rng.normal(size=d) * 0.02
    ours = IndexedGeometry(model, theta)
    # By hand: H = (4/n) sum (theta x_i)(theta x_i)^T, and grad tr(H)/4 = 2 theta mean x^2.
    mean = np.mean(xs**2, axis=0)
    assert ours.regularizer(0) == pytest.approx(float(np.sum(theta**2 * mean)), rel=1e-12)
    np.testing.assert_allclose(ours.regularizer_gradient(0.0), 2 * theta * mean, rtol=1e-12)
    assert ours.regularizer(1e-6) == pytest.approx(ours.regularizer(0), rel=1e-4)


def test_beyond_the_limit_of_the_learning_rate_nothing_is_said():
    model = SMALL["tanh"]()
    ours = IndexedGeometry(model, start(model))
    limit = 2 / ours.curvatures[0]
    assert np.isfinite(ours.regularizer(0.999 * limit))
    for ask in (ours.regularizer, ours.regularizer_gradient, ours.velocity, lambda s: ours.covariance(s, 1.0)):
        with pytest.raises(NotApplicable, match="must be below 2/h_max"):
            ask(1.001 * limit)


def test_a_derivative_that_is_not_finite_is_named():
    u, x = based(u=(2,), x=(2,))
    model = IndexedModel([u], sp.Sum(sp.log(u[J]) * x[J], (J, 0, 1)), inputs=x, x=[[1.0, 2.0]], y=[0.0])
    with pytest.raises(NotApplicable, match="smoothness"):
        IndexedGeometry(model, [0.0, 1.0])
