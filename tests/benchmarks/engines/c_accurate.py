"""The C reference with the tanh of flatmin's kernels, right to 4 ulp near zero too, with a division for each."""

from __future__ import annotations

from ..protocol import Unavailable
from ..works import Work
from . import c

WITH_TANH = ("tanh", "mlp")


class Engine(c.Engine):
    flags = ("-DACCURATE=1",)

    def __init__(self, work: Work, cores: int) -> None:
        if work.model not in WITH_TANH:
            raise Unavailable("c_accurate: there is no tanh in this work")
        super().__init__(work, cores)
