"""One way through a generated module: what a run never takes need not be compiled.

A generated text serves every sampling and every law of the noise, which are its arguments. Compiling all of that takes
several times as long as what one algorithm takes, so the text of a way has them as constants: Numba leaves out a branch
on constants, and functions that are then never called.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flatmin.theory import Algorithm, Model

from .kernel_frame import SECTION, WITH_NOISE, WITHOUT_NOISE
from .lanes import FULL, GAUSSIAN, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT

__all__ = ["Way", "way_of", "way_text"]


class Way(NamedTuple):
    """The sampling and the law of the noise of a run, numbers of `kernel_random`."""

    sampling: int
    law: int


def way_of(algorithm: Algorithm, model: Model) -> Way:
    """The way through a kernel that an algorithm takes."""
    law = GAUSSIAN if getattr(algorithm.noise, "law", "") == "gaussian" else RADEMACHER
    if algorithm.batch_size == "full" or model.n == 1 == algorithm.batch(model):
        return Way(FULL, law)  # with one sample and one draw every sampling has the law of the full batch
    return Way(WITH_REPLACEMENT if algorithm.sampling == "with-replacement" else WITHOUT_REPLACEMENT, law)


def way_text(text: str, way: Way | None, **constants: object) -> str:
    """The text of a module for one way, without the descent, or of the descent alone for None.

    `constants` are further names in it.
    """
    # Layouts that have no sections compile both in one.
    unused = WITHOUT_NOISE if way else WITH_NOISE
    sections = re.split(f"^(?={SECTION})", text, flags=re.MULTILINE)
    text = "".join(section for section in sections if not section.startswith(unused))
    sampling, law = way or (FULL, RADEMACHER)
    values = {"SAMPLING": sampling, "LAW": law} | constants
    for name in ("sampling", "law"):
        text = re.sub(rf"\b{name} (?=[=!]=)", f"{name.upper()} ", text)
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    return text.replace("\nLANES = ", f"\n{lines}LANES = ", 1)
