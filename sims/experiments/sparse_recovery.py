"""Sparse recovery: label noise finds a sparse truth from few samples.

Problem: y_i = <beta*, x_i>, x_i normal, n < d samples, beta* with k entries of size 1; f = <theta*theta, x>, or
<u*u - v*v, x> for signed truths; all parameters start at 1, where the loss vanishes for very many beta.
Algorithm: SGD with label noise, then a short noise-free descent. Rivals: gradient descent, the same SGD without noise.
Statement: R is close to the l1 norm of beta here, so that label noise ends at beta*, and the others do not.
References: HaoChen, Wei, Lee, Ma (2021), *Shape Matters*, Theorem 1; Damian, Ma, Lee (2021), Section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, IndexedModel, LabelNoise
from numpy.typing import NDArray

from ..engine import simulate
from ..kernel import Kernel
from .findings import Findings, NumberTable, short
from .statements import Statement, decide
from .store import Laboratory, Setting

__all__ = ["ALGORITHMS", "problem", "run", "train"]

Array = NDArray[np.float64]

# Batch size and label noise of each algorithm.
ALGORITHMS: dict[str, tuple[int | Literal["full"], float]] = {
    "label noise": (1, 1.5),
    "SGD": (1, 0.0),
    "gradient descent": ("full", 0.0),
}
STEPS, DESCENT, RATE = 300_000, 30_000, 0.003
RECOVERED, BETTER = 0.1, 10.0


def run(laboratory: Laboratory, seeds: int, *, d: int = 100, n: int = 40, steps: int = STEPS) -> Findings:
    """All runs, their tables and figures, and the verdicts."""
    settings = [
        {"algorithm": name, "d": d, "n": n, "k": k, "signed": signed, "steps": steps, "seed": seed}
        for k, signed in ((3, False), (5, False), (3, True))
        for name in ALGORITHMS
        for seed in range(seeds)
    ]
    results = laboratory.finish(train, settings, cost=_cost, name=lambda s: f"{s['algorithm']}, k = {s['k']}")
    runs = [{**setting, **result} for setting, result in zip(settings, results, strict=True)]
    return Findings(decide(_statements(runs)), [_table(runs)], {}, runs)


def problem(d: int, n: int, k: int, seed: int, signed: bool = False) -> tuple[IndexedModel, Array]:
    """A model with drawn data, and the truth beta*."""
    rng = np.random.default_rng([seed, d, n, k, int(signed)])
    x, truth = rng.normal(size=(n, d)), np.zeros(d)
    truth[rng.choice(d, k, replace=False)] = rng.choice([-1.0, 1.0], k) if signed else 1.0
    j = sp.Symbol("j", integer=True)
    u, v, inputs = (sp.IndexedBase(name, shape=(d,)) for name in ("u", "v", "x"))
    entry = u[j] ** 2 - v[j] ** 2 if signed else u[j] ** 2
    prediction = sp.Sum(entry * inputs[j], (j, 0, d - 1))
    return IndexedModel([u, v] if signed else [u], prediction, inputs=inputs, x=x, y=x @ truth), truth


def coefficients(theta: Array, d: int) -> Array:
    """beta = theta*theta, or u*u - v*v."""
    return theta[:d] ** 2 - theta[d:] ** 2 if len(theta) > d else theta**2


def train(setting: Setting, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """One run: noisy steps, then noise-free ones; how far from the truth it ends."""
    model, truth = problem(setting["d"], setting["n"], setting["k"], setting["seed"], setting["signed"])
    batch, sigma = ALGORITHMS[setting["algorithm"]]
    kernel, seed = Kernel.for_model(model), setting["seed"]
    theta = np.ones(model.d)
    for algorithm, steps in (
        (Algorithm(RATE, batch, LabelNoise(sigma)), setting["steps"]),
        (Algorithm(RATE, "full", LabelNoise(0.0)), DESCENT),
    ):
        ensemble = simulate(kernel, algorithm, None, theta, 1, [steps], seed=seed, threads=1, should_stop=should_stop)
        theta = ensemble.points[-1, :, 0]
    beta = coefficients(theta, setting["d"])
    error = float(np.linalg.norm(beta - truth))
    return {
        "error": error if np.isfinite(error) else None,
        "l1": float(np.abs(beta).sum()),
        "loss": float(model.loss(theta)),
    }


def _cost(setting: Setting) -> float:
    batch = ALGORITHMS[setting["algorithm"]][0]
    return float(setting["steps"]) * (1.0 if batch == 1 else 6.0)


def _errors(runs: Iterable[dict[str, Any]], **chosen: Any) -> Array:
    """Errors of the runs with these settings, by seed; infinite where a run diverged."""
    found = [r["error"] for r in runs if all(r[key] == value for key, value in chosen.items())]
    return np.array([np.inf if e is None else e for e in found])


def _cases(runs: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    return list(dict.fromkeys((r["k"], r["signed"]) for r in runs))


def _statements(runs: list[dict[str, Any]]) -> list[Statement]:
    statements = []
    for k, signed in _cases(runs):
        chosen = {"k": k, "signed": signed}
        ours = _errors(runs, algorithm="label noise", **chosen) / np.sqrt(k)
        rivals = []
        for name in list(ALGORITHMS)[1:]:
            theirs = _errors(runs, algorithm=name, **chosen) / np.sqrt(k)
            rivals.append(Statement(name, f"{name} recovers as well", theirs, high=RECOVERED))
        text = f"label noise recovers the truth: |beta - beta*| below {RECOVERED:g} |beta*|"
        name = f"recovery, k = {k}{', signed' if signed else ''}"
        statements.append(Statement(name, text, ours, high=RECOVERED, rivals=tuple(rivals)))
    return statements


def _table(runs: list[dict[str, Any]]) -> NumberTable:
    rows = []
    for k, signed in _cases(runs):
        for name in ALGORITHMS:
            errors = _errors(runs, k=k, signed=signed, algorithm=name)
            spread = [short(float(v)) for v in (np.mean(errors), np.std(errors), errors.min(), errors.max())]
            rows.append([f"k = {k}{', signed' if signed else ''}", name, *spread])
    return NumberTable("|beta - beta*|", ["truth", "algorithm", "mean", "deviation", "least", "largest"], rows)
