"""Random smooth models for property tests: any f and theta* will do, with y_i defined as f_i(theta*)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry
from hypothesis import assume
from hypothesis import strategies as st

_TERMS = (
    lambda a, b: a * b,
    lambda a, b: a * sp.tanh(b),
    lambda a, b: sp.exp(a / 2) * b,
    lambda a, b: sp.sin(a) + b**2,
    lambda a, b: sp.log(1 + a**2) * b,
    lambda a, b: a**2 * b,
)


def _number(low: float, high: float):
    return st.integers(1, 999).map(lambda k: round(low + (high - low) * k / 1000, 4))


@st.composite
def zero_loss_points(draw, largest: int = 3):
    """A model of 2 to `largest` parameters and fewer samples, and a zero-loss point of it."""
    d = draw(st.integers(2, largest))
    n = draw(st.integers(1, d - 1))
    parameters = sp.symbols(f"p0:{d}", real=True)
    expressions = []
    for _ in range(n):
        terms = draw(st.lists(st.sampled_from(_TERMS), min_size=1, max_size=2))
        pairs = [draw(st.permutations(parameters))[:2] for _ in terms]
        factors = [sp.Rational(draw(st.integers(5, 15)), 10) for _ in terms]
        expressions.append(sum(c * term(*pair) for c, term, pair in zip(factors, terms, pairs)))
    signs = [draw(st.sampled_from((-1.0, 1.0))) for _ in range(d)]
    theta = np.array([s * draw(_number(0.5, 1.5)) for s in signs])
    assume(all(e.free_symbols for e in expressions))
    f = Model(parameters, expressions, y=np.zeros(n)).samples.value(theta)
    model = Model(parameters, expressions, y=f)
    local = LocalGeometry.at(model, theta)
    # Errors of all routes are amplified by the condition number; 100 leaves six digits of slack below 1e-8.
    assume(local.rank == n and local.curvatures[-1] > 1e-2 * local.curvatures[0] > 0)
    return model, theta


@st.composite
def stable_cases(draw, largest: int = 3):
    """Model, algorithm of any sampling below its stability limits, zero-loss point."""
    model, theta = draw(zero_loss_points(largest))
    size = draw(st.sampled_from(["full", 1, 2]))
    samplings = ["with-replacement"] + (["without-replacement"] if size != "full" and size <= model.n else [])
    one = st.floats(0.05, 1.0)
    sigma = draw(st.one_of(one, st.lists(one, min_size=model.n, max_size=model.n)))
    local = LocalGeometry.at(model, theta)
    lr = draw(_number(0.1, 1.8)) / float(local.curvatures[0])
    algorithm = Algorithm(lr, size, LabelNoise(sigma), draw(st.sampled_from(samplings)))
    while Derived(model, algorithm).second_moment_radius(local) > 0.95:
        algorithm = replace(algorithm, lr=algorithm.lr / 2)
        # Halving lr raises the slow eigenvalue 1 - lr h: give up where no lr leaves room.
        assume(algorithm.lr * local.curvatures[-1] > 0.03)
    return model, algorithm, theta
