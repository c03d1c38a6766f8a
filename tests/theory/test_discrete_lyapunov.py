"""X = a X a^T + q by doubling, against SciPy's solver and a sum by hand."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.theory.linear import discrete_lyapunov
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_lyapunov


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(0.0, 0.999))
def test_it_is_scipys_solution(size, seed, radius):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, size))
    a *= radius / np.max(np.abs(np.linalg.eigvals(a)))
    half = rng.normal(size=(3, size, size))
    forms = np.stack([half[0] + half[0].T, half[1] @ half[1].T, half[2] + half[2].T])  # one is positive
    found = discrete_lyapunov(a, forms)
    scale = np.max(np.abs(found), axis=(1, 2)).max()
    for x, q in zip(found, forms, strict=True):
        np.testing.assert_array_equal(discrete_lyapunov(a, q).shape, q.shape)
        # The equation is as ill-conditioned as 1/(1 - radius^2), times what a grows by before it decays.
        np.testing.assert_allclose(x, solve_discrete_lyapunov(a, q), rtol=0, atol=1e-8 * scale)
        np.testing.assert_allclose(a @ x @ a.T + q, x, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("gap", [0.5, 1e-3, 1e-9])
def test_one_mode_by_hand(gap):
    x = discrete_lyapunov(np.array([[1 - gap]]), np.array([[3.0]]))
    # 1 - (1 - gap)^2 is known to rounding over gap.
    assert x[0, 0] == pytest.approx(3 / (gap * (2 - gap)), rel=1e-15 / gap + 1e-14)


def test_a_rotation_that_hardly_decays():
    """The covariance of a damped rotation with equal noise is that of one mode."""
    radius, angle = 1 - 1e-6, 0.3
    turn = radius * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(discrete_lyapunov(turn, np.eye(2)), np.eye(2) / (1 - radius**2), rtol=1e-9, atol=1e-6)


def test_nothing_that_moves():
    assert discrete_lyapunov(np.zeros((0, 0)), np.zeros((0, 0))).shape == (0, 0)
    assert discrete_lyapunov(np.zeros((2, 2)), np.zeros((0, 2, 2))).shape == (0, 2, 2)
    np.testing.assert_array_equal(discrete_lyapunov(np.zeros((2, 2)), np.eye(2)), np.eye(2))
