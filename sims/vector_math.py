"""Vectors of replicas in LLVM's language: arithmetic and elementary functions for generated kernels.

Every operation takes lists of vectors and is written for one after the other, so that what is independent stands side
by side and a processor need not wait for one result before it begins the next. What stands below
`__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .kernel_vector import LENGTH, VECTOR, cpu_has

__all__ = ["FUNCTIONS", "WORDS", "Lanes", "exps", "logs", "sigmoids", "signs", "tanhs"]


WORDS = ir.VectorType(ir.IntType(64), LENGTH)
# Of functions, not of these operations: Numba lets LLVM contract operations that have no flag of their own.
ALONE = ("afn",)
# Adding it rounds to an integer, which then stands in the low bits, ready to be moved into the exponent field.
ROUND = 6755399441055744.0 + 1023.0
# (exp(r) - 1 - r) / r**2 for abs(r) <= log(2)/2, the Chebyshev fit of degree 10, lowest power first.
EXPM1 = (
    0.5,
    1.666666666666667e-01,
    4.166666666666667e-02,
    8.333333333326112e-03,
    1.388888888888373e-03,
    1.984126987490126e-04,
    2.4801587325605324e-05,
    2.7557255297969643e-06,
    2.755727357010214e-07,
    2.5105259538448494e-08,
    2.0914717341716378e-09,
)
# The fit of fdlibm, in the squared argument.
LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)

# tanh(r) = r (1 + top r**2) / (1 + bottom r**2) for abs(r) <= log(2)/4, the rational fit of relative error 6e-18.
TANH_TOP = (0.1110993805815367, 0.00105741958596825)
TANH_BOTTOM = (0.4444327139148643, 0.015868324226120546)


class Lanes:
    """Operations on lists of vectors; a number stands for a list of vectors of it.

    What is fused is said outright. LLVM fuses what it happens to find side by side, which differs with the loops around
    it, and so would the last bit; other liberties remove tests for nan, or reorder additions that round to an integer.
    """

    def __init__(self, builder, context=None):
        self.builder, self.context = builder, context
        # Permutations by a variable, scaling by powers of two, and 32 registers.
        self.wide = LENGTH == 8
        # One of each two numbers by a bit, and sixteen registers.
        self.picks = LENGTH == 4 and cpu_has("avx")
        self.fused = cpu_has("fma")

    def each(self, make, *operands, **options):
        """A result for each place in the lists."""
        length = max(len(a) for a in operands if isinstance(a, list))
        rows = [a if isinstance(a, list) else [self.number(a)] * length for a in operands]
        return [make(*row, **options) for row in zip(*rows)]

    def number(self, value):
        """A vector of equal numbers: doubles, or words of 64 bits."""
        return ir.Constant(WORDS if isinstance(value, int) else VECTOR, [value] * LENGTH)

    def add(self, a, b):
        """a + b."""
        return self.each(self.builder.fadd, a, b, flags=ALONE)

    def sub(self, a, b):
        """a - b."""
        return self.each(self.builder.fsub, a, b, flags=ALONE)

    def mul(self, a, b):
        """a b."""
        return self.each(self.builder.fmul, a, b, flags=ALONE)

    def div(self, a, b):
        """a / b."""
        return self.each(self.builder.fdiv, a, b, flags=ALONE)

    def neg(self, a):
        """-a."""
        return self.each(self.builder.fneg, a) if isinstance(a, list) else -a

    def multiply_add(self, a, b, c):
        """a b + c, fused where the processor can."""
        if not self.fused:
            return self.add(self.mul(a, b), c)
        rows = self.each(lambda *row: row, *(a, b, c))
        return self.call(f"llvm.fma.v{LENGTH}f64", *map(list, zip(*rows)))

    def multiply_sub(self, a, b, c):
        """a b - c, likewise."""
        return self.multiply_add(a, b, self.neg(c))

    def sub_multiply(self, a, b, c):
        """a - b c, likewise."""
        return self.multiply_add(b, self.neg(c), a)

    def finished(self, rows):
        """The same rows of vectors, which LLVM makes before what stands behind: else it begins with too many at once.

        Where `picks` holds.
        """
        kind = ir.FunctionType(VECTOR, [VECTOR])
        return [[self.builder.asm(kind, "", "=x,0", [a], True) for a in row] for row in rows]

    def sqrt(self, a):
        """The square root."""
        return self.call(f"llvm.sqrt.v{LENGTH}f64", a)

    def abs(self, a):
        """The size."""
        return self.call(f"llvm.fabs.v{LENGTH}f64", a)

    def call(self, name, *operands):
        """A function of LLVM on vectors."""

        def make(*row):
            kind = ir.FunctionType(row[0].type, [value.type for value in row])
            return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), row)

        return self.each(make, *operands)

    def library(self, name, *operands):
        """A function of Python's `math`, for one number after the other."""
        kind = types.float64(*[types.float64] * len(operands))
        function = self.context.get_function(getattr(math, name), kind)

        def make(*row):
            value = ir.Constant(VECTOR, ir.Undefined)
            for k in map(ir.IntType(32), range(LENGTH)):
                one = function(self.builder, [self.builder.extract_element(vector, k) for vector in row])
                value = self.builder.insert_element(value, one, k)
            return value

        return self.each(make, *operands)

    def where(self, comparison, a, b, one, other):
        """`one` where the comparison of a and b holds, `other` where it does not or there is a nan."""
        yes = self.each(lambda p, q: self.builder.fcmp_ordered(comparison, p, q), a, b)
        return self.each(self.builder.select, yes, one, other)

    def between(self, a, low, high):
        """The nearest number in an interval; nan stays."""
        a = self.where("<", high, a, high, a)
        return self.where(">", low, a, low, a)

    def words(self, a):
        """The bits of doubles."""
        return self.each(lambda p: self.builder.bitcast(p, WORDS), a)

    def doubles(self, a):
        """Doubles with these bits."""
        return self.each(lambda p: self.builder.bitcast(p, VECTOR), a)

    def left(self, a, by):
        """Words, shifted to higher bits."""
        return self.each(self.builder.shl, a, by)

    def right(self, a, by):
        """Words, shifted to lower bits."""
        return self.each(self.builder.lshr, a, by)

    def polynomial(self, x, coefficients):
        """Horner's way: the fewest operations, and what stands side by side fills the time between them."""
        value = coefficients[-1]
        for c in coefficients[-2::-1]:
            value = self.multiply_add(value, x, c)
        return value


