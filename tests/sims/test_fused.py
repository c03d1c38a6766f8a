"""Products that become parts of sums: which ones the list alone says, and LLVM has no say."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.cache import build_module
from flatmin.sims.codegen import generate, generate_moments
from flatmin.sims.kernel import Kernel
from flatmin.sims.kernel_ways import Way, way_text
from flatmin.sims.lanes import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.memory import aligned
from flatmin.sims.program import Line, Program
from flatmin.sims.random import block_words
from flatmin.sims.vector_codegen import products_at_hand
from flatmin.sims.vector_list import contracted
from flatmin.theory import Model
from hypothesis import given
from hypothesis import strategies as st
from kernel_models import tanh_model, uv_model

INPUTS = ("a", "b", "c")
MEANING = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "multiply_add": lambda a, b, c: a * b + c,
    "multiply_sub": lambda a, b, c: a * b - c,
    "sub_multiply": lambda a, b, c: a - b * c,
}


@st.composite
def lists(draw):
    """Lines of arithmetic, and what is wanted of them."""
    lines, known = [], [*INPUTS, "2.0"]
    for k in range(draw(st.integers(1, 12))):
        operation = draw(st.sampled_from(["add", "sub", "mul", "mul", "neg"]))
        arguments = [draw(st.sampled_from(known)) for _ in range(1 if operation == "neg" else 2)]
        lines.append((f"t{k}", operation, arguments))
        known.append(f"t{k}")
    return lines, draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))


def values_of(lines, results):
    """Exact results; lines may come in any order in which arguments are known."""
    known, waiting = dict(zip(INPUTS, map(Fraction, (3, -5, 7)), strict=True)) | {"2.0": Fraction(2)}, list(lines)
    while waiting:
        ready = [line for line in waiting if all(a in known for a in line[2])]
        assert ready
        known |= {target: MEANING[operation](*(known[a] for a in arguments)) for target, operation, arguments in ready}
        waiting = [line for line in waiting if line not in ready]
    return [known[result] for result in results]


@given(lists())
def test_the_value_is_the_same_and_no_lonely_product_is_left(drawn):
    lines, results = drawn
    found = contracted(lines, results)
    assert values_of(found, results) == values_of(lines, results)
    uses = Counter([*results, *(a for line in lines for a in line[2])])
    products = {line[0] for line in lines if line[1] == "mul"}
    sums = [line for line in lines if line[1] in ("add", "sub")]
    lonely = [[a for a in line[2] if a in products and uses[a] == 1] for line in sums]
    gone = products - {line[0] for line in found}
    # The first of the products of each sum.
    assert gone == {found[0] for found in lonely if found}


def test_a_product_that_more_than_one_sum_takes_stays():
    lines = [("t", "mul", ["a", "b"]), ("s", "add", ["t", "c"]), ("d", "sub", ["c", "t"])]
    assert contracted(lines, ["s", "d"]) == lines
    assert contracted(lines[:2], ["s", "t"]) == lines[:2]
    assert contracted(lines[:2], ["s"]) == [("s", "multiply_add", ["a", "b", "c"])]


def test_products_at_hand_are_those_that_a_step_has_anyway():
    lines = [("t", "mul", ("b", "a")), ("q", "mul", ("t", "2.0")), ("r", "mul", ("a", "a")), ("s", "add", ("r", "q"))]
    program = Program(("a", "b"), tuple(Line(*line) for line in lines), {"new": "s"})
    # a a is a part of the sum, b b is nowhere.
    assert products_at_hand(program, [(0, 0), (0, 1), (1, 1)]) == {(0, 1): "t"}
    # A sum takes it, and something else: it is a product of its own.
    both = Program(
        ("a", "b"), (Line("t", "mul", ("a", "b")), Line("s", "add", ("t", "a")), Line("d", "sub", ("s", "t"))), {}
    )
    assert products_at_hand(both, [(0, 1)]) == {(0, 1): "t"}


def left_to_llvm(text, tmp_path):
    """Operations on vectors that LLVM may contract, in what it made of a module."""
    compiled = build_module(text, tmp_path).EXPORTED["run"][1]
    (code,) = compiled.inspect_llvm().values()
    assert re.search(r"@llvm\.fma\.v\d+f64\(|= fmul afn <\d+ x double>", code)
    return re.findall(r"= f(?:mul|add|sub) contract <\d+ x double>", code)


KINDS = [(generate, uv_model, FULL), (generate, tanh_model, FULL), (generate, tanh_model, WITH_REPLACEMENT)]
KINDS += [(generate_moments, uv_model, FULL), (generate_moments, tanh_model, FULL)]


@pytest.mark.parametrize(("text", "make", "sampling"), KINDS)
def test_nothing_is_left_to_llvm(text, make, sampling, tmp_path):
    assert not left_to_llvm(way_text(text(make()), Way(sampling, RADEMACHER)), tmp_path)


# An addition after a product, both with the flag that Numba gives.
_SUM = "lambda *f: v.each(v.builder.fadd, f[-1], v.each(v.builder.fmul, *f[:2]) if len(f) == 3 else f[0])"
MUTANTS = {
    "all": (generate, 'ALONE = ("afn",)', 'ALONE = ("contract",)'),
    "sums": (generate_moments, "v.multiply_add if len(factors) == 2 else v.add)(*factors", f"{_SUM})(*factors"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_is_left_to_llvm_is_seen(mutant, tmp_path):
    generated, right, wrong = MUTANTS[mutant]
    text = way_text(generated(tanh_model()), Way(FULL, RADEMACHER))
    assert text.count(right) == 1
    assert left_to_llvm(text.replace(right, wrong), tmp_path)


def unrolled(f, *parameters):
    return Model(parameters, f, y=np.linspace(0.5, 0.9, len(f)))


U, V, W = sp.symbols("u v w", real=True)
MODELS = {
    "one product": unrolled([U * V], U, V),
    "three factors": unrolled([U * V * W], U, V, W),
    "products in sums": unrolled([U * V + U**2, U * V - 2 * V**2 + V], U, V),
    "functions": unrolled([U * sp.tanh(V), U * V + sp.exp(-U)], U, V),
    "one sample's expression": tanh_model(),
}


@pytest.mark.parametrize(
    ("name", "sampling", "law"),
    [
        *((name, FULL, RADEMACHER) for name in MODELS),
        ("products in sums", WITH_REPLACEMENT, RADEMACHER),
        ("functions", WITHOUT_REPLACEMENT, RADEMACHER),
        ("one sample's expression", WITH_REPLACEMENT, RADEMACHER),
        ("one sample's expression", FULL, GAUSSIAN),
    ],
)
def test_a_step_has_the_same_bits_with_sums_and_without(name, sampling, law):
    model = MODELS[name]
    kernel, start, sigmas = Kernel.for_model(model), np.full(model.d, 0.7), np.full(model.n, 0.1)
    batch = model.n if sampling == FULL else 1
    how = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": law, "bound": 1e6}
    with_sums, without = (kernel.block(start, block_words(1, (), 0, LANES)) for _ in range(2))
    sums = aligned(np.zeros((model.d + len(kernel.moment_pairs)) * LANES))
    kernel.accumulate(with_sums, 0, 131, sums, start, sigmas, **how)
    kernel.advance(without, 0, np.array([131]), np.empty((1, model.d * LANES)), sigmas, **how)
    assert np.isfinite(without.theta).all()
    assert np.array_equal(with_sums.theta, without.theta)
    assert np.array_equal(with_sums.words, without.words)
