"""A model's names in the generated text: any names, in vectors and in statements for one replica."""

from __future__ import annotations

import builtins
import io
import keyword
import tokenize

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import codegen
from flatmin.sims.codegen import generate
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.random import block_words
from flatmin.sims.replay import replay
from flatmin.theory import Model
from kernel_models import WholeKernel, interpreted, step


def model_with_names(names, layout):
    """A model whose parameters (and for one expression with inputs the last two, its inputs) have these names."""
    symbols = [sp.Symbol(name, real=True) for name in names]
    forms = [sp.exp, sp.tanh, sp.Abs, sp.sin, lambda p: sp.log(1 + p**2), lambda p: sp.sqrt(1 + p**2)]
    terms = [forms[j % len(forms)](p) / len(names) for j, p in enumerate(symbols)]
    if layout == "list":
        return Model(symbols, [sum(terms), sum(terms) ** 2 + terms[0] * terms[1]], y=[1.0, -0.5])
    *theta, x, z = symbols
    return Model(theta, sum(terms) + theta[0] * x * z, inputs=(x, z), x=[[0.5, 1.0], [-0.25, 2.0]], y=[1.0, 0.0])


def listed(text, values):
    """The results of the printed lists in a generated text, for these values of their inputs."""
    operations = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative}
    results = []
    for name in ("SAMPLE", "UPDATE", "STEP", "SIGNS"):
        if f'\n{name} = """' not in text:
            continue
        lines = [line.split() for line in text.split(f'\n{name} = """\\\n')[1].split('"""')[0].splitlines()]
        known = dict(zip(lines[0][1:], values))
        for line in lines[1:]:
            arguments = [known[a] if a in known else float(a) for a in line[3:]]
            if line[0] == "out":
                results += arguments
            else:
                known[line[0]] = (operations.get(line[2]) or getattr(np, line[2]))(*arguments)
    return np.array(results)


@pytest.mark.parametrize("layout", [pytest.param("list", marks=pytest.mark.slow), "inputs"])
def test_names_in_the_lists_change_nothing(layout, monkeypatch):
    """Vector code keeps a model's names in its lists alone."""
    monkeypatch.setattr(sp, "sin", sp.tanh)
    names = every_name()
    # All of them with the other layout, which names things in the same way.
    for some in pieces(names)[:: 1 if layout == "list" else 3]:
        awkward, plain = (model_with_names(c, layout) for c in (some, [f"p{j}_" for j in range(len(some))]))
        texts, values = (generate(awkward), generate(plain)), np.linspace(-1, 1, 300)
        assert all('\nSTEP = """' in text for text in texts)
        # The same formulas in another order.
        np.testing.assert_allclose(*(listed(text, values) for text in texts), rtol=0, atol=1e-13)


@pytest.fixture(scope="module", params=[pytest.param("list", marks=pytest.mark.slow), "inputs"])
def both_lowerings(request):
    """The same model as vectors and as statements for one replica."""
    model = model_with_names(["p", "q", "w"], request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codegen, "OPERATIONS", frozenset())
        scalar = WholeKernel.for_model(model)
    vector = WholeKernel.for_model(model)
    assert "full_pass" in vector.source
    assert "full_pass" not in scalar.source
    return vector, scalar


@pytest.mark.parametrize("law", [RADEMACHER, GAUSSIAN])
@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(2, FULL), (1, WITH_REPLACEMENT), (3, WITH_REPLACEMENT), (2, WITHOUT_REPLACEMENT)],
)
def test_vectors_and_statements_agree(both_lowerings, batch, sampling, law):
    vector, scalar = both_lowerings
    start = np.linspace(0.4, 0.9, vector.model.d)
    arguments = {"batch": batch, "sampling": sampling, "law": law, "steps": 100}
    got, expected = (step(kernel, start, [0.1, 0.2], **arguments)[0] for kernel in (vector, scalar))
    # 100 steps of a few ulp each (4e-16), in a stable iteration.
    np.testing.assert_allclose(got, expected, rtol=0, atol=100 * 4e-15)
    assert np.all(got.std(axis=1) > 1e-3)


def two_steps(model, sampling):
    """theta after two steps of the generated text, run by Python."""
    module = interpreted(generate(model))
    theta, d, lanes = np.repeat(np.linspace(-1, 1, model.d), LANES), model.d, LANES
    words = np.concatenate([block_words(3, (), 0, lanes).ravel(), np.zeros(lanes, dtype=np.uint64)])
    order, status = np.repeat(np.arange(2, dtype=np.uint64), lanes), np.full(lanes, -1)
    state, out = (theta, words, order, status), np.empty((1, d * lanes))
    data = (model.x, model.y, np.array([0.1, 0.2]))
    with np.errstate(over="ignore"):
        module["advance"](*state, 0, np.array([2]), out, *data, 0.05, 2, sampling, RADEMACHER, np.inf)
    return out


def every_name():
    """Each name in the generated text of either layout, and what Python reserves or defines."""
    # With three names all functions have vector versions; the fourth stands in a sine, which has none.
    plain = [model_with_names(["p", "q", "w", "z"][:k], layout) for layout in ("list", "inputs") for k in (3, 4)]
    tokens = [t for m in plain for t in tokenize.generate_tokens(io.StringIO(generate(m)).readline)]
    found = {t.string for t in tokens if t.type == tokenize.NAME}
    numba = {"numba", "prange", "literal_unroll", "vectorize", "objmode"}
    others = {"t0", "t1", "g1", "count_0", "residual_1", "total_p", "batch", "x", "_", "__", "ι", "p'"}
    return sorted(found | numba | others | set(dir(builtins)) | set(keyword.kwlist))


def pieces(names):
    """About 60 names at a time; none of these lists is too short for a model."""
    return [part.tolist() for part in np.array_split(names, -(-len(names) // 60))]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["list", "inputs"])
def test_a_parameter_or_input_may_have_any_name(layout):
    names = every_name()
    assert {"range", "LANES", "theta", "np", "math", "k", "flip", "update", "lambda", "total_p", "VECTOR"} < set(names)
    for number, some in enumerate(pieces(names)):
        awkward, plain = (model_with_names(c, layout) for c in (some, [f"p{j}_" for j in range(len(some))]))
        # One way after the other: the names of both are in all texts.
        sampling = (FULL, WITH_REPLACEMENT)[number % 2]
        # The same formulas in another order.
        np.testing.assert_allclose(two_steps(awkward, sampling), two_steps(plain, sampling), rtol=0, atol=1e-13)


def test_names_of_the_generated_functions_compile():
    names = ["range", "njit", "words", "abs", "out", "flip"]
    model = model_with_names(names, "list")
    got, words = step(Kernel.for_model(model), np.linspace(-1, 1, 6), np.array([0.1, 0.2]), batch=2, steps=5)
    arguments = {"lr": 0.05, "batch": 2, "sampling": FULL, "law": RADEMACHER}
    path = replay(model, np.linspace(-1, 1, 6), words, np.array([0.1, 0.2]), steps=5, **arguments)
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=5 * 4e-15)
