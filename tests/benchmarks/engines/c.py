"""The C reference: intrinsics by hand (folder `c`), compiled with gcc when the benchmark starts; the yardstick.

It uses AVX-512 where the processor has it, AVX2 elsewhere (`c/simd.h`).

On more than one core, threads take the groups of replicas in turn.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..protocol import Array, Sums, Unavailable
from ..works import GROUPS, Work

SOURCES = Path(__file__).parent.parent / "c"
FLAGS = [
    "-O3",
    "-march=native",
    "-mprefer-vector-width=512",
    "-ffp-contract=fast",
    "-fschedule-insns",
    "-fsched-pressure",
    "-shared",
    "-fPIC",
    "-w",
]
FUNCTIONS = {
    "uv": ("w1.c", "uv"),
    "tanh": ("w2.c", "tanh_one"),
    "tanh, full": ("w2.c", "tanh_full"),
    "square": ("w3.c", "square"),
    "mlp": ("w4.c", "mlp"),
}


def library(source: str, flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    """What a source file becomes."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise Unavailable("c: there is no gcc")
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or not {"avx2", "fma"} <= set(cpu.read_text(encoding="utf-8").split()):
        raise Unavailable("c: this processor has no AVX2")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "reference.so"
        command = [gcc, *FLAGS, *flags, str(SOURCES / source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"c: {done.stderr.strip()}")
        return ctypes.CDLL(str(made))


def _compiled(source: str, name: str, *flags: str):
    """The function of a source file."""
    function = library(source, flags)[name]
    pointer, real, whole = ctypes.c_void_p, ctypes.c_double, ctypes.c_long
    function.argtypes = [pointer] * 4 + [real] * 2 + [whole] * 6 + [pointer]
    function.restype = None
    return function


class Engine:
    flags: tuple[str, ...] = ()

    def __init__(self, work: Work, cores: int) -> None:
        self.work, self.by_row = work, work.model in ("square", "mlp")
        kind = "tanh, full" if work.model == "tanh" and work.full else work.model
        self.function = _compiled(*FUNCTIONS[kind], f"-DSTATISTICS={int(work.statistics)}", *self.flags)
        self.pool = ThreadPoolExecutor(cores) if cores > 1 else None
        self.x, self.y = np.ascontiguousarray(work.x), np.ascontiguousarray(work.y)

    def start(self, seed: int) -> None:
        # Rows of parameters, for lanes over replicas; for many parameters rows of replicas, eight streams for each.
        work = self.work
        if self.by_row:
            self.state = np.repeat(work.theta0[None, :], work.replicas, axis=0)
        else:
            self.state = np.repeat(work.theta0[:, None], work.replicas, axis=1)
        size = work.replicas * (32 if self.by_row else 4)
        self.words = np.random.SeedSequence(seed).generate_state(size, np.uint64)

    def theta(self) -> Array:
        return self.state.T if self.by_row else self.state

    def run(self, steps: int) -> Sums:
        work = self.work
        sums = np.zeros((GROUPS, work.d + len(work.pairs[0])))
        size = work.replicas // GROUPS

        def group(k: int) -> None:
            data = (self.state.ctypes.data, self.words.ctypes.data, self.x.ctypes.data, self.y.ctypes.data)
            sizes = (work.n, work.batch, work.replicas, k * size, (k + 1) * size, steps)
            self.function(*data, work.eta, work.sigma, *sizes, sums[k].ctypes.data)

        list((self.pool.map if self.pool else map)(group, range(GROUPS)))
        return sums[:, : work.d], sums[:, work.d :]
