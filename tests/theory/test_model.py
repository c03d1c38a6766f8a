"""`Model` and its evaluators: derivatives by hand and by differences, cost that does not grow with n, refused input."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import InvalidInput, Model
from flatmin.theory import evaluate as evaluate_module
from flatmin.theory.errors import TooLarge

W, A, B, X = sp.symbols("w a b x", real=True)
U, V = sp.symbols("u v", real=True)
# Off Gamma, of order 1: every derivative up to the third is of order 1 to 30 there.
POINT = np.array([0.7, 1.3, -0.4])
DATA, TARGETS = np.array([[1.0], [-0.5], [2.0]]), np.array([1.0, 0.5, 0.2])


def tanh_model() -> Model:
    return Model((W, A, B), A * sp.tanh(W * X) + B * X, inputs=(X,), x=DATA, y=TARGETS)


def list_model() -> Model:
    return Model((W, A, B), [A * W + sp.sin(B), sp.exp(W / 2) * B, sp.Integer(2) * A], y=TARGETS)


def difference(function, theta: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of `function`, the new index last."""
    columns = [(function(theta + h * e) - function(theta - h * e)) / (2 * h) for e in np.eye(len(theta))]
    return np.stack(columns, axis=-1)


# Central differences at h = 1e-5: truncation h^2/6 times a third derivative below 100, rounding 1e-16 * 10/h.
DIFFERENCE = 5e-9


@pytest.mark.parametrize("make", [tanh_model, list_model])
def test_every_derivative_is_the_difference_of_the_one_before(make):
    model = make()
    s = model.samples
    for lower, upper in ((s.value, s.jacobian), (s.jacobian, s.hessians), (s.hessians, s.thirds)):
        np.testing.assert_allclose(upper(POINT), difference(lower, POINT), atol=DIFFERENCE, rtol=0)
    for lower, upper in ((model.loss, model.gradient), (model.gradient, model.hessian)):
        np.testing.assert_allclose(upper(POINT), difference(lower, POINT), atol=DIFFERENCE, rtol=0)


def test_the_comparison_notices_a_wrong_derivative():
    model = tanh_model()
    assert np.max(np.abs(2 * model.gradient(POINT) - difference(model.loss, POINT))) > 100 * DIFFERENCE
    assert np.max(np.abs(model.hessian(POINT) + difference(model.gradient, POINT))) > 100 * DIFFERENCE


def test_gradient_and_hessian_by_hand():
    model, x = tanh_model(), DATA[:, 0]
    w, a, b = POINT
    t = np.tanh(w * x)
    slope, bend = 1 - t**2, -2 * t * (1 - t**2)
    g = np.stack([a * x * slope, t, x], axis=1)
    h = np.zeros((3, 3, 3))
    h[:, 0, 0], h[:, 0, 1] = a * x**2 * bend, x * slope
    h[:, 1, 0] = h[:, 0, 1]
    r = a * t + b * x - TARGETS
    # The same arithmetic in another order: a few roundings of numbers of order 1.
    close = {"rtol": 1e-13, "atol": 1e-14}
    np.testing.assert_allclose(model.residuals(POINT), r, **close)
    np.testing.assert_allclose(model.samples.jacobian(POINT), g, **close)
    np.testing.assert_allclose(model.samples.hessians(POINT), h, **close)
    np.testing.assert_allclose(model.loss(POINT), r @ r / 6, **close)
    np.testing.assert_allclose(model.gradient(POINT), r @ g / 3, **close)
    np.testing.assert_allclose(model.hessian(POINT), (g.T @ g + np.einsum("i,iab->ab", r, h)) / 3, **close)


@pytest.mark.parametrize("make", [tanh_model, list_model])
def test_many_points_at_once(make):
    model = make()
    points = np.stack([POINT, 2 * POINT, -POINT]).reshape(3, 1, 3)
    for name in ("value", "jacobian", "hessians", "thirds"):
        evaluate = getattr(model.samples, name)
        together = evaluate(points)
        assert together.shape == (3, 1, model.n) + (3,) * ("value", "jacobian", "hessians", "thirds").index(name)
        # Vectorised tanh may round differently in the last bit.
        np.testing.assert_allclose(together[:, 0], [evaluate(p[0]) for p in points], rtol=1e-13, atol=1e-15)
    assert model.loss(points).shape == (3, 1)


