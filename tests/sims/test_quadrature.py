"""Stochastic Lanczos quadrature against eigenvalues: brackets that hold, errors of the size that is stated."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.quadrature import stochastic_regularizer, stochastic_trace
from flatmin.theory import InvalidInput, NotApplicable
from flatmin.theory.indexed_geometry import IndexedGeometry
from indexed_models import difference_model, net_model, start, tanh_model

STEP = 0.05


def regularizer(h):
    return -np.log1p(-0.5 * STEP * h) / (2 * STEP)


def matrix(seed, size, largest=30.0):
    """A random matrix with eigenvalues from 0 to `largest`, a few of them far above the others."""
    rng = np.random.default_rng(seed)
    values = largest * rng.random(size) ** 6
    values[0] = largest
    q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (q * values) @ q.T


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_rules_bracket_every_quadratic_form(steps):
    a = matrix(0, 30)
    values, vectors = np.linalg.eigh(a)
    for seed in range(10):
        found = stochastic_trace(lambda v: a @ v, 30, regularizer, upper=30.0, probes=1, steps=steps, seed=seed)
        z = np.random.default_rng([seed, 30]).choice([-1.0, 1.0], 30)
        true = (vectors.T @ z) ** 2 @ regularizer(np.maximum(values, 0))
        # 1e-9: rounding of sums of 30 terms of order 1 to 10.
        assert abs(found.value - true) <= found.bracket + 1e-9
        assert found.bracket > 1e-6
    wide = stochastic_trace(lambda v: a @ v, 30, regularizer, upper=39.0, probes=1, steps=steps, seed=0)
    assert (
        wide.bracket
        > stochastic_trace(lambda v: a @ v, 30, regularizer, upper=30.0, probes=1, steps=steps, seed=0).bracket
    )


def test_a_whole_space_of_steps_is_exact():
    a = matrix(2, 12)
    found = stochastic_trace(lambda v: a @ v, 12, regularizer, upper=30.0, probes=4, steps=100)
    # Diagonal matrices have no spread over signs.
    diagonal = stochastic_trace(lambda v: np.arange(12.0) * v, 12, regularizer, upper=30.0, probes=3, steps=100)
    assert found.bracket < 1e-9
    assert found.standard_error > 1e-3
    assert diagonal.standard_error < 1e-9
    assert diagonal.value == pytest.approx(regularizer(np.arange(12.0)).sum(), rel=1e-10)


def test_errors_have_the_size_that_is_stated():
    a = matrix(3, 40)
    true = regularizer(np.maximum(np.linalg.eigvalsh(a), 0)).sum()
    errors = []
    for seed in range(200):
        found = stochastic_trace(lambda v: a @ v, 40, regularizer, upper=30.0, probes=12, steps=12, seed=seed)
        assert found.bracket < 0.05 * found.standard_error
        errors.append((found.value - true) / found.standard_error)
    # Student's distribution with 11 degrees of freedom: variance 1.22. Of 200 draws the sum of squares has a standard
    # error of some 13 %, the mean of 0.08; four of each.
    assert abs(np.mean(errors)) < 0.32
    assert 0.6 < np.mean(np.square(errors)) < 1.9


@pytest.mark.parametrize("make", [difference_model, net_model, lambda: tanh_model(size=3, n=40)])
def test_r_of_a_model(make):
    model = make()
    geometry = IndexedGeometry(model, start(model))
    step = 0.8 / geometry.curvatures[0]
    found = stochastic_regularizer(geometry, step, probes=64, steps=8, seed=1)
    # Four standard errors of 64 probes.
    assert abs(found.value - geometry.regularizer(step)) < 4 * found.error
    assert found.largest <= geometry.curvatures[0] * (1 + 1e-12)


def test_the_same_seed_gives_the_same_numbers():
    geometry = IndexedGeometry(difference_model(), start(difference_model()))
    assert stochastic_regularizer(geometry, 0.001, seed=4) == stochastic_regularizer(geometry, 0.001, seed=4)
    assert stochastic_regularizer(geometry, 0.001, seed=4) != stochastic_regularizer(geometry, 0.001, seed=5)


def test_refusals():
    model = difference_model()
    geometry = IndexedGeometry(model, start(model))
    with pytest.raises(NotApplicable, match="must be below 2/h_max"):
        stochastic_regularizer(geometry, 2.1 / geometry.curvatures[0])
    with pytest.raises(InvalidInput, match="step=0"):
        stochastic_regularizer(geometry, 0)
    for name in ("probes", "steps"):
        with pytest.raises(InvalidInput, match=f"{name}=0"):
            stochastic_regularizer(geometry, 0.001, **{name: 0})
    with pytest.raises(InvalidInput, match="below an eigenvalue"):
        stochastic_trace(lambda v: 2 * v, 5, regularizer, upper=1.0)
