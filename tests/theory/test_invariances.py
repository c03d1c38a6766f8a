"""What changes nothing: the order of the samples, their multiplicity, coordinates, units of the prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, WeightDecay
from flatmin.theory.testing import Case, cases
from hypothesis import assume, given
from hypothesis import strategies as st
from routes import few, quantities


def of_samples(case, order):
    """The same problem with samples taken from these places."""
    model, noise = case.model, case.algorithm.noise
    if isinstance(getattr(noise, "sigma", None), tuple):
        noise = replace(noise, sigma=tuple(noise.sigma[i] for i in order))
    again = Model(model.parameters, [model.prediction[i] for i in order], y=model.y[order], loss=model.loss_name)
    return Case(again, replace(case.algorithm, noise=noise), case.theta)


@few(5)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(case, random):
    order = list(range(case.model.n))
    random.shuffle(order)
    there = quantities(case)
    np.testing.assert_allclose(quantities(of_samples(case, order)), there, rtol=0, atol=1e-10 * np.abs(there).max())


@few(6)
@given(cases())
def test_every_sample_twice(case):
    """With replacement the law is the same; the full batch has twice as many draws, so that all falls by half."""
    twice = of_samples(case, [*range(case.model.n), *range(case.model.n)])
    here = replace(case.algorithm, sampling="with-replacement")
    # An algorithm drawn without replacement may be unstable with.
    assume(Derived(*replace(case, algorithm=here).square).second_moment_radius(case.local) < 0.999)
    factor = 2.0 if case.algorithm.batch_size == "full" and case.algorithm.noise.kind != "gradient" else 1.0
    there = quantities(case, here)
    again = quantities(twice, replace(twice.algorithm, sampling="with-replacement"))
    np.testing.assert_allclose(factor * again, there, rtol=0, atol=1e-9 * np.abs(there).max())


def turned(case, matrix):
    """The problem in coordinates phi with theta = Q phi."""
    model, noise = case.model, case.algorithm.noise
    q = sp.Matrix(model.d, model.d, [sp.Float(float(v), 17) for v in matrix.ravel()])
    there = dict(zip(model.parameters, q * sp.Matrix(model.parameters), strict=True))
    again = Model(
        model.parameters, [f.subs(there, simultaneous=True) for f in model.prediction], y=model.y, loss=model.loss_name
    )
    if noise.kind == "gradient":
        sigma = noise.on(model).subs(there, simultaneous=True)
        noise = replace(noise, covariance=q.T * sigma * q)
    return Case(again, replace(case.algorithm, noise=noise), matrix.T @ case.theta)


def in_turned_coordinates(case, matrix):
    rows = quantities(turned(case, matrix))
    return np.vstack([matrix @ rows[:-1] @ matrix.T, matrix @ rows[-1]])


@st.composite
def orthogonal(draw, d):
    """A product of plane rotations and a reflection."""
    q = np.diag([draw(st.sampled_from((-1.0, 1.0))), *np.ones(d - 1)])
    for i in range(d - 1):
        c, s = draw(st.sampled_from(((0.6, 0.8), (-0.8, 0.6), (5 / 13, 12 / 13))))
        turn = np.eye(d)
        turn[i : i + 2, i : i + 2] = [[c, -s], [s, c]]
        q = q @ turn
    return q


@few(3)
@given(cases(rules=[SGD, HeavyBall, Nesterov, WeightDecay, SharpnessAware]), st.data())
def test_isotropic_rules_know_no_coordinates(case, data):
    there = quantities(case)
    found = in_turned_coordinates(case, data.draw(orthogonal(case.model.d)))
    np.testing.assert_allclose(found, there, rtol=0, atol=1e-9 * np.abs(there).max())


def test_a_preconditioner_knows_its_coordinates():
    """The check of the turned coordinates can fail: unless the diagonal is turned with them."""
    u, v, w = sp.symbols("u v w", real=True)
    model, theta = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5]), np.array([1.3, 1 / 1.3, -0.5 / 1.3])
    case = Case(model, Algorithm(0.3, 1, LabelNoise(0.1), rule=Preconditioned((1.0, 0.5, 2.0))), theta)
    there, size = quantities(case), np.abs(quantities(case)).max()
    swap = np.eye(3)[[1, 0, 2]]
    assert np.abs(in_turned_coordinates(case, swap) - there).max() > 1e-2 * size
    turned_rule = replace(case.algorithm, rule=Preconditioned((0.5, 1.0, 2.0)))
    again = in_turned_coordinates(replace(case, algorithm=turned_rule), swap)
    np.testing.assert_allclose(again, there, rtol=0, atol=1e-12 * size)


@few(6)
@given(cases(kinds=["label", "gradient"]), st.sampled_from((-1.0, 0.5, 3.0)))
def test_units_of_the_prediction_do_not_matter(case, unit):
    """f, y and sigma in other units, lr by their inverse square: the same iterates, so the same S and drift."""
    model, algorithm = case.model, case.algorithm
    scaled = Model(model.parameters, [sp.Float(unit) * f for f in model.prediction], y=unit * model.y)
    rule, noise = algorithm.update_rule, algorithm.noise
    if isinstance(rule, SharpnessAware):
        rule = replace(rule, rho=rule.rho / unit**2)
    if noise.kind == "label":
        noise = noise.scaled(unit**2)
        if isinstance(rule, WeightDecay):  # lambda is what it was
            rule = replace(rule, ratio=rule.ratio * unit**2)
    else:
        # The noise added to theta has covariance lr lambda Sigma.
        noise = noise.scaled(unit**2)
    same = replace(algorithm, lr=algorithm.lr / unit**2, rule=rule, noise=noise)
    there = quantities(case)
    np.testing.assert_allclose(
        quantities(Case(scaled, same, case.theta)), there, rtol=0, atol=1e-9 * np.abs(there).max()
    )
    other = quantities(Case(scaled, replace(same, lr=1.1 * same.lr), case.theta)) if unit == 0.5 else 2 * there
    assert np.abs(other - there).max() > 1e-3 * np.abs(there).max()
