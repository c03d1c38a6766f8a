"""SGD with isotropic noise on a quadratic parametrization: what label noise is compared with.

Problem: f_i = sum_j a_ij theta_j^2, L = 1/(2n) sum (f_i - y_i)^2.
Algorithm: theta <- theta - eta (f_i - y_i) grad f_i + size xi, i drawn anew at every step, xi independent signs in R^d.
Same steps as SGD with label noise (also signs) and batch size 1, but that the noise has covariance size^2 in every
direction, along the zero-loss set too. References: HaoChen, Wei, Lee, Ma (2021), Section 2 (Langevin dynamics).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..blocks import SimulationStopped
from ..cache import load_module

__all__ = ["isotropic_sgd"]

Array = NDArray[np.float64]

# All random numbers come from outside; sums may be reordered, so that they go through vectors.
KERNEL = '''\
from numba import njit


@njit(
    "void(f8[::1], f8[:, ::1], f8[::1], i8[::1], u1[:, ::1], f8, f8)",
    nogil=True,
    error_model="numpy",
    fastmath={"contract", "reassoc", "nsz"},
    cache=True,
    no_cfunc_wrapper=True,
)
def steps(theta, a, y, samples, bits, lr, size):
    """One step for each of the samples, with a row of kicks for each: size where a bit is 1, else -size."""
    for t in range(samples.size):
        row = a[samples[t]]
        f = 0.0
        for j in range(theta.size):
            f += row[j] * theta[j] * theta[j]
        rate = 2.0 * lr * (f - y[samples[t]])
        for j in range(theta.size):
            theta[j] += size * (2.0 * bits[t, j] - 1.0) - rate * row[j] * theta[j]
'''
_TOGETHER = 2000  # steps of a call


def isotropic_sgd(
    a: Array, y: Array, start: Array, *, lr: float, size: float, steps: int, seed: int, should_stop: Callable[[], bool]
) -> Array:
    """Theta after so many steps, shape (d,); not finite where they diverge.

    Parameters
    ----------
    a : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    start : ndarray, shape (d,)
    lr : float
    size : float
        Of a kick, in each coordinate.
    steps, seed : int
    should_stop : callable
        `SimulationStopped` is raised once it returns True.
    """
    module, rng = load_module(KERNEL), np.random.default_rng(seed)
    theta, a = np.array(start, dtype=np.float64), np.ascontiguousarray(a)
    width = -(-len(theta) // 8)
    for first in range(0, steps, _TOGETHER):
        if should_stop():
            raise SimulationStopped
        count = min(_TOGETHER, steps - first)
        signs = np.frombuffer(rng.bytes(count * width), dtype=np.uint8).reshape(count, width)
        bits = np.unpackbits(signs, axis=1, count=len(theta))
        module.steps(theta, a, y, rng.integers(0, len(y), count), bits, lr, size)
    return theta
