"""`flatmin doctor`: where flatmin runs, and a self-test of its kernels.

A kernel that silently falls back to scalar code is right, and five times slower; nothing else would tell. Two checks
see it: the instructions of a kernel that is compiled for the purpose, and its time beside NumPy's.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import sympy as sp
from flatmin.theory import Model
from numpy.typing import NDArray

from .blocks import processors
from .cache import assembly, build_module, cache_root
from .codegen import generate
from .kernel import BOUND, Kernel
from .lanes import FULL, LANES, RADEMACHER
from .random import block_words
from .replay import KernelMismatch, check_kernel

__all__ = ["Finding", "diagnose", "environment", "instructions", "speed"]

# Floating-point arithmetic of x86 on several numbers at a time (packed, in ymm or zmm), and on one.
_PACKED = re.compile(r"^\s+v(?:f(?:n?)m(?:add|sub)\w*|add|sub|mul|div)pd\b.*%[yz]mm", re.MULTILINE)
_SCALAR = re.compile(r"^\s+v?(?:f(?:n?)m(?:add|sub)\w*|add|sub|mul|div)sd\b", re.MULTILINE)
# A step of f = uv takes a fifth to two fifths of the time that NumPy takes for a * b + a of a number in the cache;
# scalar code takes more than five times as long.
_MOST_PASSES = 0.6


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes
    ----------
    name : str
    value : str
    good : bool or None
        Whether a check passed; None where there is nothing to pass.
    advice : str
        What to do if not.
    """

    name: str
    value: str
    good: bool | None = None
    advice: str = ""


def diagnose() -> Iterator[Finding]:
    """Everything that `flatmin doctor` prints, line by line."""
    yield from environment()
    model = _model()
    yield _cache()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="flatmin-doctor-") as folder:
        kernel = Kernel(
            model, generate(model), build=lambda text: build_module(text, Path(tempfile.mkdtemp(dir=folder)))
        )
        module = kernel.prepare(FULL, RADEMACHER)
        yield Finding("compiling f = uv", f"{time.perf_counter() - began:.1f} s")
        yield instructions(assembly(module))
        yield _right(kernel)
        yield speed(kernel)


def environment() -> Iterator[Finding]:
    """Versions, processor and threads."""
    yield Finding("flatmin", version("flatmin"))
    yield Finding("Python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}")
    for name in ("numpy", "scipy", "sympy", "numba", "llvmlite"):
        yield Finding(name, version(name))
    features = llvmlite.binding.get_host_cpu_features()
    width = next((w for f, w in (("avx512f", 512), ("avx2", 256)) if features.get(f)), 128)
    yield Finding("processor", f"{llvmlite.binding.get_host_cpu_name()}, vectors of {width} bits")
    yield Finding("threads", f"{processors()} of {os.cpu_count()} processors")


def instructions(text: str) -> Finding:
    """Whether the arithmetic of a kernel is done on several numbers at a time."""
    name = "vector instructions"
    if platform.machine() not in ("x86_64", "AMD64"):
        return Finding(name, f"not judged on {platform.machine()}")
    packed, scalar = len(_PACKED.findall(text)), len(_SCALAR.findall(text))
    advice = "kernels run several times slower than they could; please report this with the versions above"
    return Finding(name, f"{packed} on several numbers at a time, {scalar} on one", packed > scalar, advice)


def speed(kernel: Kernel, steps: int = 20_000, rounds: int = 5) -> Finding:
    """Time of a replica-step beside that of NumPy's a * b + a for each number of arrays in the cache."""
    start = np.array([2.0, 0.5])
    block, out = kernel.block(start, block_words(0, (), 0, LANES)), np.empty((1, 2 * LANES))
    arguments: dict[str, Any] = {"lr": 0.1, "batch": 1, "sampling": FULL, "law": RADEMACHER, "bound": BOUND}
    a, b, c = np.ones(4096), np.ones(4096), np.empty(4096)
    ratios, rates = [], []
    for r in range(rounds):
        began = time.perf_counter()
        kernel.advance(block, r * steps, np.array([(r + 1) * steps]), out, np.array([0.1]), **arguments)
        ours = (time.perf_counter() - began) / (steps * LANES)
        began = time.perf_counter()
        for _ in range(100):
            _pass(a, b, c)
        ratios.append(ours / ((time.perf_counter() - began) / (100 * a.size)))
        rates.append(1 / ours)
    ratio = float(np.median(ratios))
    value = f"{np.median(rates):.2g} replica-steps/s on one thread, a step takes {ratio:.2g} passes of NumPy"
    return Finding("speed of f = uv", value, ratio < _MOST_PASSES, "see the vector instructions; is the machine busy?")


def _pass(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    np.multiply(a, b, out=out)
    np.add(out, a, out=out)


def _right(kernel: Kernel) -> Finding:
    try:
        check_kernel(kernel, np.array([2.0, 0.5]), 1, FULL, RADEMACHER)
    except KernelMismatch as error:
        return Finding("replay in NumPy", str(error), False, "do not trust results of this installation")
    return Finding("replay in NumPy", "the kernel agrees", True)


def _cache() -> Finding:
    root = cache_root()
    count = sum(1 for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else 0
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        advice = "kernels are compiled again in every process; set FLATMIN_CACHE_DIR to a folder that can be written"
        return Finding("kernel cache", f"{root}: {error.strerror or error}", False, advice)
    return Finding("kernel cache", f"{root}, {count} kernels", True)


def _model() -> Model:
    u, v = sp.symbols("u v", real=True)
    return Model((u, v), [u * v], y=[1.0])
