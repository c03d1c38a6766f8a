"""The parts of a generated module that walks its three-address lists as vectors of eight replicas."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import ModuleType

from . import templates, vector_layouts, vector_list, vector_math, vector_steps
from .program import Program

__all__ = ["IMPORTS", "has_vectors", "indexed_parts", "sources"]

VECTOR_OPERATIONS = {"add", "sub", "mul", "div", "neg", "sqrt", "abs", "sign", *vector_math.FUNCTIONS}


def has_vectors(*programs: Program) -> bool:
    """Whether every operation of these lists has a vector version."""
    return all(line.operation in VECTOR_OPERATIONS for program in programs for line in program.lines)


IMPORTS = templates.IMPORTS.replace("import math\n", "import inspect\nimport math\n").replace(
    "from numba import njit, types\n",
    "from llvmlite import binding, ir\nfrom numba import njit, types\nfrom numba.core import cgutils, config\n",
)


def sources(*modules: ModuleType) -> str:
    """What the modules define below their `__all__`."""
    texts = (inspect.getsource(module).split("\n__all__ = ")[1].split("]\n", 1)[1].strip() for module in modules)
    return "\n\n\n".join(texts) + "\n"


def constants(d: int, pairs: Sequence[tuple[int, int]] | None, **lists: Program) -> str:
    """The model's numbers and lists."""
    statistics = [*((j,) for j in range(d)), *(pairs or ())]
    texts = [f'{name} = """\\\n{program}"""\n' for name, program in lists.items()]
    return "".join([f"STATISTICS = {tuple(statistics)}\n", *texts])
