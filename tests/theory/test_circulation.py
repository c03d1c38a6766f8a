"""Curl, circulation and R by integration, against averaging of the update map, Stokes' theorem and closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, GradientNoise, LabelNoise, Model, NotApplicable
from flatmin.theory.averaging import UpdateMap, average
from flatmin.theory.circulation import SlowForm, rule_metric, small_loop
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry, retract
from flatmin.theory.gradient_test import gradient_near, gradient_test
from flatmin.theory.regularizers import known_regularizer
from flatmin.theory.rules import HeavyBall, Nesterov, Preconditioned, SharpnessAware, UpdateRule, WeightDecay
from flatmin.theory.slow import Paper

A, B, C, D = sp.symbols("a b c d", real=True)
# Two coupled products: Gamma is a surface on which the trace of H, its determinant and the gradients' angle all vary.
MODEL = Model((A, B, C, D), [A * B + C**2 * D, C * D + A], y=[1.0, 0.5])
THETA = retract(MODEL, np.array([0.8, 0.9, 0.7, -0.4]))
HERE = LocalGeometry.at(MODEL, THETA)
LR = 0.9 / HERE.curvatures[0]
END = retract(MODEL, THETA + np.array([0.2, -0.1, 0.15, 0.1]))
VIA = retract(MODEL, THETA + np.array([-0.1, -0.2, 0.1, -0.1]))
# Gradients (b, a, 0, 0) and (0, 0, d, c) are orthogonal everywhere.
APART = Model((A, B, C, D), [A * B, C * D], y=[1.0, 0.5])
NOISE = LabelNoise(0.1)

GRADIENT = {
    "sgd": Algorithm(LR, "full", NOISE),
    "heavy ball": Algorithm(LR, "full", NOISE, rule=HeavyBall(0.6)),
    "Nesterov": Algorithm(0.6 * LR, "full", NOISE, rule=Nesterov(0.4)),
    "weight decay": Algorithm(LR, "full", NOISE, rule=WeightDecay(0.5)),
    "preconditioned": Algorithm(0.6 * LR, "full", NOISE, rule=Preconditioned((1.0, 0.5, 2.0, 0.7))),
}
CIRCULATES = {
    "one sample a step": Algorithm(0.3 * LR, 1, NOISE),
    "one sample a step, momentum": Algorithm(0.3 * LR, 1, NOISE, rule=HeavyBall(0.6)),
    "unequal noise": Algorithm(LR, "full", LabelNoise((0.1, 0.3))),
    "noise of the first sample's direction": Algorithm(
        LR, "full", GradientNoise(sp.Matrix([B, A, 2 * C * D, C**2]) * sp.Matrix([[B, A, 2 * C * D, C**2]]), 1e-3)
    ),
}


# SymPy differentiates the whole update map of a rule that asks for the gradient elsewhere: a smaller model.
SMALL = Model((A, B, C), [A * B + C**2 * A], y=[1.0])
ASCENT = Algorithm(0.2, "full", NOISE, rule=SharpnessAware(0.2))


def form_of(algorithm, model=MODEL):
    return SlowForm.of(Derived(model, algorithm))


@pytest.mark.parametrize("name", [*GRADIENT, "sharpness-aware"])
def test_a_gradient(name):
    """No curl, no circulation on a loop, two paths with one R, and that R is the closed form."""
    model, algorithm, (begin, via, end) = MODEL, GRADIENT.get(name, ASCENT), (THETA, VIA, END)
    if name == "sharpness-aware":
        model, (begin, via, end) = SMALL, (retract(SMALL, p[:3]) for p in (THETA, VIA, END))
    form, local = form_of(algorithm, model), LocalGeometry.at(model, begin)
    assert form.curl(begin).vanishes is True
    assert form.circulation(small_loop(model, begin, 0.05)).vanishes is True
    one, other = form.regularizer(begin, end), form.regularizer(begin, via, end)
    # Quadrature to rounding, 1e-14 of the scale; a velocity has relative errors of some 1e-13.
    assert abs(one.value - other.value) <= 1e-11 * one.scale
    closed = known_regularizer(model, algorithm, local)
    assert closed is not None
    assert abs(closed(LocalGeometry.at(model, end)) - closed(local) - one.value) <= 1e-11 * one.scale


@pytest.mark.parametrize("name", CIRCULATES)
def test_no_gradient(name):
    """The curl is the circulation of a small loop per area, and R by integration depends on the path."""
    form, radius = form_of(CIRCULATES[name]), 0.02
    curl = form.curl(THETA)
    assert curl.vanishes is False
    loop = form.circulation(small_loop(MODEL, THETA, radius))
    assert loop.vanishes is False
    # Stokes: the circulation per area is the curl to second order in the radius.
    assert loop.value / (np.pi * radius**2) == pytest.approx(curl.matrix[0, 1], rel=0.02)
    one, other = form.regularizer(THETA, END), form.regularizer(THETA, VIA, END)
    assert abs(one.value - other.value) > 1e-6 * one.scale
    assert known_regularizer(MODEL, CIRCULATES[name], HERE) is None


@pytest.mark.parametrize(
    "name", ["one sample a step, momentum", "preconditioned", "noise of the first sample's direction"]
)
def test_two_routes_to_the_curl(name):
    algorithm = (GRADIENT | CIRCULATES)[name]
    theory, update = Derived(MODEL, algorithm), UpdateMap(MODEL, algorithm)
    form = SlowForm.of(theory)
    averaged = SlowForm(MODEL, lambda p: average(update, p).drift / (theory.rate * theory.strength), form.metric)
    one, other = form.curl(THETA), averaged.curl(THETA)
    assert np.linalg.norm(one.matrix - other.matrix) <= 1e-8 * one.scale


def test_the_metric_decides_for_preconditioning():
    """With a fixed diagonal D the drift is a gradient in the metric D^-1 and none in the Euclidean one."""
    algorithm = GRADIENT["preconditioned"]
    np.testing.assert_allclose(rule_metric(algorithm, 4), np.diag(1.05 / np.array([1.0, 0.5, 2.0, 0.7])), rtol=1e-12)
    assert SlowForm.of(Derived(MODEL, algorithm), np.eye(4)).curl(THETA).vanishes is False


@pytest.mark.parametrize(("batch", "beta"), [(1, 0.0), (2, 0.5)])
def test_orthogonal_gradients_have_a_regularizer_at_any_batch(batch, beta):
    algorithm = Algorithm(0.2, batch, NOISE, momentum=beta)
    begin, end = (retract(APART, np.array(p)) for p in ([1.5, 0.7, 1.0, 0.6], [1.1, 1.0, 0.6, 0.9]))
    form, closed = form_of(algorithm, APART), known_regularizer(APART, algorithm, LocalGeometry.at(APART, begin))
    assert form.curl(begin).vanishes is True
    change = form.regularizer(begin, end)
    values = [closed(LocalGeometry.at(APART, p)) for p in (begin, end)]
    assert abs(values[1] - values[0] - change.value) <= 1e-11 * change.scale
    # Without the batch in its step the closed form is another one.
    paper = [Paper(APART, algorithm).regularizer(LocalGeometry.at(APART, p)) for p in (begin, end)]
    assert abs(paper[1] - paper[0] - change.value) > 1e-2 * change.scale


def test_the_closed_form_of_sgd_is_the_papers():
    algorithm = Algorithm(LR, "full", NOISE, momentum=0.3)
    ours, paper = known_regularizer(MODEL, algorithm, HERE), Paper(MODEL, algorithm)
    for theta in (THETA, END):
        local = LocalGeometry.at(MODEL, theta)
        assert ours(local) == pytest.approx(paper.regularizer(local), rel=1e-12)


def test_a_rotation_has_its_own_curl():
    """On a plane, v = (-y, x) has curl 2 and circulation 2 pi r^2; the radial field has none."""
    x, y, z = sp.symbols("x y z", real=True)
    plane, at = Model((x, y, z), [z], y=[0.0]), np.array([0.3, -0.2, 0.0])
    turning = SlowForm(plane, lambda p: np.array([-p[1], p[0], 0.0]))
    loop = small_loop(plane, at, 0.1)
    frame = LocalGeometry.at(plane, at).tangent
    side = np.linalg.det(frame[:2])
    assert turning.curl(at).matrix[0, 1] == pytest.approx(2 * side, rel=1e-9)
    assert turning.circulation(loop).value == pytest.approx(2 * np.pi * 0.01 * side, rel=1e-12)
    radial = SlowForm(plane, lambda p: p * np.exp(-p @ p))
    assert radial.curl(at).vanishes is True
    assert radial.circulation(loop).vanishes is True


def test_answers_for_derive():
    yes = gradient_test(Derived(MODEL, GRADIENT["sgd"]), THETA)
    no = gradient_test(Derived(MODEL, CIRCULATES["one sample a step"]), THETA)
    assert (yes.gradient, no.gradient) == (True, False)
    assert yes.closed_form_differs < 1e-11
    assert no.closed_form_differs is None
    assert "gradient: yes: curl = " in " ".join(yes.lines())
    assert "gradient: no: curl = 0." in " ".join(no.lines())
    assert no.as_json()["gradient"] is False
    assert no.as_json()["curl"][0][1] != 0
    curve = Model((A, B), A * B, y=[1.0])
    on_curve = gradient_test(Derived(curve, Algorithm(0.3, "full", NOISE)), np.array([1.6, 0.625]))
    assert on_curve.gradient is True
    assert "a curve" in " ".join(on_curve.lines())


def test_no_answer_where_the_theory_has_no_drift():
    """Beyond the limit of the learning rate, and from a start with no zero-loss point near it."""
    beyond = gradient_near(Derived(MODEL, Algorithm(2.5 * LR, "full", NOISE)), THETA)
    nowhere = Model((A, B), [A**2 + B**2], y=[-1.0])
    missing = gradient_near(Derived(nowhere, Algorithm(0.1, "full", NOISE)), np.array([1.0, 1.0]))
    for test, why in ((beyond, "learning rate"), (missing, "interpolation")):
        assert test.gradient is None
        assert "Not tested: " + why in " ".join(test.lines())


def test_a_curve_has_no_small_loop():
    with pytest.raises(NotApplicable, match="it is 1"):
        small_loop(Model((A, B), A * B, y=[1.0]), np.array([1.6, 0.625]), 0.1)


def test_a_rule_that_descends_in_no_metric_is_measured_in_the_euclidean_one():
    @dataclass(frozen=True)
    class Twisted(UpdateRule):
        def update(self, theta, memory, gradient, c):
            g = gradient(theta)
            return theta - c.lr * (g + sp.Matrix([-g[1], g[0], 0, 0])), ()

    np.testing.assert_array_equal(rule_metric(Algorithm(0.1, "full", NOISE, rule=Twisted()), 4), np.eye(4))
