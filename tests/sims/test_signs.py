"""Full batches whose signs are bits of words: lists of one to 32 samples, and mutants of how labels are found."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.codegen import generate
from flatmin.sims.kernel import Kernel
from flatmin.sims.kernel_vector import LENGTH
from flatmin.sims.lanes import FULL, RADEMACHER
from flatmin.sims.replay import KernelMismatch, check_kernel
from flatmin.theory import Model

START = np.array([1.2, 0.6])


def products(n: int) -> Model:
    """n samples of x u v + u^2, whose targets differ."""
    u, v = sp.symbols("u v", real=True)
    return Model((u, v), [(1 + k) * u * v / n + u**2 for k in range(n)], y=np.linspace(0.5, 1.5, n))


# One to four samples take several steps at once, 3 and 5 leave bits of a word over, 32 use up a word in two steps.
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 32])
def test_each_sample_has_its_own_signs(n):
    model = products(n)
    check_kernel(Kernel.for_model(model), START, n, FULL, RADEMACHER)


MUTANTS = {
    "a bit in a wrong place": ("v.left(moved, by)", "v.left(moved, by - 1)"),
    "halves of a square that are not exchanged": ("while by:\n", "while by > 1:\n"),
    "four bits of another vector": ("8 * number + lane // 8", "8 * number"),
    "odd vectors like even ones": ("builder.and_(base, INDEX(LENGTH))", "INDEX(0)"),
    "the table of the first sample": ("i * len(CHOICES) * LENGTH, choice", "choice"),
    "signs of the first step": ("builder.mul(phase, INDEX(8 * N))", "INDEX(0)"),
    "a step forgotten": ("builder.store(builder.add(at, INDEX(8 * N * count)), turn)", "pass"),
    "noise with the other sign": ("in (v.add([target], [size]), v", "in (v.sub([target], [size]), v"),
    "no noise": ("(v.add([target], [size]), v.sub([target], [size]))", "([target], [target])"),
}


@pytest.mark.skipif(LENGTH != 4, reason="vectors of eight numbers have tables in registers")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant):
    model, (right, wrong) = products(2), MUTANTS[mutant]
    text = generate(model)
    assert text.count(right) == 1
    with pytest.raises(KernelMismatch):
        check_kernel(Kernel.from_source(model, text.replace(right, wrong)), START, 2, FULL, RADEMACHER)


def test_paths_that_part_by_themselves_are_no_mismatch():
    """Where grad f is small the learning rate of the comparison is large, and a last bit grows to 0.2 in 67 steps."""
    u, v, w = sp.symbols("u v w", real=True)
    model, start = Model((u, v, w), [(u * v * w) ** 2 - u * v * w], y=[0.5]), np.array([0.6, 0.7, 0.8])
    text = generate(model)
    check_kernel(Kernel.from_source(model, text), start, 1, FULL, RADEMACHER)
    wrong = text.replace("in (v.add([target], [size]), v", "in (v.sub([target], [size]), v")
    assert wrong != text
    with pytest.raises(KernelMismatch):
        check_kernel(Kernel.from_source(model, wrong), start, 1, FULL, RADEMACHER)
