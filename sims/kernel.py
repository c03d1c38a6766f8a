"""`Kernel`: a model's compiled module; `Block`, `Stack`: the state of the replicas that run on it together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, InvalidInput, Model
from flatmin.theory.indexed import IndexedModel
from numpy.typing import NDArray

from .cache import load_module
from .codegen import generate, generate_moments, moment_pairs
from .form import Form
from .indexed_codegen import generate_indexed, generate_indexed_moments
from .kernel_ways import Way, way_of, way_text
from .lanes import GROUPS, LANES
from .memory import aligned

__all__ = ["Block", "Kernel", "Stack"]

Array = NDArray[np.float64]

# theta is out of bounds when it is this many times larger than the start; rest is measured on the same scale.
BOUND, REST = 1e6, 1e-13


_ARGUMENTS = ("lr", "batch", "sampling", "law", "bound")


@dataclass
class _State:
    """All that a run has to remember."""

    theta: Array
    words: NDArray[np.uint64]
    order: NDArray[np.uint64]
    status: NDArray[np.int64]


class Block(_State):
    """The whole state of `LANES` replicas, in the layout of the generated module."""

    def repeated(self, first: int, count: int) -> Block:
        """The block with replicas first..first+count-1 again and again, where all have the same theta still."""
        lanes = first + np.arange(LANES) % count
        words, order = (array.reshape(-1, LANES)[:, lanes].ravel() for array in (self.words, self.order))
        return Block(aligned(self.theta), aligned(words), aligned(order), self.status.copy())


class Stack(_State):
    """Blocks that are handled together: row b of each array is that of block b."""

    def __iter__(self) -> Iterator[Block]:
        return map(Block, self.theta, self.words, self.order, self.status)


@dataclass(frozen=True)
class Kernel:
    """A model's generated module, together with the model's data and the form of the algorithms that it runs.

    Attributes
    ----------
    model : Model or IndexedModel
    source : str
        The text of the module, for every sampling and law of the noise.
    form : Form
    build : callable
        From a text to its module; by default compiled at once or taken from the cache.
    """

    model: Model
    source: str
    form: Form = field(default_factory=Form)
    build: Callable[[str], ModuleType] = load_module
    _built: dict[tuple[Way | None, bool], ModuleType] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def for_model(cls, model: Model | IndexedModel) -> Kernel:
        """Generate the kernel of a model for plain SGD with label noise; what a run needs of it is compiled then."""
        if isinstance(model, IndexedModel):
            return cls.from_source(model, generate_indexed(model))
        return cls._of_form(model, Form())

    @classmethod
    def for_algorithm(cls, model: Model, algorithm: Algorithm) -> Kernel:
        """The kernel of a model for an algorithm, and for all that differ from it in numbers only; compiled now.

        Raises
        ------
        InvalidInput
            When the layout of the model has no kernel for such an algorithm.
        """
        algorithm.check(model)
        form = Form.of(model, algorithm)
        indexed = isinstance(model, IndexedModel)
        if indexed and not form.plain:
            raise InvalidInput("algorithm", f"={algorithm} on an IndexedModel must be plain SGD with label noise")
        kernel = cls.for_model(model) if indexed else cls._of_form(model, form)
        kernel.prepare(*way_of(algorithm, model))
        return kernel

    @classmethod
    def _of_form(cls, model: Model, form: Form) -> Kernel:
        return cls(model, generate(model, form), form)

    @classmethod
    def from_source(cls, model: Any, source: str) -> Kernel:
        """The kernel with this text, of plain SGD with label noise."""
        return cls(model, source)

    def on(self, model: Any) -> Kernel:
        """The same kernel with the data of another model, which differs in nothing else."""
        return replace(self, model=model)

    def serves(self, algorithm: Algorithm) -> bool:
        """Whether the kernel runs this algorithm."""
        form = Form.of(self.model, algorithm)
        same = type(form.rule) is type(self.form.rule) and list(form.rule.constants) == list(self.form.rule.constants)
        return same and form.noise == self.form.noise and form.covariance == self.form.covariance

    def block(self, start: Array, words: NDArray[np.uint64]) -> Block:
        """A new block with every replica in the state `start`; words of shape (4, LANES)."""
        return next(iter(self.stack(start, words)))

    def stack(self, start: Array, words: NDArray[np.uint64], replicas: int | None = None) -> Stack:
        """New blocks with every replica in the state `start`: theta, and for other rules what `Form.state` adds.

        `words` has shape (4, blocks * LANES). Kernels that go through the replicas one by one take `replicas` of them,
        in one block; others always fill their lanes.
        """
        count = words.shape[1] // LANES
        width = replicas if replicas and self.one_by_one else LANES
        every = np.zeros((count, 5, LANES), dtype=np.uint64)
        every[:, :4] = words.reshape(4, count, LANES).swapaxes(0, 1)
        return Stack(
            theta=aligned(np.tile(np.repeat(start, width), (count, 1))),
            words=aligned(every.reshape(count, -1)),
            order=aligned(np.tile(np.repeat(np.arange(self.model.n, dtype=np.uint64), LANES), (count, 1))),
            status=np.full((count, LANES), -1, dtype=np.int64),
        )

    def advance(
        self,
        block: Block,
        first: int,
        schedule: NDArray[np.int64],
        out: Array,
        sigmas: Array,
        *,
        lr: float,
        batch: int,
        sampling: int,
        law: int,
        bound: float,
    ) -> None:
        """Run a block from step `first` through `schedule`, with theta after schedule[m] steps in out[m]."""
        data = (self.model.x, self.model.y, sigmas)
        state = (block.theta, block.words, block.order, block.status)
        module = self.prepare(sampling, law)
        module.advance(*state, first, schedule, out, *data, lr, batch, sampling, law, bound)

    def prepare(self, sampling: int, law: int, moments: bool = False) -> ModuleType:
        """The module that `advance`, or `accumulate`, takes, compiled or loaded now."""
        return self._module(Way(sampling, law), moments)

    def _module(self, way: Way | None, moments: bool = False) -> ModuleType:
        """The module for one way, or for the descent."""
        if (way, moments) not in self._built:
            self._built[way, moments] = self.build(way_text(self._moments if moments else self.source, way))
        return self._built[way, moments]

    @property
    def moment_pairs(self) -> list[tuple[int, int]]:
        """The products of parameters whose moments are summed, in the order of their rows."""
        if self.one_by_one:
            return [(j, j) for j in range(self.model.d)]
        return moment_pairs(self.model.d)

    @property
    def one_by_one(self) -> bool:
        """Whether replicas run one after the other, in blocks of any number."""
        return isinstance(self.model, IndexedModel)

    @cached_property
    def sharing(self) -> int:
        """How many replicas share the sums of `accumulate`: k with k + 64/sharing and so on."""
        return 1 if self.one_by_one else GROUPS

    @cached_property
    def period(self) -> int:
        """A run may be cut where the step is a multiple of this: the bits of its results do not depend on it."""
        checked = re.search(r"^CHECKED = (\d+)$", self.source, re.MULTILINE)
        return max(1, 64 // self.model.n) * int(checked[1] if checked else 1)

    @property
    def window(self) -> int:
        """A run with sums may be cut where the step is a multiple of this: whole periods, at most 64 steps."""
        return self.period if self.one_by_one else 64 // self.period * self.period

    @cached_property
    def _moments(self) -> str:
        """The text of the module with `accumulate`."""
        if isinstance(self.model, IndexedModel):
            return generate_indexed_moments(self.model)
        return generate_moments(self.model, self.form)

    def accumulate(
        self, block: Block, first: int, last: int, sums: Array, shift: Array, sigmas: Array, **arguments: Any
    ) -> None:
        """Run a block from step `first` to `last`, adding shifted moments of theta before each step to `sums`.

        `sums` is flat, with a row of lanes for each parameter and for each of `moment_pairs`; the other arguments are
        those of `advance`.
        """
        state = (block.theta, block.words, block.order, block.status)
        data = (self.model.x, self.model.y, sigmas)
        module = self.prepare(arguments["sampling"], arguments["law"], moments=True)
        module.accumulate(*state, first, last, sums, shift, *data, *(arguments[k] for k in _ARGUMENTS))

    def descend(self, theta: Array, settled: NDArray[np.bool_], lr: float, scale: float, max_steps: int) -> int:
        """Noise-free full-batch steps on flat `theta`, until every replica rests; returns how many were taken."""
        data = (self.model.x, self.model.y)
        module = self._module(None)
        return int(module.descend(theta, settled, *data, lr, REST * scale, BOUND * scale, max_steps))
