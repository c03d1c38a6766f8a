"""Certificates of stationary points: each outcome is seen."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.certify import _Numeric, certify, stationary_points
from flatmin.theory.errors import NoInterpolation
from flatmin.theory.intervals import NoEnclosure, enclose, working_precision
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import iv

u, v, w, a, b, p, x = sp.symbols("u v w a b p x", real=True)
NOISE = LabelNoise(0.1)
TANH = Model((w, a, b), a * sp.tanh(w * x) + b * x, inputs=(x,), x=[[1.0], [3.0]], y=[1.0, 0.5])
FULL = Algorithm(0.27, "full", NOISE)


@pytest.fixture(scope="module")
def tanh_root():
    return stationary_points(TANH, FULL, [np.array([2.0, 1.3, -0.27])])[0]


def test_the_fixed_point_of_the_documented_study(tanh_root):
    # Four digits are what the contract prints.
    assert np.round(tanh_root.theta, 4) == pytest.approx([1.2572, 1.6109, -0.3697], abs=1e-9)
    assert tanh_root.certified
    assert tanh_root.stable


def test_a_moved_point_is_not_certified(tanh_root):
    for direction in np.eye(3):
        assert not certify(TANH, FULL, tanh_root.theta + 1e-6 * direction).certified
    assert certify(TANH, FULL, tanh_root.theta + 1e-11).certified
    wide = certify(TANH, FULL, tanh_root.theta + 1e-6, radius=1e-5)
    assert wide.certified


def test_another_learning_rate_has_another_root(tanh_root):
    assert not certify(TANH, Algorithm(0.26, "full", NOISE), tanh_root.theta).certified


def test_roots_of_the_product_are_both_found_and_positive_first():
    roots = stationary_points(Model((u, v), u * v, y=[1.0]), Algorithm(0.5, 1, NOISE))
    assert [r.theta.tolist() for r in roots] == [[1.0, 1.0], [-1.0, -1.0]]
    assert all(r.certified and r.stable for r in roots)


def test_none_outside_the_domain():
    model = Model((u, v), u * v, y=[1.0])
    assert stationary_points(model, Algorithm(1.2, 1, NOISE)) == []
    root = certify(model, Algorithm(1.2, 1, NOISE), [1.0, 1.0])
    assert not root.certified
    assert "domain" in root.reason


def test_a_saddle_is_certified_and_not_stable():
    # On uv + cos(w) - 1 = 1 the trace u^2 + v^2 + sin(w)^2 has a stationary point of saddle type at w = pi/2 (mod pi).
    model = Model((u, v, w), u * v + sp.cos(w) / 10, y=[1.0])
    roots = stationary_points(model, Algorithm(0.3, 1, NOISE))
    assert {r.stable for r in roots if r.certified} == {True, False}


def test_a_continuous_symmetry_is_reported():
    model = Model((u, v, w, p), u * v + w * p, y=[1.0])
    root = certify(model, Algorithm(0.3, 1, NOISE), [1.0, 1.0, 0.0, 0.0])
    assert not root.certified
    assert "not isolated" in root.reason
    assert root.stable is None


def test_dependent_samples_are_reported():
    model = Model((u, v), [u * v, 2 * u * v], y=[1.0, 2.0])
    root = certify(model, Algorithm(0.1, 1, NOISE), [1.0, 1.0])
    assert not root.certified
    assert "rank 1 of n=2" in root.reason


def test_abs_is_certified_away_from_its_kink():
    model = Model((u, v), sp.Abs(u) * v, y=[1.0])
    assert certify(model, Algorithm(0.3, 1, NOISE), [-1.0, 1.0]).certified


def test_no_zero_loss_point():
    with pytest.raises(NoInterpolation):
        stationary_points(Model((u, v), sp.exp(u + v), y=[-1.0]), Algorithm(0.1, 1, NOISE))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-15, 15).map(lambda k: k / 10), min_size=3, max_size=3), st.integers(0, 2))
def test_kkt_jacobian_is_the_derivative_of_the_kkt_system(theta, k):
    f = [u * v + sp.sin(w), u * w + sp.exp(v / 2)]
    model = Model((u, v, w), f, y=[0.0, 0.0])
    numeric = _Numeric(model, 0.05)  # eta h stays far from 2 for these points
    theta, mu, step = np.array(theta), np.array([0.3, -0.7]), 1e-5 * np.eye(5)[k]
    ahead, behind = numeric.kkt(theta + step[:3], mu), numeric.kkt(theta - step[:3], mu)
    # Central differences: step^2 times third derivatives of order ten.
    assert (ahead.value - behind.value) / 2e-5 == pytest.approx(numeric.kkt(theta, mu).jacobian[:, k], abs=1e-7)
    slope = (numeric.regularizer(theta + step[:3]) - numeric.regularizer(theta - step[:3])) / 2e-5
    gradient = numeric.kkt(theta, np.zeros(2)).value[k]
    assert slope == pytest.approx(gradient, abs=1e-7)
    # The d x d form (1/2) D3L[(2 - eta H)^-1], for Gauss-Newton H, is the same vector.
    assert gradient == pytest.approx(numeric.gradient(theta)[k], abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(-40, 40).map(lambda k: k / 16), st.integers(0, 16).map(lambda k: k / 256), st.integers(0, 8))
def test_enclosures_hold_the_values(middle, half, part):
    expression = sp.tanh(x) * sp.exp(-(x**2)) + sp.sin(x) ** 3 / (2 + sp.cosh(x)) - sp.sqrt(x**2 + sp.Rational(1, 3))
    inside = sp.Rational(middle) + sp.Rational(half) * (sp.Rational(part, 4) - 1)
    with working_precision(80):
        box = enclose(expression, {x: iv.mpf([middle - half, middle + half])}, {})
        exact = iv.mpf(str(sp.N(expression.subs(x, inside), 40)))
        # The reference has 40 digits, the enclosure 80 bits: 1e-22 is a hundred times its own rounding.
        assert box.a <= exact.b + 1e-22
        assert exact.a <= box.b + 1e-22
        assert box.delta <= 40 * half + 1e-20


@pytest.mark.parametrize("expression", [1 / x, sp.log(x), sp.sign(x), sp.erf(x), sp.sqrt(x)])
def test_no_enclosure_across_a_singularity_or_for_an_unknown_function(expression):
    with pytest.raises(NoEnclosure):
        enclose(expression, {x: iv.mpf([-1, 1])}, {})
