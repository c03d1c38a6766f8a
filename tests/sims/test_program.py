"""The three-address list: its text, that it computes what SymPy says, and that nothing is computed twice."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.lowering import statements
from flatmin.sims.program import three_address
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = Path(__file__).parent / "golden"
A, B, C, X, Y = sp.symbols("a b c x y", real=True)
FUNCTIONS = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sign": np.sign, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}


def run(program, values):
    scope = {"math": math, **FUNCTIONS, **values}
    for statement in statements(program):
        exec(statement, scope)
    return [scope[v] if v in scope else float(v) for v in program.outputs.values()]


def joint(f):
    """Residual, gradient and second moments of a model, as a kernel computes them."""
    outputs = {"residual": f - Y, "ga": f.diff(A), "gb": f.diff(B), "gc": f.diff(C)}
    return outputs | {"aa": A**2, "ab": A * B, "ac": A * C, "bb": B**2}


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("list-tanh", A * sp.tanh(B * X) + C * X),
        ("list-product", A * B),
        ("list-sigmoid", A / (1 + sp.exp(-B * X)) + C),
    ],
)
def test_the_list_is_the_golden_file(name, f):
    text = str(three_address(joint(f), (A, B, C, X, Y)))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("FLATMIN_REGENERATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def expressions(depth):
    leaf = st.sampled_from([A, B, C, X, sp.Integer(2), sp.Rational(1, 3), sp.Float(0.7)])
    if not depth:
        return leaf
    sub = expressions(depth - 1)
    smooth = [lambda e: sp.exp(-(e**2)), lambda e: sp.sqrt(1 + e**2), lambda e: sp.log(2 + e**2), lambda e: -e]
    inverse = [lambda e: 1 / (1 + e**2), lambda e: 1 / (1 + sp.exp(-e)) ** 2]
    unary = st.sampled_from([sp.tanh, sp.sin, sp.cos, sp.Abs, *smooth, *inverse])
    powers = st.tuples(sub, st.integers(1, 4)).map(lambda p: p[0] ** p[1])
    binary = st.tuples(st.sampled_from([sp.Add, sp.Mul, lambda a, b: a - b]), sub, sub).map(lambda t: t[0](t[1], t[2]))
    return st.one_of(leaf, st.tuples(unary, sub).map(lambda t: t[0](t[1])), binary, powers)


@given(f=expressions(3))
@settings(max_examples=80, deadline=None)
def test_the_list_computes_what_sympy_says(f):
    f = sp.sympify(f)
    outputs = joint(f)
    program = three_address(outputs, (A, B, C, X, Y))
    values = {"a": 0.3, "b": -0.7, "c": 0.9, "x": 0.4, "y": 0.2}
    exact = {s: values[s.name] for s in (A, B, C, X, Y)}
    expected = [float(sp.sympify(e).subs(exact)) for e in outputs.values()]
    # Some dozens of operations; where large terms cancel, the error is relative to them.
    scale = 1 + np.max(np.abs(expected))
    np.testing.assert_allclose(run(program, values), expected, rtol=1e-10, atol=1e-12 * scale)
    done = [(line.operation, *line.arguments) for line in program.lines]
    assert len(set(done)) == len(done), "an operation is written twice"
    known = set(program.inputs)
    for line in program.lines:
        assert all(a in known or math.isfinite(float(a)) for a in line.arguments)
        known.add(line.target)


def test_residual_gradient_and_moments_share_products():
    """E[ab] of f = ab is the residual's own product: four products in all, and one subtraction."""
    program = three_address(joint(A * B), (A, B, C, X, Y))
    assert [line.operation for line in program.lines] == ["mul", "sub", "mul", "mul", "mul"]
    assert program.outputs["ab"] == program.lines[0].target


def test_an_output_may_use_another():
    program = three_address({"later": sp.Symbol("first", real=True) * A, "first": A + B}, (A, B))
    assert run(program, {"a": 2.0, "b": 3.0}) == [10.0, 5.0]


def test_sigmoid_does_not_overflow():
    program = three_address({"s": 1 / (1 + sp.exp(-A))}, (A,))
    assert [line.operation for line in program.lines] == ["sigmoid"]


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match=r"names=\['b'\] are neither inputs nor outputs"):
        three_address({"f": A + B}, (A,))
    with pytest.raises(ValueError, match=r"names=\['a'\] are both inputs and outputs"):
        three_address({"a": A + 1}, (A,))
    with pytest.raises(NotImplementedError, match="erf has no operation"):
        three_address({"f": sp.erf(A)}, (A,))
