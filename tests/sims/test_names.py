"""A model's names in the lists of the generated text: they may be any."""

from __future__ import annotations

import builtins
import io
import keyword
import tokenize

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.codegen import generate
from flatmin.sims.kernel import Kernel
from flatmin.sims.lanes import FULL, RADEMACHER
from flatmin.sims.replay import replay
from flatmin.theory import Model
from kernel_models import step


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


def every_name():
    """Each name in the generated text of either layout, what Python reserves or defines, and what a list is made of."""
    plain = [model_with_names(["p", "q", "w", "z"], layout) for layout in ("list", "inputs")]
    tokens = [t for m in plain for t in tokenize.generate_tokens(io.StringIO(generate(m)).readline)]
    found = {t.string for t in tokens if t.type == tokenize.NAME}
    others = {"t0", "t1", "count_0", "residual_1", "total_p", "scaled", "rate", "target", "x", "_", "__", "ι", "p'"}
    of_lists = {"in", "out", "add", "sin", "nan", "inf", "infinity", "e1", "1e5"}
    return sorted(found | others | of_lists | set(dir(builtins)) | set(keyword.kwlist))


def pieces(names):
    """About 60 names at a time; none of these lists is too short for a model."""
    return [part.tolist() for part in np.array_split(names, -(-len(names) // 60))]


@pytest.mark.parametrize("layout", [pytest.param("list", marks=pytest.mark.slow), "inputs"])
def test_names_in_the_lists_change_nothing(layout):
    names = every_name()
    assert {"range", "LANES", "theta", "np", "math", "k", "flip", "lambda", "total_p", "VECTOR"} < set(names)
    # All of them with the other layout, which names things in the same way.
    for some in pieces(names)[:: 1 if layout == "list" else 3]:
        awkward, plain = (model_with_names(c, layout) for c in (some, [f"p{j}_" for j in range(len(some))]))
        texts, values = (generate(awkward), generate(plain)), np.linspace(-1, 1, 300)
        assert all('\nSTEP = """' in text for text in texts)
        # The same formulas in another order.
        np.testing.assert_allclose(*(listed(text, values) for text in texts), rtol=0, atol=1e-13)


def test_such_names_compile():
    names = ["range", "in", "words", "nan", "out", "t0"]
    model = model_with_names(names, "list")
    got, words = step(Kernel.for_model(model), np.linspace(-1, 1, 6), np.array([0.1, 0.2]), batch=2, steps=5)
    arguments = {"lr": 0.05, "batch": 2, "sampling": FULL, "law": RADEMACHER}
    path = replay(model, np.linspace(-1, 1, 6), words, np.array([0.1, 0.2]), steps=5, **arguments)
    np.testing.assert_allclose(got, path[-1], rtol=0, atol=5 * 4e-15)
