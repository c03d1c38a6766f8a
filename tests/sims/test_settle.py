"""Where the descent without noise ends does not depend on the clock, which says where it is cut."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import engine, simulate
from flatmin.sims.kernel import Kernel
from flatmin.theory import Algorithm, LabelNoise, Model

U, V = sp.symbols("u v", real=True)


@pytest.fixture(scope="module")
def kernel():
    """u^4 is flat where it fits u = 0: nothing comes to rest there. The other parameter does."""
    return Kernel.for_model(Model((U, V), [U**4 / 4, V], y=[0.0, 0.5]))


def ends(kernel, monkeypatch, start, size):
    monkeypatch.setattr(engine, "next_size", lambda steps, seconds: size)
    run = simulate(
        kernel,
        Algorithm(lr=0.3, batch_size="full", noise=LabelNoise(0.1)),
        None,
        start,
        64,
        [0, 40],
        settle=True,
        seed=1,
    )
    return run.points, run.settled


@pytest.mark.parametrize("u", [0.0, 0.8])
def test_cuts_change_no_bit(kernel, monkeypatch, u):
    monkeypatch.setattr(engine, "_MAX_SETTLE_STEPS", 1600)
    (points, settled), *others = (ends(kernel, monkeypatch, [u, 0.4], size) for size in (1, 100, 1000, 5000))
    assert settled.all() == (u == 0.0)
    for cut, rested in others:
        assert np.array_equal(cut, points)
        assert np.array_equal(rested, settled)
