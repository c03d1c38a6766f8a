"""The memory of a generated module: what it reads and writes lies in the arrays that it cuts out of it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.cache import build_module
from flatmin.sims.codegen import generate
from flatmin.sims.form import Form
from flatmin.sims.kernel import Kernel
from flatmin.sims.kernel_ways import way_of
from flatmin.sims.lanes import LANES
from flatmin.sims.random import block_words
from flatmin.sims.replay import kernel_noise
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.noise import GradientNoise, LabelFlip
from kernel_models import interpolated, pair_model, tanh_model, uv_model

# Numbers between arrays, and after the last one: no result that is made with one of these is a number.
GAP, TAIL, NAN = 128, 1 << 14, np.uint64(0x7FF8_0000_0000_BEEF)
CUT = re.compile(r"_at\(space, end, (.*)\), end \+ \(")


def guarded(text, folder, n, spaces):
    """The module of a text for n samples with gaps between its arrays; `spaces` takes its memory and where they are."""
    sizes = CUT.findall(text)
    text = CUT.sub(rf"_at(space, end, \1), end + {GAP} + (", text)
    text = text.replace("    return (\n        (", f"    return {len(sizes) * GAP} + (\n        (")
    text = text.replace("own = room(STATISTICS * SUMMED", f"own = room({GAP} + STATISTICS * SUMMED")
    text = text.replace("space_for(y.size)), STATISTICS * SUMMED", f"space_for(y.size)), {GAP} + STATISTICS * SUMMED")
    module = build_module(text, folder)
    room = module.room

    def with_gaps(count):
        space, gaps, end = room(count + TAIL), np.zeros(count + TAIL, dtype=bool), 0
        gaps[count:] = True
        if "STATISTICS" in vars(module):
            end = module.STATISTICS * module.SUMMED + GAP
            gaps[end - GAP : end] = True
        for size in sizes:
            end += (eval(size, vars(module), {"n": n}) + 7) // 8 * 8 + GAP
            gaps[end - GAP : end] = True
        space.view(np.uint64)[gaps] = NAN
        spaces.append((space, gaps))
        return space

    module.room = with_gaps
    return module


def keeps_to_arrays(case, name, folder, change=lambda text: text):
    """Whether what Python calls of a kernel leaves gaps as they are, and finds numbers."""
    model, batch, noise, *sampling = CASES[case]
    algorithm, spaces = Algorithm(0.05, batch, noise, *sampling), []
    form = Form.of(model, algorithm)
    kernel = Kernel(
        model, generate(model, form), form, build=lambda text: guarded(change(text), folder, model.n, spaces)
    )
    start = form.state(np.linspace(0.5, 0.8, model.d), algorithm, model)
    block, way = kernel.block(start, block_words(3, (), 0, LANES)), way_of(algorithm, model)
    how = {"lr": 0.05, "batch": algorithm.batch(model), "sampling": way.sampling, "law": way.law, "bound": np.inf}
    sigmas = algorithm.sigmas(model) if noise.kind == "label" else kernel_noise(model, algorithm)
    result = np.zeros((model.d + model.d * (model.d + 1) // 2) * LANES)
    if name == "advance":
        kernel.advance(block, 0, np.array([70]), np.empty((1, block.theta.size)), sigmas, **how)
    elif name == "accumulate":
        kernel.accumulate(block, 0, 70, result, np.zeros(model.d), sigmas, **how)
    else:
        kernel.descend(block.theta, np.zeros(LANES, dtype=bool), 0.05, 1.0, 64)
    ((space, gaps),) = spaces
    numbers = np.isfinite(block.theta).all() and np.isfinite(result).all()
    return bool(numbers and np.all(space.view(np.uint64)[gaps] == NAN))


def many(n):
    u, v = sp.symbols("u v", real=True)
    return Model((u, v), [u * v * (1 + u / (i + 9)) for i in range(n)], y=np.linspace(0.1, 0.2, n))


FLIPS = Model(pair_model().parameters, pair_model().prediction, y=[1.0, -1.0], loss="logistic")
LABELS = tanh_model(((1.0,), (3.0,), (-1.0,)), (1.0, -1.0, 1.0))
LABELS = Model(LABELS.parameters, LABELS.prediction[0], inputs=LABELS.inputs, x=LABELS.x, y=LABELS.y, loss="logistic")
CASES = {
    "list, signs": (uv_model(), "full", LabelNoise(0.1)),
    "list, draws": (pair_model(), 3, LabelNoise(0.1)),
    "list, rows": (many(5), 3, LabelNoise(0.1, "gaussian")),
    "inputs, signs": (interpolated(3), "full", LabelNoise(0.1)),
    "inputs, draws": (interpolated(12), 2, LabelNoise(0.1)),
    "inputs, normal": (interpolated(3), 2, LabelNoise(0.1, "gaussian")),
    "inputs, rows": (interpolated(70), "full", LabelNoise(0.1)),
    "counted": (FLIPS, 3, LabelFlip(0.2)),
    "counted, inputs": (LABELS, 2, LabelFlip(0.2), "without-replacement"),
    "counted, normal": (pair_model(), 2, GradientNoise(sp.eye(3), 0.1)),
}


@pytest.mark.parametrize(
    ("case", "name"),
    [*((case, "advance") for case in CASES), ("list, rows", "accumulate"), ("list, signs", "descend")],
)
def test_nothing_is_touched_but_arrays(case, name, tmp_path):
    assert keeps_to_arrays(case, name, tmp_path)


MUTANTS = {
    "labels": ("list, signs", "advance", "64 * N", "8 * N"),
    "total": ("inputs, normal", "advance", "D * LANES", "(D - 2) * LANES"),
    "pairs": ("inputs, signs", "advance", "(2 * n if n > 8 else 16)", "n"),
    "drawn": ("inputs, normal", "advance", "(INPUTS + 1) * LANES", "INPUTS * LANES"),
    "counts": ("list, rows", "advance", "N * LANES", "(N - 1) * LANES"),
    "total of counts": ("counted, inputs", "advance", "PARAMETERS * LANES", "(PARAMETERS - 2) * LANES"),
    "kicks": ("counted, normal", "advance", "KICKS * LANES", "(KICKS - 2) * LANES"),
    "the state before": ("list, signs", "descend", "(D + 5) * LANES", "0"),
    "sums": ("list, signs", "accumulate", "room(STATISTICS * SUMMED", "room(0 * SUMMED"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_array_without_room_is_seen(mutant, tmp_path):
    case, name, right, wrong = MUTANTS[mutant]

    def change(text):
        # In the lines that cut memory, and where its size is told.
        lines = [
            line.replace(right, wrong) if re.search(r"_at\(space|// 8 \* 8$|room\(", line) else line
            for line in text.split("\n")
        ]
        assert lines != text.split("\n")
        return "\n".join(lines)

    assert not keeps_to_arrays(case, name, tmp_path, change)
