"""The generated text, and one step of it against gradients written by hand.

The golden files are what the generator prints. After a wanted change, write them anew and read the difference:
``FLATMIN_REGENERATE_GOLDEN=1 pytest tests/sims/test_codegen.py``.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import keyword
import os
import tokenize
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import codegen
from flatmin.sims import kernel_random as kr
from flatmin.sims.codegen import generate
from flatmin.sims.kernel import Kernel
from flatmin.sims.random import block_words
from flatmin.sims.replay import draws, replay
from flatmin.theory import Model
from kernel_models import WholeKernel, pair_model, tanh_model, uv_model

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "make"), [("uv", uv_model), ("tanh", tanh_model)])
def test_generated_text_is_the_golden_file(name, make):
    path = GOLDEN / f"{name}.py.txt"
    text = generate(make())
    if os.environ.get("FLATMIN_REGENERATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("make", [uv_model, pair_model, tanh_model])
def test_text_does_not_depend_on_the_data(make):
    model = make()
    other = Model(
        model.parameters,
        model.prediction if not model.inputs else model.prediction[0],
        inputs=model.inputs,
        x=model.x + 1 if model.inputs else None,
        y=model.y + 1,
    )
    assert generate(other) == generate(model)


def step(kernel, start, sigmas, *, lr=0.05, batch=1, sampling=kr.FULL, law=kr.RADEMACHER, steps=1):
    """theta of each lane after `steps`, shape (d, lanes), and the words that it was made with."""
    words = block_words(3, (), 0, kr.LANES)
    out = np.empty((1, kernel.model.d * kr.LANES))
    arguments = {"lr": lr, "batch": batch, "sampling": sampling, "law": law, "bound": np.inf}
    block = kernel.block(np.asarray(start, dtype=float), words)
    kernel.advance(block, 0, np.array([steps]), out, np.asarray(sigmas, dtype=float), **arguments)
    return out.reshape(-1, kr.LANES), words


def one_step_by_hand(start, y, sigmas, value_and_gradient, words, lr, batch, sampling):
    """Algorithm 1, draw after draw, with a gradient written by hand."""
    ((index, noise),) = draws(words, len(y), batch, sampling, kr.RADEMACHER, 1)
    result = np.empty((len(start), kr.LANES))
    for k in range(kr.LANES):
        total = np.zeros(len(start))
        for i, eps in zip(index[:, k], noise[:, k], strict=True):
            f, g = value_and_gradient(i)
            total += (f - (y[i] + sigmas[i] * eps)) * g
        result[:, k] = start - lr / batch * total
    return result


@pytest.mark.parametrize(("batch", "sampling"), [(2, kr.FULL), (3, kr.WITH_REPLACEMENT), (2, kr.WITHOUT_REPLACEMENT)])
def test_one_step_of_uv_uw_by_hand(pair, batch, sampling):
    start, sigmas = np.array([1.1, 0.8, -0.4]), np.array([0.3, 0.2])
    u, v, w = start
    by_hand = [(u * v, np.array([v, u, 0.0])), (u * w, np.array([w, 0.0, u]))]
    got, words = step(pair, start, sigmas, batch=batch, sampling=sampling)
    expected = one_step_by_hand(start, [1.0, -0.5], sigmas, by_hand.__getitem__, words, 0.05, batch, sampling)
    # A few operations on numbers of order 1; an ulp there is 2e-16.
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-15)


@pytest.mark.parametrize(("batch", "sampling"), [(2, kr.FULL), (3, kr.WITH_REPLACEMENT), (2, kr.WITHOUT_REPLACEMENT)])
def test_one_step_of_tanh_by_hand(tanh, batch, sampling):
    start, sigmas = np.array([1.7, 1.2, -0.3]), np.array([0.3, 0.2])

    def value_and_gradient(i):
        (w, a, b), x = start, (1.0, 3.0)[i]
        t = np.tanh(w * x)
        return a * t + b * x, np.array([a * x / np.cosh(w * x) ** 2, t, x])

    got, words = step(tanh, start, sigmas, batch=batch, sampling=sampling)
    expected = one_step_by_hand(start, [1.0, 0.5], sigmas, value_and_gradient, words, 0.05, batch, sampling)
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-15)


# Every function that a study may use, and names that Python or the generated text uses for something else.
def awkward_model():
    lam, k, y, g, q = sp.symbols("lambda k y t0 q'", real=True)
    x = sp.Symbol("theta")
    f = (
        sp.exp(-lam * x) + sp.log(1 + k**2) + sp.sqrt(1 + y**2) + sp.Abs(g) * sp.sin(q) + sp.cos(k) * sp.tan(y / 4)
        + sp.sinh(lam) * sp.cosh(q) / (2 + g**2) + sp.Rational(1, 3) * lam**3 + sp.pi * k + q ** sp.Float(1.5) + 1 / k
    )  # fmt: skip
    return Model((lam, k, y, g, q), f, inputs=(x,), x=[[0.5], [-0.25]], y=[1.0, 0.0])


@pytest.fixture(scope="session")
def awkward():
    return WholeKernel.for_model(awkward_model())


def test_all_functions_against_finite_differences(awkward):
    model, start, lr = awkward.model, np.array([0.3, 0.7, -0.4, -0.6, 0.9]), 1e-2
    got, _ = step(awkward, start, np.zeros(2), lr=lr, batch=2)
    gradient = (start[:, None] - got) / lr
    h = 1e-6 * np.eye(5)
    differences = (model.loss(start + h) - model.loss(start - h)) / 2e-6
    # Central differences: h**2 times third derivatives of order 1 to 10, and rounding of 1e-16/h.
    np.testing.assert_allclose(gradient, np.repeat(differences[:, None], kr.LANES, axis=1), rtol=0, atol=5e-9)


def test_names_in_the_text_are_python_names():
    tree = ast.parse(generate(awkward_model()))
    (sample,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "sample"]
    names = [a.arg for a in sample.args.args]
    assert len(set(names)) == 7


@pytest.mark.parametrize("law", [kr.RADEMACHER, kr.GAUSSIAN])
@pytest.mark.parametrize(("batch", "sampling"), [(1, kr.FULL), (3, kr.WITH_REPLACEMENT)])
def test_many_steps_of_uv_equal_the_replay(uv, batch, sampling, law):
    # 150 steps: more than two words of 64 signs, in passes of several steps and single ones.
    sigmas = np.array([0.2])
    got, words = step(uv, [2.0, 0.5], sigmas, batch=batch, sampling=sampling, law=law, steps=150)
    arguments = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": law}
    path = replay(uv.model, np.array([2.0, 0.5]), words, sigmas, steps=150, **arguments)
    # 150 steps of a few ulp each (4e-16), in a stable iteration.
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=150 * 4e-15)


def one_parameter(layout):
    u, x = sp.symbols("u x", real=True)
    if layout == "inputs":
        return Model((u,), u**2 * x + sp.tanh(u), inputs=(x,), x=[[0.5], [-0.25], [1.0]], y=[1.0, 0.0, 0.5])
    return Model((u,), {"one": [u**3], "list": [u**2, sp.exp(u)]}[layout], y=[1.0, -0.5][: 1 + (layout == "list")])


@pytest.fixture(scope="module", params=["one", "list", "inputs"])
def single(request):
    return WholeKernel.for_model(one_parameter(request.param))


@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(None, kr.FULL), (1, kr.WITH_REPLACEMENT), (2, kr.WITH_REPLACEMENT), (1, kr.WITHOUT_REPLACEMENT)],
)
def test_one_parameter_equals_the_replay(single, batch, sampling):
    n = single.model.n
    sigmas, batch = np.linspace(0.1, 0.2, n), batch or n
    # 20 steps: passes of several steps and single ones.
    got, words = step(single, [0.7], sigmas, batch=batch, sampling=sampling, steps=20)
    arguments = {"lr": 0.05, "batch": batch, "sampling": sampling, "law": kr.RADEMACHER}
    path = replay(single.model, np.array([0.7]), words, sigmas, steps=20, **arguments)
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=20 * 4e-15)


def test_one_parameter_descends(single):
    theta, settled = np.full(kr.LANES, 0.7), np.zeros(kr.LANES, dtype=bool)
    single.descend(theta, settled, 0.05, 1.0, 100_000)
    assert settled.all()
    h = 1e-6
    assert abs(single.model.loss(theta[:1] + h) - single.model.loss(theta[:1] - h)) / (2 * h) < 1e-9


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


@pytest.mark.parametrize("law", [kr.RADEMACHER, kr.GAUSSIAN])
@pytest.mark.parametrize(
    ("batch", "sampling"),
    [(2, kr.FULL), (1, kr.WITH_REPLACEMENT), (3, kr.WITH_REPLACEMENT), (2, kr.WITHOUT_REPLACEMENT)],
)
def test_vectors_and_statements_agree(both_lowerings, batch, sampling, law):
    vector, scalar = both_lowerings
    start = np.linspace(0.4, 0.9, vector.model.d)
    arguments = {"batch": batch, "sampling": sampling, "law": law, "steps": 100}
    got, expected = (step(kernel, start, [0.1, 0.2], **arguments)[0] for kernel in (vector, scalar))
    # 100 steps of a few ulp each (4e-16), in a stable iteration.
    np.testing.assert_allclose(got, expected, rtol=0, atol=100 * 4e-15)
    assert np.all(got.std(axis=1) > 1e-3)


def in_python(module):
    """What the intrinsics do that a module of statements calls."""

    def sign_noise(words, noise, row, sigma, position):
        if position % 64 == 0:
            module["next_words"](words)
        bits = words[4 * kr.LANES :] >> np.uint64(position % 64) & np.uint64(1)
        noise[row : row + kr.LANES] = np.where(bits, -sigma, sigma)

    def copy(array, to, row):
        to.reshape(-1)[row * array.size : (row + 1) * array.size] = array

    def numbers_at(space, first, count):
        return space[first : first + count]

    def words_at(space, first, count):
        return numbers_at(space, first, count).view(np.uint64)

    def nothing(*_):
        pass

    exec(inspect.getsource(kr.next_words.py_func), module)
    return {
        "sign_noise": sign_noise,
        "copy": copy,
        "clear": lambda array: array.fill(0.0),
        "numbers_at": numbers_at,
        "words_at": words_at,
        "hot": nothing,
        "check": nothing,
    }


def interpreted(model, sampling):
    """theta after two steps of the generated text, run by Python: nothing is compiled."""
    text = generate(model)
    for used, stub in {
        "from numba import njit, types\n": "from numba import types\ndef njit(*_, **__):\n    return lambda f: f\n",
        "from numba.extending import intrinsic\n": "def intrinsic(f):\n    return None\n",
    }.items():
        assert text.count(used) == 1
        text = text.replace(used, stub)
    module = {}
    exec(text, module)  # the generator's own text
    module |= in_python(module)
    theta, d, lanes = np.repeat(np.linspace(-1, 1, model.d), kr.LANES), model.d, kr.LANES
    words = np.concatenate([block_words(3, (), 0, lanes).ravel(), np.zeros(lanes, dtype=np.uint64)])
    order, status = np.repeat(np.arange(2, dtype=np.uint64), lanes), np.full(lanes, -1)
    state, out = (theta, words, order, status), np.empty((1, d * lanes))
    data = (model.x, model.y, np.array([0.1, 0.2]))
    with np.errstate(over="ignore"):
        module["advance"](*state, 0, np.array([2]), out, *data, 0.05, 2, sampling, kr.RADEMACHER, np.inf)
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
        sampling = (kr.FULL, kr.WITH_REPLACEMENT)[number % 2]
        # The same formulas in another order.
        np.testing.assert_allclose(interpreted(awkward, sampling), interpreted(plain, sampling), rtol=0, atol=1e-13)


def test_names_of_the_generated_functions_compile():
    names = ["range", "njit", "words", "abs", "out", "flip"]
    model = model_with_names(names, "list")
    got, words = step(Kernel.for_model(model), np.linspace(-1, 1, 6), np.array([0.1, 0.2]), batch=2, steps=5)
    arguments = {"lr": 0.05, "batch": 2, "sampling": kr.FULL, "law": kr.RADEMACHER}
    path = replay(model, np.linspace(-1, 1, 6), words, np.array([0.1, 0.2]), steps=5, **arguments)
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=5 * 4e-15)
