"""Sparse recovery: label noise finds a sparse truth from few samples, because R is nearly an l1 norm.

Problem: y_i = <beta*, x_i>, x_i normal, n < d samples, beta* with k entries of size 1; f = <theta*theta, x>, or
<u*u - v*v, x> for signed truths; all parameters start at 1, where very many beta have no loss.
Algorithm: SGD with label noise, then a short noise-free descent. Beside it gradient descent, the same SGD without
noise, and with isotropic noise of several sizes.
Statement: it ends at the beta of least R = (1/4) tr H = sum_j c_j |beta_j|, c_j = mean_i x_ij^2, which is beta* once n
is a small multiple of k log d; the others stay far from it.
References: HaoChen, Wei, Lee, Ma (2021), *Shape Matters*; Damian, Ma, Lee (2021), Section 1. Seeds below 1000 chose the
setting, the statements and how many draws decide them; none of them is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from flatmin.theory.errors import NotApplicable
from flatmin.theory.indexed_geometry import IndexedGeometry

from . import sparse_figures, sparse_statements
from .findings import Findings
from .sparse_problem import Problem, Training, compile_kernels
from .statements import decide
from .store import Laboratory, Setting

__all__ = ["Design", "run", "train"]


@dataclass(frozen=True)
class Design:
    """What is run; the defaults are the experiment.

    Attributes
    ----------
    d, n : int
        Parameters in a vector, samples.
    sparsities : tuple of int
        k of the comparison.
    signs : tuple of bool
        Squares of one vector, or differences of squares and a truth with signs.
    rate : float
        eta d: at the start eta |grad f_i|^2 is 4 times as large on average, and must stay below 2.
    sigma : float
        Label noise; 0 turns it off.
    steps : int
        Noisy steps: over eta^2 sigma^2 steps = 6 units of slow time.
    kicks : tuple of float
        Sizes of isotropic noise, of which the best for it counts.
    hard : tuple of int, or None
        (n, k): so few samples that the beta of least R, that of least l1 norm and the truth are apart.
    longer : int
        How many times more steps these take.
    sizes, counts, multiples : tuple
        The map: d, k, and n over k log d.
    first_seed : int
        Of the draws.
    """

    d: int = 100
    n: int = 40
    sparsities: tuple[int, ...] = (3, 5)
    signs: tuple[bool, ...] = (False, True)
    rate: float = 0.3
    sigma: float = 1.5
    steps: int = 300_000
    kicks: tuple[float, ...] = (1e-4, 5e-4, 2e-3)
    hard: tuple[int, int] | None = (20, 8)
    longer: int = 10
    sizes: tuple[int, ...] = (50, 100, 200)
    counts: tuple[int, ...] = (1, 2, 4, 8)
    multiples: tuple[float, ...] = (0.55, 0.75, 1.0, 1.35, 1.8, 2.4)
    first_seed: int = 1000

    def training(self, d: int) -> Training:
        """SGD with label noise for d parameters: the same slow time in no more steps for larger d."""
        lr, ratio = self.rate / d, d / self.d
        steps = self.steps if ratio >= 1 else round(self.steps * ratio**2)
        return Training(lr=lr, steps=steps, sigma=self.sigma * max(1.0, ratio))

    def settings(self, seeds: int) -> Iterator[dict[str, Any]]:
        """Every run."""
        noisy = self.training(self.d)
        silent = {**asdict(noisy), "sigma": 0.0}
        algorithms = {
            "label noise": asdict(noisy),
            "SGD": silent,
            # At rest long before; full batches are slow.
            "gradient descent": {**silent, "batch_size": "full", "steps": max(1, self.steps // 10)},
            **{f"isotropic noise {kick:g}": {**silent, "kick": kick} for kick in self.kicks},
        }
        for seed in range(self.first_seed, self.first_seed + seeds):
            for k in self.sparsities:
                for signed in self.signs:
                    problem = {"d": self.d, "n": self.n, "k": k, "signed": signed, "seed": seed}
                    for name, training in algorithms.items():
                        yield {"part": "recovery", "algorithm": name, **problem, **training}
            if self.hard:
                n, k = self.hard
                problem = {"d": self.d, "n": n, "k": k, "signed": False, "seed": seed}
                longer = {**algorithms["label noise"], "steps": self.longer * self.steps}
                yield {"part": "minimizer", "algorithm": "label noise", **problem, **longer}
            for d in self.sizes:
                for k in self.counts:
                    for n in samples(d, k, self.multiples):
                        problem = {"d": d, "n": n, "k": k, "signed": False, "seed": seed}
                        yield {"part": "map", "algorithm": "label noise", **problem, **asdict(self.training(d))}


def samples(d: int, k: int, multiples: tuple[float, ...]) -> list[int]:
    """Numbers of samples near these multiples of k log d."""
    near = (max(2, round(m * k * np.log(d))) for m in multiples)
    return sorted({n for n in near if n <= d})


def run(laboratory: Laboratory, seeds: int, design: Design | None = None) -> Findings:
    """All runs, their tables and figures, and the verdicts."""
    settings = list((design or Design()).settings(seeds))
    laboratory.progress.phase("compiling", 0)
    compile_kernels((s["d"], s["signed"]) for s in settings)
    results = laboratory.finish(train, settings, cost=_cost, name=_name)
    runs = [{**setting, **result} for setting, result in zip(settings, results, strict=True)]
    return Findings(
        decisions=decide(sparse_statements.statements(runs)),
        tables=sparse_statements.tables(runs),
        figures=lambda: sparse_figures.figures(runs),
        runs=runs,
        limits=sparse_statements.LIMITS,
    )


def train(setting: Setting, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """One run: where it ends, and how R and the error fall on the way."""
    problem = Problem.draw(*(setting[name] for name in ("d", "n", "k", "seed", "signed")))
    training = Training(**{name: setting[name] for name in Training.__dataclass_fields__})
    records = 30 if setting["part"] != "map" and setting["sigma"] else 1
    steps, points = training.path(problem, setting["seed"], records, should_stop)
    result: dict[str, Any] = {"error": problem.error(problem.coefficients(points[-1]))}
    least = problem.minimizer(weighted=True)
    result["least_r_error"] = problem.error(least)
    if setting["part"] == "map":
        return result
    beta, sparsest = problem.coefficients(points[-1]), problem.minimizer(weighted=False)
    result["loss"] = float(problem.model.loss(points[-1]))
    result["to_least_r"] = float(np.linalg.norm(beta - least))
    result["to_least_l1"] = float(np.linalg.norm(beta - sparsest))
    result["apart"] = float(np.linalg.norm(least - sparsest))
    result["times"] = [float(t) for t in steps * (training.lr * setting["sigma"]) ** 2]
    result["errors"] = [problem.error(problem.coefficients(theta)) for theta in points]
    result["l1"] = [float(np.abs(problem.coefficients(theta)).sum()) for theta in points]
    result["l2"] = [float(np.sum(problem.coefficients(theta) ** 2)) for theta in points]
    result["r"] = [_regularizer(problem, theta, training.lr) for theta in points]
    return result


def _regularizer(problem: Problem, theta: np.ndarray, lr: float) -> float | None:
    """None where it is not defined: beyond the limit of the learning rate, or diverged."""
    if not np.isfinite(theta).all():
        return None
    try:
        return IndexedGeometry(problem.model, theta).regularizer(lr)
    except NotApplicable:
        return None


def _cost(setting: Setting) -> float:
    """About how many seconds it takes."""
    one, whole = 1e-7 + 1e-9 * setting["d"], 2e-10 * setting["n"] * setting["d"]
    step = whole if setting["batch_size"] == "full" else 2 * one if setting["kick"] else one
    recorded = 0.1 if setting["part"] != "map" and setting["sigma"] else 0.0
    return 0.03 + recorded + setting["steps"] * step + setting["descent"] * whole


def _name(setting: Setting) -> str:
    return f"{setting['algorithm']}, d = {setting['d']}, n = {setting['n']}, k = {setting['k']}"
