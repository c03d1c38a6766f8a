"""Vectors of generated kernels, as long as this processor's registers.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from llvmlite import binding, ir
from numba.core import config

__all__ = ["LENGTH", "VECTOR", "cpu_has", "shuffled"]


def cpu_has(*features):
    """Whether code is made for this processor, and it has all of that.

    Numba leaves AVX out on some old processors.
    """
    named = config.CPU_NAME is not None or config.CPU_FEATURES is not None
    if named or (not config.ENABLE_AVX and any(feature.startswith("avx") for feature in features)):
        return False
    return all(binding.get_host_cpu_features().get(feature, False) for feature in features)


# Of a longer vector each half takes a register and an instruction, and sixteen registers are soon full.
LENGTH = 8 if cpu_has("avx512f", "avx512dq") else 4
VECTOR = ir.VectorType(ir.DoubleType(), LENGTH)


def shuffled(builder, a, b, places):
    """Entries of two vectors."""
    places = list(places)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))
