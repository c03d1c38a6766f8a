"""`IndexedModel` against the same model with a symbol for every entry, and differences; what is refused, and why."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import InvalidInput
from flatmin.theory.errors import TooLarge
from flatmin.theory.indexed import IndexedModel
from indexed_models import J, K, based, data, difference_model, expanded, net_model, start, tanh_model

SMALL = {
    "difference": lambda: difference_model(size=4, n=3),
    "tanh": lambda: tanh_model(size=4, n=3),
    "net": lambda: net_model(hidden=3, p=2, n=4),
}


@pytest.mark.parametrize("name", SMALL)
def test_equals_the_model_written_out(name):
    model = SMALL[name]()
    other, theta = expanded(model), start(model)
    # The same few operations on numbers of order 1, in another order.
    close = {"rtol": 0, "atol": 1e-14}
    np.testing.assert_allclose(model.residuals(theta), other.residuals(theta), **close)
    np.testing.assert_allclose(model.samples.jacobian(theta), other.samples.jacobian(theta), **close)
    np.testing.assert_allclose(model.gradient(theta), other.gradient(theta), **close)
    np.testing.assert_allclose(model.loss(theta), other.loss(theta), **close)


def test_the_comparison_notices_another_order_of_parameters():
    model = SMALL["net"]()
    theta = start(model)
    assert np.max(np.abs(model.gradient(theta)[::-1] - expanded(model).gradient(theta))) > 1e-3


@pytest.mark.parametrize("make", [difference_model, tanh_model, net_model])
def test_gradient_is_the_difference_of_the_loss(make):
    model = make()
    theta, h = start(model), 1e-6
    direction = np.random.default_rng(2).normal(size=model.d)
    difference = (model.loss(theta + h * direction) - model.loss(theta - h * direction)) / (2 * h)
    # Third derivatives of order 100 times h^2, and rounding 1e-16 * 10 / h.
    assert model.gradient(theta) @ direction == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("make", [difference_model, net_model])
def test_many_points_at_once(make):
    model = make()
    points = np.stack([start(model, seed) for seed in range(6)]).reshape(2, 3, model.d)
    for evaluate in (model.residuals, model.samples.jacobian, model.gradient):
        together = evaluate(points)
        assert together.shape[:2] == (2, 3)
        np.testing.assert_allclose(together[1, 2], evaluate(points[1, 2]), rtol=1e-13, atol=1e-13)


def test_a_term_without_parameters_or_inputs_counts_once_for_each_index():
    u, x = based(u=(3,), x=(3,))
    model = IndexedModel([u], sp.Sum(u[J] + 2, (J, 0, 2)), inputs=x, x=[[1.0, 2.0, 3.0]] * 2, y=[0.0, 1.0])
    np.testing.assert_array_equal(model.residuals(np.array([1.0, 2.0, 3.0])), [12.0, 11.0])
    np.testing.assert_array_equal(model.samples.jacobian(np.zeros(3)), np.ones((2, 3)))


def test_ten_thousand_parameters_cost_no_symbols():
    u, x = based(u=(10_000,), x=(10_000,))
    xs, y = data(3, 10_000)
    model = IndexedModel([u], sp.Sum(u[J] ** 2 * x[J], (J, 0, 9_999)), inputs=x, x=xs, y=y)
    theta = start(model)
    # Sums of 10^4 terms of order 1, each rounded.
    np.testing.assert_allclose(model.residuals(theta), xs @ theta**2 - y, rtol=0, atol=1e-11)
    np.testing.assert_allclose(model.samples.jacobian(theta), 2 * theta * xs, rtol=1e-15)


def test_points_by_name_and_flat():
    model = SMALL["net"]()
    a, w, b = np.arange(3.0), np.arange(6.0).reshape(3, 2), -np.arange(3.0)
    theta = np.concatenate([a, w.ravel(), b])
    np.testing.assert_array_equal(model.point({"W": w, "a": a, "b": b}), theta)
    np.testing.assert_array_equal(model.point(theta.tolist()), theta)
    for wrong, message in (
        ({"a": a, "W": w}, "lacks"),
        ({"a": a, "W": w, "b": b, "c": a}, "unknown"),
        ({"a": a, "W": w.T, "b": b}, "shape"),
        (theta[:-1], "11 numbers for 12 parameters"),
    ):
        with pytest.raises(InvalidInput, match=message):
            model.point(wrong)


def test_parameters_as_a_mapping_of_shapes():
    u, x = sp.IndexedBase("u"), sp.IndexedBase("x", shape=(2,))
    f = sp.Sum(u[J] * x[J], (J, 0, 1))
    assert IndexedModel({u: (2,)}, f, inputs=x, x=[[1.0, 2.0]], y=[0.0]).shapes == {"u": (2,)}
    with pytest.raises(InvalidInput, match="give it 1 or 2 dimensions"):
        IndexedModel([u], f, inputs=x, x=[[1.0, 2.0]], y=[0.0])


U, V, W, X, OTHER = based(u=(3,), v=(3,), W=(3, 2), x=(3,), q=(3,))
SHORT = sp.IndexedBase("x", shape=(2,))
INNER = sp.Sum(W[K, J] * SHORT[J], (J, 0, 1))
REFUSED = {
    "no sum": ([U], U[0] * X[0], X, "is no sum"),
    "two sums": ([U], sp.Sum(U[J] * X[J], (J, 0, 2)) + sp.Sum(U[J], (J, 0, 2)), X, "is no sum"),
    "a square of a sum": ([U], sp.Sum(U[J] * X[J], (J, 0, 2)) ** 2, X, "is no sum"),
    "two indices": ([W], sp.Sum(W[K, J], (J, 0, 1), (K, 0, 2)), X, "one index"),
    "from one": ([U], sp.Sum(U[J] * X[J], (J, 1, 2)), X, "runs from 1"),
    "no number of terms": ([U], sp.Sum(U[J] * X[J], (J, 0, K)), X, "runs from 0 to k"),
    "too many terms": ([U], sp.Sum(U[J] * X[J], (J, 0, 3)), X, "in a sum of 4"),
    "a shifted index": ([U], sp.Sum(U[J + 1] * X[J], (J, 0, 2)), X, "one index j"),
    "undeclared": ([U], sp.Sum(U[J] * OTHER[J] * X[J], (J, 0, 2)), X, "not declared"),
    "a free symbol": ([U], sp.Sum(U[J] * X[J] * sp.Symbol("s"), (J, 0, 2)), X, "outside of brackets"),
    "the index itself": ([U], sp.Sum(U[J] * X[J] * J, (J, 0, 2)), X, "outside of brackets"),
    "a symbol named as an array": ([U], sp.Sum(U[J] * X[J] * sp.Symbol("u"), (J, 0, 2)), X, "outside of brackets"),
    "the same, real": ([U], sp.Sum(U[J] * X[J] * sp.Symbol("u", real=True), (J, 0, 2)), X, "outside of brackets"),
    "named as the input": ([U], sp.Sum(U[J] * X[J] + sp.Symbol("x", real=True), (J, 0, 2)), X, "outside of brackets"),
    "named as the product": ([V, W], sp.Sum(V[K] * INNER * sp.Symbol("z", real=True), (K, 0, 2)), SHORT, "outside of"),
    "inputs of another size": ([U], sp.Sum(U[J] ** 2, (J, 0, 2)), SHORT, "a sum of 3 over inputs with 2 entries"),
    "unused": ([U, V], sp.Sum(U[J] * X[J], (J, 0, 2)), X, "not used"),
    "not real": ([U], sp.Sum(sp.I * U[J] * X[J], (J, 0, 2)), X, "finite and real"),
    "a matrix without a product": ([W], sp.Sum(W[K, 0], (K, 0, 2)), SHORT, "one index"),
    "no product inside": ([U, W], sp.Sum(U[K] * sp.Sum(W[K, J] ** 2, (J, 0, 1)), (K, 0, 2)), SHORT, "must be Sum"),
    "transposed": ([U, W], sp.Sum(U[K] * sp.Sum(W[J, K] * SHORT[J], (J, 0, 1)), (K, 0, 2)), SHORT, "must be Sum"),
    "another size": ([U, W], sp.Sum(U[K] * sp.Sum(W[K, J] * X[J], (J, 0, 2)), (K, 0, 2)), X, "must have shape"),
    "input outside": ([U, W], sp.Sum(U[K] * SHORT[K] * INNER, (K, 0, 2)), SHORT, "outside of the inner sum"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_neither_form_is_refused_with_the_rule(name):
    parameters, f, inputs, message = REFUSED[name]
    x, y = data(2, inputs.shape[0])
    with pytest.raises(InvalidInput, match=message):
        IndexedModel(parameters, f, inputs=inputs, x=x, y=y)


def test_other_arguments_that_are_refused():
    f, x, y = sp.Sum(U[J] * X[J], (J, 0, 2)), *data(2, 3)
    for changed, message in (
        ({"loss": "logistic"}, "use 'square'"),
        ({"x": x[:, :2]}, "ask for"),
        ({"y": []}, "at least one sample"),
        ({"inputs": sp.Symbol("x")}, "IndexedBase"),
        ({"parameters": [U, U]}, "twice"),
        ({"parameters": []}, "at least one array"),
        ({"parameters": [X]}, "different names"),
        ({"parameters": [sp.Symbol("u")]}, "IndexedBase"),
    ):
        with pytest.raises(InvalidInput, match=message):
            IndexedModel(**{"parameters": [U], "prediction": f, "inputs": X, "x": x, "y": y} | changed)
    huge, xs = based(u=(30_000,), x=(30_000,))
    with pytest.raises(TooLarge, match="30000"):
        IndexedModel([huge], sp.Sum(huge[J] * xs[J], (J, 0, 29_999)), inputs=xs, x=np.ones((1, 30_000)), y=[0.0])