@pytest.mark.parametrize("on_gamma", [True, False])
def test_third_derivative_contracted(on_gamma):
    """D3L[S]_a is the derivative of tr(hess L S) along theta_a."""
    model = tanh_model()
    if on_gamma:
        model = Model(model.parameters, model.prediction[0], inputs=(X,), x=DATA, y=model.samples.value(POINT))
    s = np.array([[1.0, 0.2, -0.3], [0.2, 0.7, 0.1], [-0.3, 0.1, 0.5]])
    by_differences = difference(lambda theta: np.sum(model.hessian(theta) * s), POINT)
    np.testing.assert_allclose(model.third_on(POINT, s), by_differences, atol=DIFFERENCE, rtol=0)
    # Without the residual part the two disagree off Gamma, and only there.
    g, f = model.samples.jacobian(POINT), model.samples.hessians(POINT)
    bare = (2 * np.einsum("iab,bc,ic->a", f, s, g) + np.einsum("iab,ab->i", f, s) @ g) / 3
    assert bool(np.max(np.abs(bare - by_differences)) < 100 * DIFFERENCE) is on_gamma


def test_symbolic_work_does_not_grow_with_the_samples(monkeypatch):
    calls = {"diff": 0, "lambdify": 0}
    diff, lambdify = sp.Expr.diff, sp.lambdify

    def counted_diff(self, *args, **kwargs):
        # SymPy's own rules call diff too, more or less often as its cache is cold or warm.
        calls["diff"] += sys._getframe(1).f_code.co_filename == evaluate_module.__file__
        return diff(self, *args, **kwargs)

    def counted_lambdify(*args, **kwargs):
        calls["lambdify"] += 1
        return lambdify(*args, **kwargs)

    monkeypatch.setattr(sp.Expr, "diff", counted_diff)
    monkeypatch.setattr(evaluate_module.sp, "lambdify", counted_lambdify)
    p = sp.symbols("p0:5", real=True)
    f = p[0] * sp.tanh(p[1] * X + p[2]) + p[3] * sp.sin(X) + p[4]
    counted = []
    for n in (10, 10_000):
        calls.update(diff=0, lambdify=0)
        x = np.linspace(-2, 2, n)
        model = Model(p, f, inputs=(X,), x=x[:, None], y=np.zeros(n))
        theta = np.array([1.1, 0.7, 0.2, -0.3, 0.4])
        for _ in range(2):  # the second time nothing is derived
            assert model.hessian(theta).shape == (5, 5)
            assert model.samples.hessians(theta).shape == (n, 5, 5)
        counted.append(dict(calls))
    # 5 first and 15 distinct second derivatives of the one expression; f, gradient and Hessian compiled once each.
    assert counted[0] == counted[1] == {"diff": 20, "lambdify": 3}
    t = np.tanh(0.7 * x + 0.2)
    expected = np.mean((1.1 * t - 0.3 * np.sin(x) + 0.4) * t)
    assert model.gradient(theta)[0] == pytest.approx(expected, rel=1e-12)  # a mean of 10^4 terms of order 1


def test_thirty_parameters():
    """Ten hidden units a_j tanh(w_j x + b_j): the Hessian couples a unit with itself only, and has no a_j a_j entry."""
    w, b, a = (sp.symbols(f"{name}0:10", real=True) for name in "wba")
    f = sum(aj * sp.tanh(wj * X + bj) for wj, bj, aj in zip(w, b, a))
    x = np.array([-1.0, 0.3, 1.4])
    model = Model((*w, *b, *a), f, inputs=(X,), x=x[:, None], y=np.zeros(3))
    theta = np.cos(np.arange(30.0))
    hessians = model.samples.hessians(theta)
    unit = np.tile(np.arange(10), 3)
    same = unit[:, None] == unit[None, :]
    assert hessians.shape == (3, 30, 30)
    assert np.all(hessians[:, ~same] == 0)
    assert np.all(hessians[:, 20:, 20:] == 0)
    assert np.all(hessians == np.swapaxes(hessians, 1, 2))
    t = np.tanh(theta[:10] * x[:, None] + theta[10:20])
    second = -2 * t * (1 - t**2) * theta[20:]
    units = np.arange(10)
    # Products of three factors of order 1: some roundings.
    np.testing.assert_allclose(hessians[:, units, units], second * x[:, None] ** 2, atol=1e-14, rtol=1e-13)
    np.testing.assert_allclose(hessians[:, units + 10, units + 20], 1 - t**2, atol=1e-14, rtol=1e-13)


