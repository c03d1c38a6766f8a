"""Gamma: the nearest zero-loss point, the local geometry and the noise-free limit, against independent oracles."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.errors import NoInterpolation, NotApplicable
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point, noise_free_limit, retract
from flatmin.theory.prediction import predict
from scipy.optimize import minimize

W, A, B, X = sp.symbols("w a b x", real=True)
U, V = sp.symbols("u v", real=True)

UV = Model((U, V), U * V, y=[1.0])
TANH = Model((W, A, B), A * sp.tanh(W * X) + B * X, inputs=(X,), x=[[1.0], [3.0]], y=[1.0, 0.5])
PARABOLOID = Model((U, V, W), (U**2 + V**2) * W, y=[1.0])
ELLIPSE = Model((U, V), U**2 + 2 * V**2, y=[1.0])
# More samples than parameters, of which one direction only is seen.
REPEATED = Model((U, V), U * V * X, inputs=(X,), x=[[1.0], [2.0], [-1.0], [0.5]], y=[1.0, 2.0, -1.0, 0.5])

STARTS = [
    (UV, [2.0, 1.5]),
    (UV, [0.3, 0.2]),
    (TANH, [2.0, 1.3, -0.27]),
    (TANH, [0.8, 2.0, 0.3]),
    (PARABOLOID, [1.0, 0.5, 2.0]),
    (ELLIPSE, [1.2, 0.9]),
    (ELLIPSE, [-0.1, 0.3]),
    (REPEATED, [2.0, 1.5]),
]


def on_gamma(model: Model, start: list[float]) -> np.ndarray:
    return retract(model, np.array(start))


@pytest.mark.parametrize(("model", "start"), STARTS)
def test_nearest_point_by_constrained_minimisation(model, start):
    start = np.array(start)
    ours = nearest_zero_loss_point(model, start)
    # Residuals are sums of a few numbers of order 1, found to rounding.
    assert np.max(np.abs(model.residuals(ours))) <= 1e-13
    samples = slice(None, LocalGeometry.at(model, ours).rank)  # SLSQP takes no dependent constraints
    other = minimize(
        lambda theta: np.sum((theta - start) ** 2),
        ours + 0.01 * np.cos(np.arange(model.d)),
        jac=lambda theta: 2 * (theta - start),
        constraints={
            "type": "eq",
            "fun": lambda theta: model.residuals(theta)[samples],
            "jac": lambda theta: model.samples.jacobian(theta)[samples],
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 200},
    )
    # SLSQP stops when the squared distance changes by 1e-15: the point is known to the root of that, 3e-8, and more.
    np.testing.assert_allclose(ours, other.x, atol=1e-6, rtol=0)
    # Stationary distance: nothing of start - theta is left along Gamma. Steps end where the distance, of order 1,
    # falls by less than its rounding: at the root of 1e-16, times conditioning.
    assert np.linalg.norm(LocalGeometry.at(model, ours).project(start - ours)) <= 1e-7


@pytest.mark.parametrize(("model", "start"), [(UV, [0.8, 1.6]), (ELLIPSE, [1.5, -0.4]), (ELLIPSE, [0.1, 0.9])])
def test_nearest_point_among_all_points_of_the_curve(model, start):
    start = np.array(start)
    s = np.linspace(-np.pi, np.pi, 400_001)
    curve = np.stack([np.exp(s), np.exp(-s)] if model is UV else [np.cos(s), np.sin(s) / np.sqrt(2)], axis=1)
    best = np.min(np.linalg.norm(curve - start, axis=1))
    distance = np.linalg.norm(nearest_zero_loss_point(model, start) - start)
    # The grid of spacing 1.6e-5 is at most 1e-4 (at large e^s) off along the curve, so its distance 1e-8 too long.
    assert best - 1e-8 <= distance <= best + 1e-12


def test_the_first_zero_loss_point_found_is_not_the_nearest():
    """The oracle above tells the nearest point from the end of a Gauss-Newton descent."""
    start = np.array([0.8, 2.0, 0.3])
    first, nearest = retract(TANH, start), nearest_zero_loss_point(TANH, start)
    assert np.linalg.norm(first - start) > np.linalg.norm(nearest - start) + 1e-3


@pytest.mark.parametrize(("model", "start"), STARTS)
def test_a_start_on_gamma_stays(model, start):
    theta = on_gamma(model, start)
    # The last Gauss-Newton step of a point that is on Gamma to rounding.
    np.testing.assert_allclose(nearest_zero_loss_point(model, theta), theta, atol=1e-13, rtol=0)


@pytest.mark.parametrize(
    ("prediction", "y", "start"),
    [
        (sp.exp(U), 0.0, 0.5),  # the loss tends to 0 at infinity
        (sp.exp(U), 0.0, -50.0),
        (sp.exp(U) + V - V, 0.0, -300.0),
        (U**2, -1.0, 0.5),
        (U**2, -1.0, 0.0),
        (1 / (1 + U**2), 0.0, 3.0),
        (sp.log(U), 0.0, -1.0),  # not a number at the start
    ],
)
def test_no_false_zero(prediction, y, start):
    with pytest.raises(NoInterpolation) as error:
        nearest_zero_loss_point(Model((U, V), prediction, y=[y]), np.array([start, 1.0]))
    assert error.value.assumption == "interpolation"


def test_the_same_functions_with_a_zero():
    for prediction, y, expected in ((sp.exp(U), 2.0, np.log(2.0)), (U**2, 4.0, 2.0), (sp.log(U), 0.0, 1.0)):
        found = nearest_zero_loss_point(Model((U, V), prediction, y=[y]), np.array([0.7, 1.0]))
        # Newton's method in one unknown, to rounding; v is not touched.
        np.testing.assert_allclose(found, [expected, 1.0], rtol=1e-13)


@pytest.mark.parametrize(("prediction", "start"), [(U**2, 0.5), (U**2, 0.0), (sp.exp(U), -800.0), (U * V, 0.0)])
def test_a_zero_without_a_gradient_has_no_rank(prediction, start):
    """A zero where the Jacobian vanishes (or underflows) is never a place where the theory speaks."""
    model = Model((U, V), prediction, y=[0.0])
    prediction = predict(model, Algorithm(0.3, "full", LabelNoise(0.1)), Claim("drift"), np.array([start, 0.0]))
    assert prediction.value is None
    assert "rank of the Jacobian" in {a.name for a in prediction.assumptions if not a.holds}


@pytest.mark.parametrize(("model", "start"), STARTS)
def test_identities_of_the_local_geometry(model, start):
    theta = on_gamma(model, start)
    local = LocalGeometry.at(model, theta)
    d, rank = model.d, local.rank
    p = local.tangent @ local.tangent.T
    h = local.hessian
    # Orthogonal matrices of a few rows: some roundings, relative to h_max.
    close = {"rtol": 0, "atol": 1e-13 * (1 + np.max(h))}
    assert (local.tangent.shape, local.normal.shape, local.curvatures.shape) == ((d, d - rank), (d, rank), (rank,))
    np.testing.assert_allclose(p @ p, p, **close)
    np.testing.assert_allclose(p + local.normal @ local.normal.T, np.eye(d), **close)
    np.testing.assert_allclose(h @ p, np.zeros((d, d)), **close)
    np.testing.assert_allclose((local.normal * local.curvatures) @ local.normal.T, h, **close)
    np.testing.assert_allclose(h, model.hessian(theta), **close)
    assert np.all(local.curvatures > 0)
    assert np.all(np.diff(local.curvatures) <= 0)
    vectors = np.arange(2.0 * d).reshape(2, d)
    np.testing.assert_allclose(local.project(vectors), vectors @ p, rtol=0, atol=1e-12)
    s = np.eye(d) + 0.3 * np.ones((d, d))
    step = 1e-5
    differences = [
        np.sum((model.hessian(theta + step * e) - model.hessian(theta - step * e)) * s) / (2 * step) for e in np.eye(d)
    ]
    # Central differences at 1e-5: truncation 1e-10/6 times fifth derivatives of L, some 100; rounding 1e-14/1e-5.
    np.testing.assert_allclose(local.third(s), differences, rtol=0, atol=2e-8 * (1 + np.max(h)))
    np.testing.assert_allclose(local.third(s), model.third_on(theta, s), rtol=1e-12, atol=1e-12)


def test_rank():
    assert [LocalGeometry.at(m, on_gamma(m, s)).rank for m, s in STARTS[::2]] == [1, 2, 1, 1]
    assert LocalGeometry.at(REPEATED, np.array([2.0, 0.5])).rank == 1
    flat = LocalGeometry.at(Model((U, V), U * V, y=[0.0]), np.zeros(2))
    assert (flat.rank, flat.tangent.shape, flat.curvatures.size) == (0, (2, 2), 0)


def test_a_derivative_that_is_not_finite():
    model = Model((U, V), sp.sqrt(U) + V, y=[1.0])
    assert LocalGeometry.at(model, np.array([1.0, 0.0])).rank == 1
    with pytest.raises(NotApplicable, match="smoothness"):
        LocalGeometry.at(model, np.array([0.0, 1.0]))


@pytest.mark.parametrize(("model", "start"), STARTS)
def test_noise_free_limit(model, start):
    """Phi is on Gamma, the same before and after a step of gradient descent, and its derivative on Gamma is P."""
    theta = on_gamma(model, start)
    local = LocalGeometry.at(model, theta)
    lr = 0.8 / local.curvatures[0]
    away = theta + 0.02 * np.cos(1.0 + np.arange(model.d))
    phi = noise_free_limit(model, lr, away)
    # Phi stops when a step is at rounding: what is left is a step over lr h_min, here below 1e-11.
    assert np.max(np.abs(model.residuals(phi))) <= 1e-10
    after = noise_free_limit(model, lr, away - lr * model.gradient(away))
    np.testing.assert_allclose(after, phi, rtol=0, atol=1e-10)
    np.testing.assert_allclose(noise_free_limit(model, lr, theta), theta, rtol=0, atol=1e-10)
    h = 1e-4
    points = np.concatenate([theta + h * np.eye(model.d), theta - h * np.eye(model.d)])
    ends = noise_free_limit(model, lr, points)
    derivative = (ends[: model.d] - ends[model.d :]).T / (2 * h)
    # Truncation h^2/6 times third derivatives of Phi (below 100), the rest of Phi 1e-11/h.
    np.testing.assert_allclose(derivative, local.tangent @ local.tangent.T, rtol=0, atol=1e-6)


def test_noise_free_limit_of_many_points_and_of_none():
    points = np.array([[[2.1, 0.5], [1.0, 1.1]], [[0.9, 1.0], [1.5, 0.6]]])
    ends = noise_free_limit(UV, 0.2, points)
    assert ends.shape == points.shape
    np.testing.assert_allclose(ends[1, 0], noise_free_limit(UV, 0.2, points[1, 0]), rtol=0, atol=1e-13)
    for lr in (0.99, 1.01):  # h = 2 at u = v = 1: the limit of stability is lr = 1
        start = np.array([1.001, 1.001])  # u = v is kept, so that the iteration cannot flee to a flatter point
        if lr < 1:
            np.testing.assert_allclose(noise_free_limit(UV, lr, start), [1.0, 1.0], rtol=0, atol=1e-9)
        else:
            with pytest.raises(NotApplicable, match=r"noise-free convergence: gradient descent at lr=1\.01"):
                noise_free_limit(UV, lr, start, max_steps=5_000)
    with pytest.raises(NotApplicable, match="noise-free convergence"):
        noise_free_limit(UV, 3.0, np.array([3.0, 3.0]))
