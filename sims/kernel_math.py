"""Elementary functions of what Numba compiles of generated kernels: branch-free, so that loops become vector code.

`math.exp` and `math.tanh` are calls of scalar library functions, which also keep the compiler from vectorizing the loop
around them. The source text of these functions is copied into the modules of models over an index; of those with
replicas side by side, normal numbers take two of them, and lists have functions of their own (`vector_math`).
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["cos_turns", "exp", "expm1_reduced", "inlined", "log", "power_of_two", "sigmoid", "sign", "tanh"]

# Of the fast-math flags only contraction to fused multiply-adds: others would remove the tests for nan, or
# reorder the additions that round to an integer.
inlined = njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)


@inlined
def expm1_reduced(r):
    """exp(r) - 1 for abs(r) <= log(2)/2: r + r**2 q(r), q the Chebyshev fit of degree 10, error 2e-18 relative to r."""
    q = 2.0914717341716378e-09
    q = q * r + 2.5105259538448494e-08
    q = q * r + 2.755727357010214e-07
    q = q * r + 2.7557255297969643e-06
    q = q * r + 2.4801587325605324e-05
    q = q * r + 1.984126987490126e-04
    q = q * r + 1.388888888888373e-03
    q = q * r + 8.333333333326112e-03
    q = q * r + 4.166666666666667e-02
    q = q * r + 1.666666666666667e-01
    q = q * r + 0.5
    return r + r * r * q


@inlined
def power_of_two(shifted):
    """2**m from m + 1.5 * 2**52: the low bits of the sum hold m, which moves into the exponent field."""
    return np.uint64((np.float64(shifted).view(np.uint64) + np.uint64(1023)) << np.uint64(52)).view(np.float64)


@inlined
def exp(x):
    """exp(x) = 2**m (1 + expm1(r)), x = m log(2) + r; below 2 ulp, nan propagates."""
    z = 710.0 if x > 710.0 else x  # comparisons let nan pass
    z = -750.0 if z < -750.0 else z
    m = (z * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0  # rounds to the nearest integer
    r = (z - m * 0.6931471803691238) - m * 1.9082149292705877e-10
    half = m * 0.5 + 6755399441055744.0  # in two factors, because 2**1024 and 2**-1074 have no exponent field
    rest = (m - (half - 6755399441055744.0)) + 6755399441055744.0
    return (1.0 + expm1_reduced(r)) * power_of_two(half) * power_of_two(rest)


@inlined
def tanh(x):
    """tanh(m log(2)/2 + r) as one quotient of polynomials of r, linear in 2**m; below 4 ulp, nan propagates.

    With tanh(r) = odd / even and h = (2**m - 1)/2 it is (h (even + odd) + odd) / (h (even + odd) + even).
    """
    z = abs(x)
    z = 22.18070977791825 if z > 22.18070977791825 else z  # 32 log(2), where r = 0 gives 1 exactly
    shifted = z * 2.8853900817779268 + 6755399441055743.0
    m = shifted - 6755399441055743.0
    r = (z - m * 0.3465735901845619) - m * 9.541074646352939e-11
    h = power_of_two(shifted) - 0.5
    square = r * r
    odd = r + r * (square * (0.1110993805815367 + square * 0.00105741958596825))
    even = 1.0 + square * (0.4444327139148643 + square * 0.015868324226120546)
    both = h * (even + odd)
    return math.copysign((both + odd) / (both + even), x)


@inlined
def log(x):
    """log(x) = k log(2) + log(m), m between sqrt(1/2) and sqrt(2) (the fit of fdlibm); below 2 ulp, nan propagates."""
    subnormal = x < 2.2250738585072014e-308
    scaled = x * 18014398509481984.0 if subnormal else x  # 2**54
    bits = np.float64(scaled).view(np.uint64) + np.uint64(0x0009_5F62_0000_0000)
    biased = np.uint64((bits >> np.uint64(52)) | np.uint64(0x4330_0000_0000_0000)).view(np.float64)
    k = biased - (4503599627371573.0 if subnormal else 4503599627371519.0)
    f = np.uint64((bits & np.uint64(0x000F_FFFF_FFFF_FFFF)) + np.uint64(0x3FE6_A09E_0000_0000)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    q = 1.479819860511658591e-01
    q = q * z + 1.531383769920937332e-01
    q = q * z + 1.818357216161805012e-01
    q = q * z + 2.222219843214978396e-01
    q = q * z + 2.857142874366239149e-01
    q = q * z + 3.999999999940941908e-01
    q = q * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    value = k * 6.93147180369123816490e-01 - ((half - (s * (half + z * q) + k * 1.90821492927058770002e-10)) - f)
    value = value if x < math.inf else x
    value = value if x != 0.0 else -math.inf
    return math.nan if x < 0.0 else value


@inlined
def sigmoid(x):
    """1/(1 + exp(-x)) = e / (1 + e) or 1 / (1 + e), e = exp(-abs(x)); below 4 ulp, nan propagates."""
    e = exp(-abs(x))
    above = 1.0 if x >= 0.0 else e
    return above / (1.0 + e)


@inlined
def cos_turns(v):
    """cos(2 pi v) = 1 - 2 sin(pi v)**2 for abs(v) <= 1/2, right to 1e-15 (absolute)."""
    z = v * v
    q = 7.697826668094959e-07
    q = q * z - 2.190349706523798e-05
    q = q * z + 4.6629981618627936e-04
    q = q * z - 7.370430505916244e-03
    q = q * z + 8.214588657310282e-02
    q = q * z - 5.992645293189447e-01
    q = q * z + 2.5501640398773007e00
    q = q * z - 5.167712780049969e00
    q = q * z + 3.141592653589793e00
    s = v * q
    return 1.0 - 2.0 * s * s


@inlined
def sign(x):
    """-1, 0 or 1: the derivative of abs."""
    return np.float64(x > 0.0) - np.float64(x < 0.0)