def test_samples_written_out():
    assert tanh_model().sample_expressions[1] == A * sp.tanh(-W / 2) - B / 2
    assert Model((U, V), U * V, y=[1.0, 2.0]).sample_expressions == (U * V, U * V)
    assert list_model().sample_expressions == list_model().prediction


def test_kink_of_abs_and_symbols_without_assumptions():
    c = sp.Symbol("c")  # not declared real: SymPy has no derivative of abs(c)
    for parameter in (c, sp.Symbol("c", real=True), sp.Symbol("c", positive=True)):
        model = Model((parameter, U), sp.sqrt(1 + abs(parameter)) * U, y=[1.0])
        expected = [0.5 / np.sqrt(3.0) * 1.5, np.sqrt(3.0)]
        np.testing.assert_allclose(model.samples.jacobian(np.array([2.0, 1.5]))[0], expected, rtol=1e-14)
    model = Model((c, U), abs(c) * U, y=[1.0])
    np.testing.assert_array_equal(model.samples.jacobian(np.array([-2.0, 1.5])), [[-1.5, 2.0]])
    np.testing.assert_array_equal(model.samples.hessians(np.array([-2.0, 1.5])), [[[0, -1], [-1, 0]]])
    np.testing.assert_array_equal(model.samples.hessians(np.array([0.0, 1.5]))[0, 0, 0], 0.0)


def test_points():
    model = Model((U, V), U * V, y=[1.0])
    for values in ({U: 1, V: 2}, {"v": 2.0, "u": 1.0}, [1, 2], (1.0, 2.0), np.array([1, 2])):
        np.testing.assert_array_equal(model.point(values), [1.0, 2.0])
    bad = {
        "start.u": {"u": True, "v": 1},
        "start.v": {"u": 1, "v": float("nan")},
        "start[1]": [1, False],
        "start": [1.0],
    }
    for field, values in bad.items():
        with pytest.raises(InvalidInput) as error:
            model.point(values)
        assert error.value.field == field
    for values, says in (({"u": 1, "v": 1, "z": 1}, "unknown parameters ['z']"), ({"u": 1}, "lacks ['v']")):
        with pytest.raises(InvalidInput, match="start") as error:
            model.point(values)
        assert says in str(error.value)
    with pytest.raises(InvalidInput) as error:
        model.point("12", field="elsewhere")
    assert error.value.field == "elsewhere"


def build(**changes) -> Model:
    arguments = {
        "parameters": (W, A, B),
        "prediction": A * sp.tanh(W * X) + B * X,
        "inputs": (X,),
        "x": [[1.0], [3.0]],
        "y": [1.0, 0.5],
    }
    return Model(**{**arguments, **changes})


