"""`Kernel`: a model's compiled module, and `Block`: the state of the replicas that run on it together."""

from __future__ import annotations

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
from .kernel_random import LANES

__all__ = ["Block", "Kernel"]

Array = NDArray[np.float64]

# theta is out of bounds when it is this many times larger than the start; rest is measured on the same scale.
BOUND, REST = 1e6, 1e-13


_ARGUMENTS = ("lr", "batch", "sampling", "law", "bound")


def aligned(array: Any) -> Any:
    """A copy that begins at a cache line: a vector that crosses one is loaded twice."""
    space = np.empty(array.size + 8, dtype=array.dtype)
    first = -(space.__array_interface__["data"][0] // 8) % 8
    out = space[first : first + array.size]
    out[:] = array
    return out


@dataclass
class Block:
    """The whole state of `LANES` replicas, in the layout of the generated module."""

    theta: Array
    words: NDArray[np.uint64]
    order: NDArray[np.uint64]
    status: NDArray[np.int64]


@dataclass(frozen=True)
class Kernel:
    """A model's compiled module, together with the model's data and the form of the algorithms that it runs."""

    model: Model
    source: str
    module: ModuleType
    form: Form = field(default_factory=Form)

    @classmethod
    def for_model(cls, model: Model | IndexedModel) -> Kernel:
        """Generate and compile, or take from the cache, the kernel of a model for plain SGD with label noise."""
        if isinstance(model, IndexedModel):
            return cls.from_source(model, generate_indexed(model))
        return cls._of_form(model, Form())

    @classmethod
    def for_algorithm(cls, model: Model, algorithm: Algorithm) -> Kernel:
        """The kernel of a model for an algorithm, and for all that differ from it in numbers only.

        Raises
        ------
        InvalidInput
            When the layout of the model has no kernel for such an algorithm.
        """
        algorithm.check(model)
        form = Form.of(model, algorithm)
        if isinstance(model, IndexedModel):
            if not form.plain:
                raise InvalidInput("algorithm", f"={algorithm} on an IndexedModel must be plain SGD with label noise")
            return cls.for_model(model)
        return cls._of_form(model, form)

    @classmethod
    def _of_form(cls, model: Model, form: Form) -> Kernel:
        text = generate(model, form)
        return cls(model, text, load_module(text), form)

    @classmethod
    def from_source(cls, model: Any, source: str) -> Kernel:
        """The kernel with this text, of plain SGD with label noise."""
        return cls(model, source, load_module(source))

    def on(self, model: Any) -> Kernel:
        """The same kernel with the data of another model, which differs in nothing else."""
        return replace(self, model=model)

    def serves(self, algorithm: Algorithm) -> bool:
        """Whether the kernel runs this algorithm."""
        form = Form.of(self.model, algorithm)
        same = type(form.rule) is type(self.form.rule) and list(form.rule.constants) == list(self.form.rule.constants)
        return same and form.noise == self.form.noise and form.covariance == self.form.covariance

    def block(self, start: Array, words: NDArray[np.uint64], replicas: int = LANES) -> Block:
        """A new block with every replica in the state `start`: theta, and for other rules what `Form.state` adds.

        Kernels that go through the replicas one by one take `replicas` of them; others always fill their lanes.
        """
        count = replicas if isinstance(self.model, IndexedModel) else LANES
        return Block(
            theta=aligned(np.repeat(start, count)),
            words=aligned(np.concatenate([words.ravel(), np.zeros(LANES, dtype=np.uint64)])),
            order=np.repeat(np.arange(self.model.n, dtype=np.uint64), LANES),
            status=np.full(LANES, -1, dtype=np.int64),
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
        self.module.advance(*state, first, schedule, out, *data, lr, batch, sampling, law, bound)

    @property
    def moment_pairs(self) -> list[tuple[int, int]]:
        """The products of parameters whose moments are summed, in the order of their rows."""
        if isinstance(self.model, IndexedModel):
            return [(j, j) for j in range(self.model.d)]
        return moment_pairs(self.model.d)

    @property
    def period(self) -> int:
        """A run may be cut where the step is a multiple of this: the bits of its results do not depend on it."""
        return max(1, 64 // self.model.n) * int(getattr(self.module, "CHECKED", 1))

    @cached_property
    def moments_module(self) -> ModuleType:
        """The module with `accumulate`, compiled or loaded when it is first needed."""
        if isinstance(self.model, IndexedModel):
            return load_module(generate_indexed_moments(self.model))
        return load_module(generate_moments(self.model, self.form))

    def accumulate(
        self, block: Block, first: int, last: int, sums: Array, shift: Array, sigmas: Array, **arguments: Any
    ) -> None:
        """Run a block from step `first` to `last`, adding shifted moments of theta before each step to `sums`.

        `sums` is flat, with a row of lanes for each parameter and for each of `moment_pairs`; the other arguments are
        those of `advance`.
        """
        state = (block.theta, block.words, block.order, block.status)
        data = (self.model.x, self.model.y, sigmas)
        self.moments_module.accumulate(*state, first, last, sums, shift, *data, *(arguments[k] for k in _ARGUMENTS))

    def descend(self, theta: Array, settled: NDArray[np.bool_], lr: float, scale: float, max_steps: int) -> int:
        """Noise-free full-batch steps on flat `theta`, until every replica rests; returns how many were taken."""
        data = (self.model.x, self.model.y)
        return int(self.module.descend(theta, settled, *data, lr, REST * scale, BOUND * scale, max_steps))
