"""A model whose zero-loss set is a circle, with noise that drives the slow motion around it."""

from __future__ import annotations

import sympy as sp
from flatmin.theory import Algorithm, GradientNoise, Model

X, Y, Z, W = sp.symbols("x y z w", real=True)
START = [1.0, 0.0, 0.0, 0.0]
# On the circle x^2 + y^2 = 1, z = w = 0; e_p and e_q turn with it.
E_P, E_Q = sp.Matrix([0, 0, X, Y]), sp.Matrix([0, 0, -Y, X])


def circle(p: float = 3.05, q: float = 1.6) -> Model:
    """Curvatures p^2/3 along e_p, q^2/3 along e_q and 4/3 along the radius."""
    return Model((X, Y, Z, W), [X**2 + Y**2, p * (X * Z + Y * W), q * (X * W - Y * Z)], y=[1.0, 0.0, 0.0])


def turned_by(matrix: list[list[float]], lr: float = 0.5) -> Algorithm:
    """Noise with this covariance in the frame (e_p, e_q)."""
    frame = sp.Matrix.hstack(E_P, E_Q)
    return Algorithm(lr, "full", GradientNoise(frame * sp.Matrix(matrix) * frame.T, 1e-4))


def angular_speed(pq: float, lr: float = 0.5, p: float = 3.05, q: float = 1.6) -> float:
    """By hand: d(angle)/dt = -Sigma_pq (h_p - h_q)/(h_p + h_q - eta h_p h_q)."""
    h, k = p**2 / 3, q**2 / 3
    return -pq * (h - k) / (h + k - lr * h * k)