def reduced(v, x, scale, offset=ROUND):
    """m, offset + m and r with scale x = m log(2) + scale r, abs(scale r) <= log(2)/2."""
    shifted = v.multiply_add(x, scale * 1.4426950408889634, offset)
    m = v.sub(shifted, offset)
    if v.fused and scale == 2.0:
        # Off by m/2 ulp of log(2): where m is large tanh no longer notices.
        return m, shifted, v.sub_multiply(x, m, 0.6931471805599453 / scale)
    high, low = 0.6931471803691238 / scale, 1.9082149292705877e-10 / scale
    return m, shifted, v.sub_multiply(v.sub_multiply(x, m, high), m, low)


def tanhs(v, x):
    """tanh(m log(2)/2 + r) as one quotient of polynomials of r, linear in 2**m; below 4 ulp, nan propagates.

    With tanh(r) = odd / even and h = (2**m - 1)/2 it is (h (even + odd) + odd) / (h (even + odd) + even).
    """
    size = v.abs(x)
    size = v.where("<", 22.18070977791825, size, 22.18070977791825, size)  # 32 log(2), where r = 0 gives 1 exactly
    _, shifted, r = reduced(v, size, 2.0, ROUND - 1.0)
    half = v.sub(v.doubles(v.left(v.words(shifted), 52)), 0.5)
    square = v.mul(r, r)
    odd = v.multiply_add(r, v.mul(square, v.polynomial(square, TANH_TOP)), r)
    even = v.multiply_add(square, v.polynomial(square, TANH_BOTTOM), 1.0)
    total = v.add(even, odd)
    upper, lower = v.multiply_add(half, total, odd), v.multiply_add(half, total, even)
    # The quotient has no sign that would have to be cleared.
    sign = v.each(v.builder.and_, v.words(x), -(2**63))
    return v.doubles(v.each(v.builder.or_, v.words(quotients(v, upper, lower)), sign))


