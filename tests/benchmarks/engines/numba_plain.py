"""Numba as one first writes it: a loop over replicas and steps, np.random, math.tanh, gradients by hand.

On more than one core the loop over the replicas is a `prange`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange, set_num_threads

from ..protocol import Array, Sums
from ..works import GROUPS, Work

# A loop is run(steps, theta, first, second, x, y, eta, sigma, batch, full): rows of theta and of the sums are replicas.


@njit
def _noise(sigma):
    return sigma if np.random.random() < 0.5 else -sigma  # noqa: NPY002


@njit
def _seed(seed):
    np.random.seed(seed)  # noqa: NPY002


def _uv(statistics: bool, parallel: bool):
    @njit(parallel=parallel)
    def run(steps, theta, first, second, x, y, eta, sigma, batch, full):
        for k in prange(len(theta)):
            u, v = theta[k, 0], theta[k, 1]
            su = sv = suu = suv = svv = 0.0
            for _ in range(steps):
                f = u * v
                if statistics:
                    su += u
                    sv += v
                    suu += u * u
                    suv += f
                    svv += v * v
                change = eta * (f - y[0] - _noise(sigma))
                u, v = u - change * v, v - change * u
            theta[k, 0], theta[k, 1] = u, v
            first[k, 0], first[k, 1] = su, sv
            second[k, 0], second[k, 1], second[k, 2] = suu, suv, svv

    return run


def _tanh(statistics: bool, parallel: bool):
    @njit(parallel=parallel)
    def run(steps, theta, first, second, x, y, eta, sigma, batch, full):
        for k in prange(len(theta)):
            a, b, c, d = theta[k, 0], theta[k, 1], theta[k, 2], theta[k, 3]
            sa = sb = sc = sd = saa = sab = sac = sad = sbb = sbc = sbd = scc = scd = sdd = 0.0
            for _ in range(steps):
                if statistics:
                    sa, sb, sc, sd = sa + a, sb + b, sc + c, sd + d
                    saa, sab, sac, sad = saa + a * a, sab + a * b, sac + a * c, sad + a * d
                    sbb, sbc, sbd = sbb + b * b, sbc + b * c, sbd + b * d
                    scc, scd, sdd = scc + c * c, scd + c * d, sdd + d * d
                ga = gb = gc = gd = 0.0
                for j in range(batch):
                    i = j if full else np.random.randint(0, len(y))  # noqa: NPY002
                    s, t = math.tanh(b * x[i, 0]), math.tanh(d * x[i, 0])
                    r = a * s + c * t - y[i] - _noise(sigma)
                    ga += r * s
                    gb += r * a * x[i, 0] * (1 - s * s)
                    gc += r * t
                    gd += r * c * x[i, 0] * (1 - t * t)
                a -= eta / batch * ga
                b -= eta / batch * gb
                c -= eta / batch * gc
                d -= eta / batch * gd
            theta[k] = np.array([a, b, c, d])
            first[k] = np.array([sa, sb, sc, sd])
            second[k] = np.array([saa, sab, sac, sad, sbb, sbc, sbd, scc, scd, sdd])

    return run


def _square(statistics: bool, parallel: bool):
    @njit(parallel=parallel)
    def run(steps, theta, first, second, x, y, eta, sigma, batch, full):
        d = theta.shape[1]
        for k in prange(len(theta)):
            gradient = np.empty(d)
            for _ in range(steps):
                gradient[:] = 0.0
                for _ in range(batch):
                    i = np.random.randint(0, len(y))  # noqa: NPY002
                    r = -y[i] - _noise(sigma)
                    for j in range(d):
                        r += theta[k, j] * theta[k, j] * x[i, j]
                    for j in range(d):
                        gradient[j] += r * x[i, j]
                for j in range(d):
                    if statistics:
                        first[k, j] += theta[k, j]
                        second[k, j] += theta[k, j] * theta[k, j]
                    theta[k, j] -= eta / batch * 2 * theta[k, j] * gradient[j]

    return run


def _mlp(statistics: bool, parallel: bool):
    @njit(parallel=parallel)
    def run(steps, theta, first, second, x, y, eta, sigma, batch, full):
        p = x.shape[1]
        hidden = theta.shape[1] // (p + 1)
        for n in prange(len(theta)):
            a, w = theta[n, :hidden], theta[n, hidden:].reshape(hidden, p)
            ga, gw, t = np.empty(hidden), np.empty((hidden, p)), np.empty(hidden)
            for _ in range(steps):
                if statistics:
                    for j in range(theta.shape[1]):
                        first[n, j] += theta[n, j]
                        second[n, j] += theta[n, j] * theta[n, j]
                ga[:], gw[:] = 0.0, 0.0
                for _ in range(batch):
                    i = np.random.randint(0, len(y))  # noqa: NPY002
                    r = -y[i] - _noise(sigma)
                    for k in range(hidden):
                        z = 0.0
                        for j in range(p):
                            z += w[k, j] * x[i, j]
                        t[k] = math.tanh(z)
                        r += a[k] * t[k]
                    for k in range(hidden):
                        ga[k] += r * t[k]
                        back = r * a[k] * (1 - t[k] * t[k])
                        for j in range(p):
                            gw[k, j] += back * x[i, j]
                for k in range(hidden):
                    a[k] -= eta / batch * ga[k]
                    for j in range(p):
                        w[k, j] -= eta / batch * gw[k, j]

    return run


LOOPS = {"uv": _uv, "tanh": _tanh, "square": _square, "mlp": _mlp}


class Engine:
    def __init__(self, work: Work, cores: int) -> None:
        self.work = work
        self.loop = LOOPS[work.model](work.statistics, cores > 1)
        if cores > 1:
            set_num_threads(cores)
        self.start(0)
        self.run(0)  # compiles

    def start(self, seed: int) -> None:
        _seed(seed)
        self.state = np.repeat(self.work.theta0[None, :], self.work.replicas, axis=0)

    def theta(self) -> Array:
        return self.state.T

    def run(self, steps: int) -> Sums:
        work = self.work
        first, second = np.zeros_like(self.state), np.zeros((work.replicas, len(work.pairs[0])))
        data = (work.x, work.y, work.eta, work.sigma, work.batch, work.full)
        self.loop(steps, self.state, first, second, *data)
        return tuple(m.reshape(GROUPS, -1, m.shape[1]).sum(axis=1) for m in (first, second))
