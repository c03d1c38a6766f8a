"""Strengths that whole batches can give."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.strengths import MOST_DRAWS, reachable, smallest_reachable
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.noise import LabelFlip

U, V, W = sp.symbols("u v w", real=True)
MODEL = Model((U, V, W), [U * V, U * W], y=[1.0, -1.0], loss="logistic")


@pytest.mark.parametrize("batch", [1, 64, "full"])
@pytest.mark.parametrize("wanted", [1e-6, 3.3e-5, 1e-3, 0.2])
def test_flips_have_the_strengths_of_whole_batches(batch, wanted):
    algorithm = Algorithm(0.5, batch, LabelFlip(0.2))
    got = reachable(lambda s: s, MODEL, algorithm, wanted)
    least = smallest_reachable(MODEL, algorithm)
    there = algorithm.at_strength(MODEL, got)
    assert there.strength(MODEL) == pytest.approx(got, rel=1e-12)
    assert there.batch(MODEL) <= MOST_DRAWS
    assert there.batch(MODEL) % (2 if batch == "full" else 1) == 0
    assert got >= least * (1 - 1e-12)
    # At most half a batch off, where that can be had.
    largest = algorithm.at_strength(MODEL, 1e9).strength(MODEL)
    assert abs(wanted / got - 1) <= 0.51 * got / largest + 0.03 or got == pytest.approx(least) or got == largest


def test_a_schedule_is_met_as_nearly_as_batches_allow():
    """Slow times of whole steps and whole batches together: a thousandth of a step of 1000 apart, and no more."""
    algorithm = Algorithm(0.5, 64, LabelFlip(0.2))

    def admissible(strength):
        return 1.0 / np.ceil(1.0 / strength)

    for wanted in (1e-3, 4.7e-4):
        got = reachable(admissible, MODEL, algorithm, wanted)
        assert abs(1 / got - np.rint(1 / got)) < 0.02
        assert abs(got / wanted - 1) < 0.04


@pytest.mark.parametrize("batch", [1, "full"])
def test_a_ladder_has_different_strengths(batch):
    algorithm = Algorithm(0.5, batch, LabelFlip(0.2))
    largest = reachable(lambda s: s, MODEL, algorithm, 1e9)
    for top in (largest, 10 * smallest_reachable(MODEL, algorithm)):
        rungs = [reachable(lambda s: s, MODEL, algorithm, s) for s in top * np.geomspace(0.1, 1.0, 4)]
        assert len(set(rungs)) == 4


def test_label_noise_has_every_strength():
    algorithm = Algorithm(0.5, 1, LabelNoise(0.1))
    model = Model((U, V, W), [U * V, U * W], y=[1.0, -1.0])
    assert reachable(lambda s: s, model, algorithm, 1.234e-5) == 1.234e-5
    assert smallest_reachable(model, algorithm) == 0.0
