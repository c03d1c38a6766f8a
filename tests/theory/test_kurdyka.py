"""The Kurdyka-Lojasiewicz exponent on models whose delta and mu are known exactly."""

from __future__ import annotations

import json
from math import prod

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.derivation import derive
from flatmin.theory.kurdyka import kurdyka, kurdyka_assumption, singular_point
from flatmin.theory.report import as_json, as_latex, as_text
from hypothesis import given, settings
from hypothesis import strategies as st

u, v, w = sp.symbols("u v w", real=True)
HYPERBOLA = Model((u, v), u * v, y=[1.0])
CROSS = Model((u, v), u * v, y=[0.0])
PAIR = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])


def of_powers(powers):
    """Delta and mu of f = prod x_i^k_i at 0, K = sum k_i.

    L = f^2/2 has degree 2K and its gradient 2K - 1, so that 1 + delta = 2K/(2K-1). |grad L|^2 = f^4 sum k_i^2/x_i^2,
    and by the inequality of the means sum k_i (k_i/x_i^2) >= K prod (k_i/x_i^2)^(k_i/K), with equality on a ray.
    """
    total = sum(powers)
    mean = total * prod(k ** (k / total) for k in powers)
    power = 2 * total / (2 * total - 1)
    return power - 1, 0.5 * mean ** (-power / 2)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda k: 2 <= sum(k) <= 5))
def test_products_of_powers(powers):
    """The slope of an exact power law is known to rounding of its logarithms; SLSQP's optimum to 1e-8 in mu."""
    theta = sp.symbols(f"x:{len(powers)}", real=True)
    model = Model(theta, sp.prod(x**k for x, k in zip(theta, powers)), y=[0.0])
    found, (delta, mu) = kurdyka(model, np.zeros(len(powers))), of_powers(powers)
    assert abs(found.delta - delta) < 1e-7
    assert abs(found.mu / mu - 1) < 1e-5
    assert not found.regular


@pytest.mark.parametrize("model", [HYPERBOLA, PAIR])
def test_regular_points(model):
    """Delta = 1, and mu is the largest L/|grad L|^2 nearby: 3e-5 is twenty times the way of the samples from theta."""
    theta = np.array([2.0, 0.5, -0.25])[: model.d]
    found = kurdyka(model, theta)
    near = theta + 1e-6 * np.random.default_rng(0).normal(size=(2000, model.d))
    ratio = model.loss(near) / np.sum(model.gradient(near) ** 2, axis=-1)
    assert (found.delta, found.used, found.time_exponent) == (1, 0.5, 1.5)
    assert found.mu * 0.9 < ratio.max() < found.mu * (1 + 3e-5)


def test_two_powers_side_by_side():
    """u^4 and v^6: the higher power decides, L = v^6/4 and |grad L| = (3/2) v^5 on its axis."""
    found = kurdyka(Model((u, v), [u**2, v**3], y=[0.0, 0.0]), np.zeros(2))
    assert abs(found.delta - 1 / 5) < max(3 * found.error, 1e-8)
    assert abs(found.mu / (0.25 / 1.5**1.2) - 1) < 1e-4


def test_the_inequality_holds_with_mu_and_fails_with_less():
    found = kurdyka(CROSS, np.zeros(2))
    points = np.random.default_rng(1).uniform(-0.1, 0.1, size=(10_000, 2))
    ratio = CROSS.loss(points) / np.linalg.norm(CROSS.gradient(points), axis=-1) ** (1 + found.delta)
    assert ratio.max() <= found.mu * (1 + 1e-6)
    assert ratio.max() > found.mu * 0.999


def test_the_rate_of_gradient_descent_changes():
    """L falls as k^-2 at the crossing, geometrically elsewhere.

    There u^-2 grows by 0.4 a step from 4, as if 10 steps had gone before: the slope is off by 2 (10/k - 10/4k)/log 4,
    0.002, at k = 5,000.
    """

    def losses(model, theta, steps):
        out = []
        for k in range(1, max(steps) + 1):
            theta = theta - 0.2 * model.gradient(theta)
            if k in steps:
                out.append(float(model.loss(theta)))
        return out

    first, last = losses(CROSS, np.array([0.5, 0.5]), (5_000, 20_000))
    assert abs(np.log(first / last) / np.log(4) - kurdyka(CROSS, np.zeros(2)).decay_exponent) < 5e-3
    first, last = losses(HYPERBOLA, np.array([1.1, 1.0]), (10, 20))
    h = kurdyka(HYPERBOLA, np.ones(2))
    assert h.decay_exponent == np.inf
    assert abs(np.log(last / first) / 20 - np.log(1 - 0.2 / (2 * h.mu))) < 0.05


def test_singular_points():
    assert np.allclose(singular_point(CROSS, np.array([1.0, 0.0])), 0, atol=1e-7)
    assert singular_point(HYPERBOLA, np.array([1.0, 1.0])) is None


def test_assumption():
    good, bad = (
        kurdyka_assumption(PAIR, np.array([2.0, 0.5, -0.25])),
        kurdyka_assumption(
            Model(sp.symbols("x:13", real=True), sp.prod(sp.symbols("x:13", real=True)), y=[0.0]), np.zeros(13)
        ),
    )
    assert (good.holds, good.value) == (True, 1.0)
    assert "mu=" in good.rule
    assert not bad.holds
    assert "d=13" in bad.rule


def test_derive_shows_it():
    derivation = derive(CROSS, Algorithm(0.2, 1, LabelNoise(0.1)), (1.0, 0.1))
    text, document = as_text(derivation), json.loads(json.dumps(as_json(derivation)))
    assert "delta = 0.333333 +-" in text
    assert "T = O~(1/(eta lambda^1.333))" in text
    assert "Kurdyka-Lojasiewicz property" in as_latex(derivation)
    regular, singular = document["kurdyka"]["points"]
    assert (regular["delta"], singular["regular"]) == (1.0, False)
    assert abs(singular["delta"] - 1 / 3) < 1e-7
