"""The linear SGD beside blocks of replicas on the same draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .control import LinearControl
from .kernel import Stack
from .kernel_ways import Way
from .lanes import LANES
from .linear_kernel import linear_module
from .linear_process import Segment
from .memory import aligned
from .replay import KernelMismatch

__all__ = ["CoupledBlocks"]

Array = NDArray[np.float64]


class CoupledBlocks:
    """The linear process of a few blocks of replicas, read at the marks of its control.

    Parameters
    ----------
    control : LinearControl
    noise : ndarray
        What the kernel is told about the noise.
    arguments : mapping
        lr, batch, sampling and law of the kernel.
    count, d : int
        Blocks, and parameters.
    stopped : callable
        Whether results are wanted no more; those that are there then are of no use.

    Attributes
    ----------
    linear, second, ends : ndarray, shape (count, Q, d, LANES)
        theta in the process, its second-order motion since the mark before, and that of the noise-free iteration on.
    """

    def __init__(
        self,
        control: LinearControl,
        noise: Array,
        arguments: dict[str, Any],
        count: int,
        d: int,
        stopped: Callable[[], bool],
    ) -> None:
        self.control, self.noise, self.arguments, self.count = control, noise, arguments, count
        self.stopped = stopped
        shape = (count, len(control.marks), d, LANES)
        self.linear, self.second, self.ends = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.z, self.t = (aligned(np.zeros((count, rows * LANES))) for rows in (control.rank, control.free))
        # At marks up to the first step of the process all is zero.
        self.segment, self.mark = 0, int(np.searchsorted(control.marks, control.segments[0].first, side="right"))
        self.moved = np.zeros((count, d, LANES))

    def before(self, stack: Stack) -> tuple[Any, Any]:
        """The state of the draws, to be taken before the replicas move."""
        return aligned(stack.words), aligned(stack.order)

    def compile(self, stack: Stack) -> None:
        """Take no step, so that the process is compiled."""
        never = int(self.control.marks[-1]) + 1
        self._run(*self.before(stack), 0, never, np.array([never]))

    def follow(self, draws: tuple[Any, Any], step: int, cut: int, stack: Stack) -> None:
        """Repeat the draws that the replicas made between two steps.

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
            if self.stopped():
                return
        if step >= self.control.segments[0].first and not np.array_equal(words, stack.words):
            raise KernelMismatch(
                "the linear process beside the replicas made other draws than they; please report this"
            )

    def _run(self, words: Any, order: Any, s: int, first: int, ends: NDArray[np.int64]) -> None:
        segment, arguments = self.control.segments[s], self.arguments
        rate = arguments["lr"] / arguments["batch"]
        out_z, out_t = (np.empty((self.count, len(ends), state.shape[1])) for state in (self.z, self.t))
        before = self.t.copy()
        draws = (arguments["batch"], arguments["sampling"], arguments["law"])
        data, (*kept, bent), law = segment.packed
        given = (*data, self.noise, rate, *draws, *kept, -bent / rate, *law)
        advance = linear_module(Way(*draws[1:]), segment.plain, law[-1].size > 0).advance
        for z, t, word, place, to_z, to_t in zip(self.z, self.t, words, order, out_z, out_t, strict=True):
            if self.stopped():
                return
            advance(z, t, word, place, first, ends, to_z, to_t, *given)
        shape = (self.count, len(ends))
        rows = out_z.reshape(*shape, self.control.rank, LANES)
        moved = np.diff(out_t, axis=1, prepend=before[:, None]).reshape(*shape, self.control.free, LANES)
        moved = segment.local.tangent @ (-rate * moved)
        moved[:, 0] += self.moved
        read = len(ends) if ends[-1] in self.control.marks else len(ends) - 1
        self.moved = moved[:, read:].sum(axis=1)
        self._read(segment, rows[:, :read], moved[:, :read])

    def _read(self, segment: Segment, rows: Array, moved: Array) -> None:
        """Note the state at the next marks: z and the motion since the mark before, (count, marks, ., LANES)."""
        marks = rows.shape[1]
        at = slice(self.mark, self.mark + marks)
        self.linear[:, at] = self.control.shown(segment) @ rows
        self.ends[:, at] = segment.ends(rows)
        self.second[:, at] = moved
        self.mark += marks

    def _enter(self, s: int) -> None:
        for t in range(self.segment + 1, s + 1):
            self.z[:] = (self.control.transport(t) @ self.z.reshape(self.count, -1, LANES)).reshape(self.z.shape)
        self.segment = s
