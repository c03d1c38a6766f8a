"""How long it takes to know the drift along the zero-loss set to a given precision.

As the user of a bare simulator estimates it: many replicas from theta0, a burn-in, and the change of a coordinate along
the set over a window, divided by the length of the window; no control variate. The coordinate is u^2 - v^2 for f = u v
(without noise of first order), and the component along the predicted drift otherwise. An engine's module may define
`measure_drift(work, seconds, seed) -> Measured | None` to do better.

The slowest direction of W2a and W2b relaxes in 19 000 steps, over which the parameters would move far: there the window
is about 140 relaxation times of the fastest direction and 4 of the next. The slowest has little part in the drift: the
means come out within 1 % of the theory.

The O(lambda) part is the difference between the mean and what the flow of the theory, to leading order, gives for the
same window. Its leading term is taken from the differences at sigma and at 2 sigma, where it is 16 times larger.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow
from flatmin.theory.geometry import LocalGeometry

from .models import algorithm, model
from .protocol import Array, Engine
from .works import Work

__all__ = ["PLANS", "TARGETS", "Measured", "component", "expansion", "order_lambda", "plain", "predicted", "seconds_to"]

# Steps of burn-in and of the window.
PLANS = {"W1": (64, 192), "W2a": (1024, 2048), "W2b": (1024, 2048)}
TARGETS = (0.01, 0.001)
FACTOR = 2.0  # of sigma, for the O(lambda) part


@dataclass(frozen=True)
class Measured:
    """An estimate of the drift per step: its standard error, and the seconds that it took."""

    mean: float
    error: float
    seconds: float


def _drift(work: Work) -> Array:
    fitting = model(work)
    return Derived(fitting, algorithm(work)).drift(LocalGeometry.at(fitting, work.theta0))


def component(work: Work, theta: Array) -> Array:
    """The coordinate along the zero-loss set of each replica, shape (replicas,), for theta of shape (d, replicas)."""
    if work.model == "uv":
        return theta[0] ** 2 - theta[1] ** 2
    drift = _drift(work)
    return drift @ theta / np.linalg.norm(drift)


def expansion(work: Work) -> tuple[Array, Array]:
    """Gradient and Hessian of that coordinate at theta0."""
    if work.model == "uv":
        return 2 * work.theta0 * np.array([1.0, -1.0]), np.diag([2.0, -2.0])
    drift = _drift(work)
    return drift / np.linalg.norm(drift), np.zeros((work.d, work.d))


def predicted(work: Work) -> float:
    """The drift of that coordinate at theta0, to leading order in lambda."""
    drift = _drift(work)
    if work.model == "uv":
        u, v = work.theta0
        return float(2 * u * drift[0] - 2 * v * drift[1])
    return float(np.linalg.norm(drift))


def plain(engine: Engine, work: Work, seconds: float, seed: int) -> Measured:
    """Measure by the plain estimator, as many passes over the replicas as fit into `seconds`, at least one."""
    burn_in, window = PLANS[work.name]
    component(work, engine_at(engine, seed, burn_in, window))  # compiles what has to be
    slopes: list[Array] = []
    began = time.perf_counter()
    while not slopes or time.perf_counter() - began < seconds:
        start = component(work, engine_at(engine, seed + 1 + len(slopes), burn_in))
        engine.run(window)
        slopes.append((component(work, engine.theta()) - start) / window)
    elapsed = time.perf_counter() - began
    every = np.concatenate(slopes)
    return Measured(float(every.mean()), float(every.std(ddof=1) / np.sqrt(len(every))), elapsed)


def engine_at(engine: Engine, seed: int, *lengths: int) -> Array:
    """Theta after runs of these lengths from the start."""
    engine.start(seed)
    for steps in lengths:
        engine.run(steps)
    return np.array(engine.theta())


def flowing(work: Work) -> float:
    """The mean drift over the window to leading order, along the flow that starts at theta0 without burn-in."""
    burn_in, window = PLANS[work.name]
    theory = Derived(model(work), algorithm(work))
    times = work.eta * theory.strength * np.array([burn_in, burn_in + window])
    start, end = component(work, SlowFlow(theory).path(work.theta0, times).T)
    return float((end - start) / window)


def order_lambda(work: Work, weak: Measured, strong: Measured) -> tuple[float, float]:
    """The part of the drift that is O(lambda) smaller than the leading one, from sigma and FACTOR sigma; its error."""
    square = FACTOR**2
    at_weak, at_strong = weak.mean - flowing(work), strong.mean - flowing(work.changed(sigma=FACTOR * work.sigma))
    part = (at_weak - at_strong / square) / (1 - square)
    return part, float(np.hypot(weak.error, strong.error / square) / (square - 1))


def seconds_to(measured: Measured, error: float) -> float:
    """Seconds to this standard error, by scaling."""
    return measured.seconds * (measured.error / error) ** 2
