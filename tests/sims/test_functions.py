"""The kernels' own elementary functions, against 50 digits."""

from __future__ import annotations

import platform
import re

import mpmath
import numpy as np
import pytest
from flatmin.sims import kernel_math, kernel_vector, lowering, vector_list, vector_math
from flatmin.sims.vector_math import signs
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def apply(function, x, out):
    for k in range(x.size):
        out[k] = function(x[k])


def evaluate(function, x):
    out = np.empty_like(x)
    apply(function, x, out)
    return out


def vectors_of(function):
    """A function of arrays, from one that writes code for vectors."""

    @intrinsic
    def each(typing_context, x, out):
        def codegen(context, builder, signature, args):
            given, result = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1))
            pointer, length = vector_math.VECTOR.as_pointer(), vector_math.LENGTH
            with cgutils.for_range(builder, ir.IntType(64)(SIZE // (2 * length))) as loop:
                first = builder.mul(loop.index, ir.IntType(64)(2 * length))
                at = [builder.add(first, ir.IntType(64)(length * g)) for g in range(2)]
                xs = [builder.load(builder.bitcast(builder.gep(given, [i]), pointer), align=8) for i in at]
                for i, value in zip(at, function(vector_math.Lanes(builder), xs)):
                    builder.store(value, builder.bitcast(builder.gep(result, [i]), pointer), align=8)
            return context.get_dummy_value()

        return types.none(x, out), codegen

    @njit(error_model="numpy")
    def run(x, out):
        each(x, out)

    def evaluate(x):
        given, out = np.zeros(SIZE), np.empty(SIZE)
        given[: len(x)] = x
        run(given, out)
        return out[: len(x)]

    return evaluate


SIZE = 8192


@pytest.fixture(scope="module", params=["this processor", "any processor"])
def vector(request):
    """The vector functions, with the instructions of this processor or with those that all have."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "any processor":
            patch.setattr(vector_math, "cpu_has", lambda *features: False)
            patch.setattr(vector_math, "LENGTH", 4)
            patch.setattr(vector_math, "VECTOR", ir.VectorType(ir.DoubleType(), 4))
            patch.setattr(vector_math, "WORDS", ir.VectorType(ir.IntType(64), 4))
        functions = {name: vectors_of(make) for name, make in {**vector_math.FUNCTIONS, "sign": signs}.items()}
        for function in functions.values():
            function(np.ones(1))
        yield functions


def exact_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


@pytest.mark.parametrize(
    ("name", "exact", "low", "high"),
    [
        ("tanh", mpmath.tanh, -25.0, 25.0),
        ("exp", mpmath.exp, -745.0, 709.7),
        ("sigmoid", exact_sigmoid, -745.0, 50.0),
    ],
)
def test_error_of_vectors_is_below_4_ulp(vector, name, exact, low, high):
    x = arguments(low, high)
    assert worst_ulp(vector[name](x), exact, x) < 4


def test_error_of_sigmoid_is_below_4_ulp():
    x = arguments(-745.0, 50.0)
    assert worst_ulp(evaluate(kernel_math.sigmoid, x), exact_sigmoid, x) < 4


def test_error_of_tanh_is_below_4_ulp_where_it_is_largest(vector):
    # Where two terms of opposite sign meet, or the result is just below a power of two.
    x = np.random.default_rng(1).uniform(0.17, 0.6, 5000) * np.repeat([-1.0, 1.0], 2500)
    for got in (vector["tanh"](x), evaluate(kernel_math.tanh, x)):
        assert worst_ulp(got, mpmath.tanh, x) < 4


def test_log_error_of_vectors_is_below_4_ulp(vector):
    rng = np.random.default_rng(0)
    near = 1 + rng.uniform(-0.3, 0.5, 2000)
    x = np.concatenate([near, np.exp(rng.uniform(-744, 709, 3000)), 1 + np.exp(rng.uniform(-36, 0, 500)), [5e-324]])
    assert worst_ulp(vector["log"](x), mpmath.log, x) < 4


def test_ends_of_the_range_of_vectors(vector):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, -5e-324])
    tanh = vector["tanh"](x)
    np.testing.assert_array_equal(tanh, [0.0, -0.0, 1, -1, np.nan, 1, -1, 5e-324, -5e-324])
    assert np.array_equal(np.signbit(tanh[:2]), [False, True])
    np.testing.assert_array_equal(vector["exp"](x), [1, 1, np.inf, 0, np.nan, np.inf, 0, 1, 1])
    np.testing.assert_array_equal(vector["sigmoid"](x), [0.5, 0.5, 1, 0, np.nan, 1, 0, 0.5, 0.5])
    np.testing.assert_array_equal(vector["sign"](x[:4]), [0, 0, 1, -1])
    special = np.array([0.0, -0.0, np.inf, np.nan, -1.0, -np.inf, 1.0])
    np.testing.assert_array_equal(vector["log"](special), [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan, 0])


def worst_ulp(got, exact, x):
    """Largest error in units in the last place of the exact value."""
    worst = 0.0
    with mpmath.workdps(50):
        for value, at in zip(got, x, strict=True):
            right = exact(mpmath.mpf(float(at)))
            unit = np.spacing(abs(float(right)))
            worst = max(worst, float(abs(mpmath.mpf(float(value)) - right) / mpmath.mpf(float(unit))))
    return worst


def arguments(low, high, seed=0):
    rng = np.random.default_rng(seed)
    near = rng.uniform(-2, 2, 2000)
    whole = rng.uniform(low, high, 2000)
    tiny = np.exp(rng.uniform(-740, 0, 500)) * rng.choice([-1.0, 1.0], 500)
    halves = np.log(2) / 2 * np.arange(-60, 61, dtype=float)  # where the reduction changes its integer
    return np.concatenate([near, whole, tiny, np.nextafter(halves, -np.inf), halves, np.nextafter(halves, np.inf)])


@pytest.mark.parametrize(
    ("function", "exact", "low", "high"),
    [(kernel_math.tanh, mpmath.tanh, -25.0, 25.0), (kernel_math.exp, mpmath.exp, -745.0, 709.7)],
    ids=["tanh", "exp"],
)
def test_error_is_below_4_ulp(function, exact, low, high):
    x = arguments(low, high)
    assert worst_ulp(evaluate(function, x), exact, x) < 4


def test_log_error_is_below_4_ulp():
    rng = np.random.default_rng(0)
    near = 1 + rng.uniform(-0.3, 0.5, 2000)
    x = np.concatenate([near, np.exp(rng.uniform(-744, 709, 3000)), 1 + np.exp(rng.uniform(-36, 0, 500)), [5e-324]])
    assert worst_ulp(evaluate(kernel_math.log, x), mpmath.log, x) < 4


def test_cos_turns_is_right_to_a_few_ulp_of_1():
    v = np.linspace(-0.5, 0.5, 2001)
    got = evaluate(kernel_math.cos_turns, v)
    exact = [mpmath.cospi(2 * mpmath.mpf(float(t))) for t in v]
    assert (
        max(abs(mpmath.mpf(float(g)) - e) for g, e in zip(got, exact, strict=True)) < 1.5e-15
    )  # the square doubles the error of the sine, and so does the factor 2


def test_ulp_measure_sees_an_error():
    x = np.array([0.3, 0.7])
    assert worst_ulp(np.tanh(x) * (1 + 2e-15), mpmath.tanh, x) > 4


def test_ends_of_the_range():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, -5e-324])
    tanh, exp = evaluate(kernel_math.tanh, x), evaluate(kernel_math.exp, x)
    np.testing.assert_array_equal(tanh, [0.0, -0.0, 1, -1, np.nan, 1, -1, 5e-324, -5e-324])
    assert np.array_equal(np.signbit(tanh[:2]), [False, True])
    np.testing.assert_array_equal(exp, [1, 1, np.inf, 0, np.nan, np.inf, 0, 1, 1])
    special = np.array([0.0, -0.0, np.inf, np.nan, -1.0, -np.inf, 1.0])
    np.testing.assert_array_equal(
        evaluate(kernel_math.log, special), [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan, 0]
    )
    np.testing.assert_array_equal(evaluate(kernel_math.sign, x[:4]), [0, 0, 1, -1])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for x86 instructions")
@pytest.mark.parametrize("function", [kernel_math.tanh, kernel_math.exp, kernel_math.log], ids=["tanh", "exp", "log"])
def test_a_loop_over_replicas_becomes_vector_code(function):
    evaluate(function, np.zeros(64))
    (code,) = [c for signature, c in apply.inspect_asm().items() if str(function.__name__) in str(signature)]
    packed = len(re.findall(r"\bv?(?:fn?m(?:add|sub)\d+|mul)pd\b", code))
    assert packed >= 10, "the polynomial is not evaluated for several replicas at a time"


@pytest.mark.parametrize("enabled", [True, False])
def test_avx_is_not_used_where_numba_leaves_it_out(monkeypatch, enabled):
    """Numba's default for some old processors; instructions of it would end the process there."""
    monkeypatch.setattr(kernel_vector.binding, "get_host_cpu_features", lambda: {"avx": True, "fma": True})
    monkeypatch.setattr(kernel_vector.config, "ENABLE_AVX", enabled)
    assert kernel_vector.cpu_has("avx", "fma") == enabled
    assert kernel_vector.cpu_has("fma")


@pytest.mark.parametrize(
    ("formulas", "expected"),
    [
        (["t = tanh a", "s = tanh b"], True),
        (["t = tanh a", "s = exp b"], False),
        (["t = tanh a", "s = tanh t"], False),
        (["t = tanh a", "s = tanh b", "p = mul t s", "q = exp p", "r = exp a", "v = exp q"], False),
        (["t = mul a b"], True),
    ],
)
def test_functions_that_come_in_twos(formulas, expected):
    lines = [*formulas, "out f = t"]
    assert vector_list.in_twos([line.split() for line in lines]) == expected


def test_vectors_evaluate_all_that_a_list_may_hold():
    fused = {"multiply_add", "multiply_sub", "sub_multiply"}
    known = {*vector_list.SIMPLE, *vector_list.LIBRARY, *vector_math.FUNCTIONS, "sign"} - fused
    assert known == set(lowering.OPERATIONS)
