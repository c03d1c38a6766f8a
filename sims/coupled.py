"""One block of the linear SGD, beside a block of replicas on the same draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .control import LinearControl
from .kernel import Block, aligned
from .kernel_random import LANES
from .kernel_ways import Way
from .linear_kernel import linear_module
from .linear_process import Segment
from .replay import KernelMismatch

__all__ = ["CoupledBlock"]

Array = NDArray[np.float64]


class CoupledBlock:
    """The linear process of `LANES` replicas, read at the marks of its control.

    Parameters
    ----------
    control : LinearControl
    noise : ndarray
        What the kernel is told about the noise.
    arguments : mapping
        lr, batch, sampling and law of the kernel.
    shape : tuple of int
        (Q, d, LANES), of the results.

    Attributes
    ----------
    linear, second, ends : ndarray, shape (Q, d, LANES)
        theta in the process, its second-order motion since the mark before, and that of the noise-free iteration on.
    """

    def __init__(
        self, control: LinearControl, noise: Array, arguments: dict[str, Any], shape: tuple[int, int, int]
    ) -> None:
        self.control, self.noise, self.arguments = control, noise, arguments
        self.linear, self.second, self.ends = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.z, self.t = aligned(np.zeros(control.rank * LANES)), aligned(np.zeros(control.free * LANES))
        # At marks up to the first step of the process all is zero.
        self.segment, self.mark = 0, int(np.searchsorted(control.marks, control.segments[0].first, side="right"))
        self.moved = np.zeros(shape[1:])

    def before(self, block: Block) -> tuple[Any, Any]:
        """The state of the draws, to be taken before the replicas move."""
        return aligned(block.words), block.order.copy()

    def compile(self, block: Block) -> None:
        """Take no step, so that the process is compiled."""
        never = int(self.control.marks[-1]) + 1
        self._run(*self.before(block), 0, never, np.array([never]))

    def follow(self, draws: tuple[Any, Any], step: int, cut: int, block: Block) -> None:
        """Repeat the draws that the replicas of `block` made between two steps.

        Raises
        ------
        KernelMismatch
            When the draws were not the same.
        """
        words, order = draws
        for s, a, b in self.control.spans(step, cut):
            self._enter(s)
            marks = self.control.marks
            stops = marks[(marks > a) & (marks <= b)]
            ends = stops if stops.size and stops[-1] == b else np.append(stops, b)
            self._run(words, order, s, a, ends)
        if step >= self.control.segments[0].first and not np.array_equal(words, block.words):
            raise KernelMismatch(
                "the linear process beside the replicas made other draws than they; please report this"
            )

    def _run(self, words: Any, order: Any, s: int, first: int, ends: NDArray[np.int64]) -> None:
        segment, arguments = self.control.segments[s], self.arguments
        rate = arguments["lr"] / arguments["batch"]
        out_z, out_t = np.empty((len(ends), self.z.size)), np.empty((len(ends), self.t.size))
        before = self.t.copy()
        draws = (arguments["batch"], arguments["sampling"], arguments["law"])
        data, (*kept, bent), law = segment.packed
        given = (*data, self.noise, rate, *draws, *kept, -bent / rate, *law)
        module = linear_module(Way(*draws[1:]), segment.plain, law[-1].size > 0)
        module.advance(self.z, self.t, words, order, first, ends, out_z, out_t, *given)
        rows = out_z.reshape(len(ends), self.control.rank, LANES)
        moved = np.diff(out_t, axis=0, prepend=before[None]).reshape(len(ends), self.control.free, LANES)
        moved = segment.local.tangent @ (-rate * moved)
        moved[0] += self.moved
        read = len(ends) if ends[-1] in self.control.marks else len(ends) - 1
        self.moved = moved[read:].sum(axis=0)
        self._read(segment, rows[:read], moved[:read])

    def _read(self, segment: Segment, rows: Array, moved: Array) -> None:
        """Note the state at the next marks: z and the motion since the mark before, shapes (marks, ., LANES)."""
        at = slice(self.mark, self.mark + len(rows))
        self.linear[at] = self.control.shown(segment) @ rows
        self.ends[at] = segment.ends(rows)
        self.second[at] = moved
        self.mark += len(rows)

    def _enter(self, s: int) -> None:
        for t in range(self.segment + 1, s + 1):
            self.z[:] = (self.control.transport(t) @ self.z.reshape(-1, LANES)).ravel()
        self.segment = s