def quotients(v, a, b):
    """a / b, right to 1 ulp, for finite b that are neither tiny nor huge.

    Where the processor has an estimate of 1/b, good to 14 bits, two corrections from it take half the time of a
    division, which can have but one at a time.
    """
    if not v.wide:
        return v.div(a, b)
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, ir.IntType(8)])
    estimate = cgutils.get_or_insert_function(v.builder.module, kind, "llvm.x86.avx512.rcp14.pd.512")
    inverse = v.each(lambda d: v.builder.call(estimate, [d, v.number(0.0), ir.IntType(8)(-1)]), b)
    inverse = v.multiply_add(inverse, v.sub_multiply(1.0, b, inverse), inverse)
    quotient = v.mul(a, inverse)
    return v.sub_multiply(quotient, v.multiply_sub(b, quotient, a), inverse)  # in this order -0 stays


def exps(v, x):
    """exp(x) = 2**m (1 + expm1(r)), x = m log(2) + r; below 2 ulp, nan propagates."""
    x = v.between(x, -750.0, 710.0)
    m, _, r = reduced(v, x, 1.0)
    square = v.mul(r, r)
    value = v.add(v.multiply_add(square, v.polynomial(r, EXPM1), r), 1.0)
    if v.wide:
        kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR, ir.IntType(8), ir.IntType(32)])
        scale = cgutils.get_or_insert_function(v.builder.module, kind, "llvm.x86.avx512.mask.scalef.pd.512")
        every, rounding = ir.IntType(8)(-1), ir.IntType(32)(4)
        return v.each(lambda a, b: v.builder.call(scale, [a, b, a, every, rounding]), value, m)
    half = v.add(v.mul(m, 0.5), ROUND)  # in two factors, because 2**1024 and 2**-1074 have no exponent field
    rest = v.add(v.sub(m, v.sub(half, ROUND)), ROUND)
    for factor in (half, rest):
        value = v.mul(value, v.doubles(v.left(v.words(factor), 52)))
    return value


def logs(v, x):
    """log(x) = k log(2) + log(m), m between sqrt(1/2) and sqrt(2) (the fit of fdlibm); below 2 ulp, nan propagates."""
    tiny = 2.2250738585072014e-308
    scaled = v.where("<", x, tiny, v.mul(x, 18014398509481984.0), x)  # 2**54
    offset = v.where("<", x, tiny, 4503599627371573.0, 4503599627371519.0)
    bits = v.each(v.builder.add, v.words(scaled), 0x0009_5F62_0000_0000)
    k = v.sub(v.doubles(v.each(v.builder.or_, v.right(bits, 52), 0x4330_0000_0000_0000)), offset)
    mantissa = v.each(v.builder.and_, bits, 0x000F_FFFF_FFFF_FFFF)
    f = v.sub(v.doubles(v.each(v.builder.add, mantissa, 0x3FE6_A09E_0000_0000)), 1.0)
    s = v.div(f, v.add(f, 2.0))
    z = v.mul(s, s)
    q = v.polynomial(z, LOG)
    half = v.mul(v.mul(f, f), 0.5)
    low = v.multiply_add(s, v.multiply_add(z, q, half), v.mul(k, 1.90821492927058770002e-10))
    value = v.multiply_sub(k, 6.93147180369123816490e-01, v.sub(v.sub(half, low), f))
    value = v.where("<", x, math.inf, value, x)
    value = v.where("==", x, 0.0, -math.inf, value)
    return v.where("<", x, 0.0, math.nan, value)


def sigmoids(v, x):
    """1/(1 + exp(-x)) = e / (1 + e) or 1 / (1 + e), e = exp(-abs(x)); below 4 ulp, nan propagates."""
    e = exps(v, v.neg(v.abs(x)))
    return v.div(v.where(">=", x, 0.0, 1.0, e), v.add(e, 1.0))


def signs(v, x):
    """-1, 0 or 1: the derivative of abs."""
    return v.where(">", x, 0.0, 1.0, v.where("<", x, 0.0, -1.0, 0.0))


FUNCTIONS = {"tanh": tanhs, "exp": exps, "log": logs, "sigmoid": sigmoids}