WITHOUT_INPUTS = {"inputs": (), "x": None}
REFUSED = [
    ({"parameters": ()}, "model.parameters", "give at least one parameter"),
    ({"parameters": ("w", A, B)}, "model.parameters", "'w' must be a sympy.Symbol"),
    ({"parameters": None}, "model.parameters", "must be a list"),
    ({"parameters": W}, "model.parameters", "must be a list"),
    ({"parameters": (W, A, B, W)}, "model.parameters", "different names"),
    ({"parameters": (W, A, B, sp.Symbol("w"))}, "model.parameters", "different names"),
    ({"parameters": (W, A, B, X)}, "model.parameters", "different names"),
    ({"inputs": ("x",)}, "model.inputs", "'x' must be a sympy.Symbol"),
    ({"inputs": 3}, "model.inputs", "must be a list"),
    ({"loss": "hinge"}, "model.loss", "'hinge' is not known; use one of"),
    ({"y": []}, "data.y", "at least one sample"),
    ({"y": 1.0}, "data.y", "must be a list of numbers"),
    ({"y": "12"}, "data.y", "must be a list of numbers"),
    ({"y": [1.0, True]}, "data.y[1]", "True must be a number"),
    ({"y": np.array([True, False])}, "data.y[0]", "True must be a number"),
    ({"y": [1.0, "2"]}, "data.y[1]", "'2' must be a number"),
    ({"y": [1.0, None]}, "data.y[1]", "None must be a number"),
    ({"y": [1.0, 1j]}, "data.y[1]", "must be a number"),
    ({"y": [1.0, float("nan")]}, "data.y[1]", "nan must be finite"),
    ({"y": np.array([np.inf, 1.0])}, "data.y[0]", "inf must be finite"),
    ({"y": [1.0, 10**400]}, "data.y[1]", "must be finite"),
    ({"y": [[1.0], [2.0]]}, "data.y[0]", "must be a number"),
    ({"y": np.ones((2, 1))}, "data.y", "2 dimensions"),
    ({"y": [1.0, 0.5, 0.1]}, "data.x", "shape (2, 1); 3 targets and 1 inputs ask for (3, 1)"),
    ({"x": None}, "data.x", "is missing"),
    ({"x": [1.0, 3.0]}, "data.x[0]", "must be a list"),
    ({"x": [[1.0, 2.0], [3.0]]}, "data.x", "rows of equal length"),
    ({"x": [[1.0, 2.0], [3.0, 4.0]]}, "data.x", "shape (2, 2)"),
    ({"x": [[1.0], [float("inf")]]}, "data.x[1][0]", "must be finite"),
    ({"x": [[1.0], [False]]}, "data.x[1][0]", "False must be a number"),
    ({"inputs": (), "prediction": A * W + B}, "data.x", "declares no inputs"),
    ({"prediction": [A, B]}, "model.prediction", "takes no inputs"),
    ({**WITHOUT_INPUTS, "prediction": [A]}, "model.prediction", "1 expressions for 2 targets"),
    ({**WITHOUT_INPUTS, "prediction": []}, "model.prediction", "0 expressions for 2 targets"),
    ({"prediction": A * sp.Symbol("q") + sp.Symbol("k")}, "model.prediction", "undeclared names ['k', 'q']"),
    ({"prediction": X**2}, "model.prediction", "depends on no parameter"),
    ({"prediction": 3.0}, "model.prediction", "depends on no parameter"),
    ({"prediction": "a*tanh(w*x)"}, "model.prediction", "not str"),
    ({**WITHOUT_INPUTS, "prediction": ["a", "b"]}, "model.prediction", "not list"),
    ({"prediction": None}, "model.prediction", "not NoneType"),
    ({"prediction": A * sp.zoo}, "model.prediction", "finite real expression"),
    ({"prediction": A + sp.I}, "model.prediction", "finite real expression"),
    ({"prediction": A > X}, "model.prediction", "finite real expression"),
]


@pytest.mark.parametrize(("changes", "field", "says"), REFUSED)
def test_refused_input_names_its_field(changes, field, says):
    assert build().d == 3  # without the change it is a model
    with pytest.raises(InvalidInput) as error:
        build(**changes)
    assert error.value.field == field
    assert says in str(error.value)


def test_too_large_models():
    for count, fits in ((64, True), (65, False)):
        p = sp.symbols(f"p0:{count}", real=True)
        if fits:
            assert Model(p, sum(p), y=[1.0]).d == count
        else:
            with pytest.raises(TooLarge, match=r"model\.parameters has 65 entries; at most 64"):
                Model(p, sum(p), y=[1.0])
    with pytest.raises(TooLarge, match=r"data\.x has entries above 10"):
        build(prediction=A * X**W + B * 3**X + W, x=[[1e5], [1.0]])
    assert build(prediction=A * X**2 + B + W, x=[[1e5], [1.0]]).n == 2


def test_too_many_operations_to_compile(monkeypatch):
    monkeypatch.setattr(evaluate_module, "_MAX_OPERATIONS", 8)
    model = tanh_model()
    assert model.samples.value(POINT).shape == (3,)
    with pytest.raises(TooLarge, match=r"model\.prediction needs \d+ operations"):
        model.samples.thirds(POINT)


def test_shown():
    assert repr(Model((U, V), U * V, y=[1.0])) == "Model(u, v: f = u*v, n = 1)"
    assert repr(Model((U, V), [U, V], y=[1.0, 2.0])) == "Model(u, v: f = [u, v], n = 2)"
    assert Model((U, V), U * V, y=[1.0])._repr_latex_() == r"$f(\theta) = u v$"
