"""Draws with replacement of models over an index, four of a replica at once."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims.indexed_codegen import generate_indexed
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import RADEMACHER, WITH_REPLACEMENT
from flatmin.sims.replay import KernelMismatch, check_kernel
from indexed_models import difference_model, start
from indexed_runs import advance, fresh, replayed
from kernel_models import WholeKernel


@pytest.fixture(scope="module")
def kernel():
    return WholeKernel.for_model(difference_model())


# Two vectors of replicas, or four, and a part of one; draws by four at once, and what is left over.
@pytest.mark.parametrize("batch", [6, 8, 11])
def test_draws_of_many_replicas_equal_the_replay(kernel, batch):
    arguments = {"sampling": WITH_REPLACEMENT, "batch": batch, "law": RADEMACHER}
    state = fresh(kernel.model, 21)
    got = advance(kernel, state, range(1, 8), **arguments)
    np.testing.assert_allclose(got, replayed(kernel.model, 21, 7, **arguments), rtol=0, atol=1e-12)


MUTANTS = {
    "lower halves twice": [("v.right(word, 32), v.each", "v.each(v.builder.and_, word, 0xFFFFFFFF), v.each")],
    "draws of another replica": [("*pairs[k % 2], [first", "*pairs[0], [first")],
    "the same word twice": [
        ("word, state = next_word(v", "word, again = next_word(v"),
        ("[*state, word]", "[*again, word]"),
    ],
    "a generator that stands still": [("zip(rows, [*state, word])", "zip(rows[4:], [word])")],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_of_draws_are_caught(mutant):
    model = difference_model()
    text = generate_indexed(model)
    for right, wrong in MUTANTS[mutant]:
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    with pytest.raises(KernelMismatch):
        check_kernel(Kernel.from_source(model, text), start(model), 8, WITH_REPLACEMENT, RADEMACHER)
