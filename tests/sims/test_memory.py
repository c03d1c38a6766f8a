"""The memory of a generated module: every array that it cuts out of it has room."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.codegen import generate, generate_moments
from flatmin.sims.lanes import FULL, LANES, RADEMACHER
from flatmin.sims.random import block_words
from flatmin.theory import Model

U, V, X = sp.symbols("u v x", real=True)


def models(n):
    """One list and one expression with inputs."""
    y, x = np.linspace(0.1, 0.2, n), np.linspace(0.5, 1.0, n)[:, None]
    return Model((U, V), [U * V * (1 + U / (i + 9)) for i in range(n)], y=y), Model(
        (U, V), U * V * X, inputs=(X,), x=x, y=y
    )


def interpreted(text):
    """What a generated text defines, for Python: nothing is compiled, and passes over replicas do nothing."""
    for used, stub in {
        "from numba import njit, types\n": "from numba import types\ndef njit(*_, **__):\n    return lambda f: f\n",
        "from numba.extending import intrinsic\n": "def intrinsic(f):\n    return lambda *_: None\n",
    }.items():
        assert text.count(used) == 1
        text = text.replace(used, stub)
    module = {}
    exec(text, module)  # the generator's own text

    def numbers_at(space, first, count):
        assert 0 <= first <= first + count <= len(space), "no room"
        return space[first : first + count]

    def flush(raw, held, sums, shift):
        assert raw.size == module["STATISTICS"] * module["SUMMED"], "no room"

    module |= {
        "numbers_at": numbers_at,
        "words_at": lambda *where: numbers_at(*where).view(np.uint64),
        "flush": flush,
    }
    return module


def run(text, model, name):
    """All that Python calls of a text, without the passes over replicas: it fails where an array has no room."""
    module, lanes, n = interpreted(text), LANES, model.n
    theta = np.repeat([0.5, 0.4], lanes)
    words = np.concatenate([block_words(3, (), 0, lanes).ravel(), np.zeros(lanes, dtype=np.uint64)])
    state = (theta, words, np.repeat(np.arange(n, dtype=np.uint64), lanes), np.full(lanes, -1))
    data, how = (model.x, model.y, np.full(n, 0.1)), (0.05, n, FULL, RADEMACHER, np.inf)
    with np.errstate(over="ignore"):
        if name == "advance":
            module["advance"](*state, 0, np.array([1]), np.empty((1, 2 * lanes)), *data, *how)
        elif name == "accumulate":
            module["accumulate"](*state, 0, 1, np.zeros(5 * lanes), np.zeros(2), *data, *how)
        else:
            module["descend"](theta, np.zeros(lanes, dtype=bool), model.x, model.y, 0.05, 1e-9, np.inf, 16)


@pytest.mark.parametrize("name", ["advance", "accumulate", "descend"])
@pytest.mark.parametrize("n", [1, 9])
def test_every_array_has_room(name, n):
    for model in models(n):
        run((generate_moments if name == "accumulate" else generate)(model), model, name)


MUTANTS = {
    "words of the descent": ("(D + 5) * LANES", "D * LANES", "descend"),
    "the state before": ("(D + 5) * LANES", "5 * LANES", "descend"),
    "not rounded up": ("return (\n        (", "return 0 * (\n        (", "advance"),
    "sums alone": ("room(STATISTICS * SUMMED + space_for(y.size))", "room(STATISTICS * SUMMED)", "accumulate"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_array_without_room_is_seen(mutant):
    right, wrong, name = MUTANTS[mutant]
    model = models(9)[0]
    text = (generate_moments if name == "accumulate" else generate)(model)
    assert text.count(right) == 1
    with pytest.raises(AssertionError, match="no room"):
        run(text.replace(right, wrong), model, name)
