"""Digits: label noise repairs bad minimizers of a network, the experiments of Section 4 on two cores.

Problem: 300 images, a network 64-128-10 with smooth ReLU, labels flipped to a random other class with probability 0.2;
two starts of zero loss that are poor: weights drawn large, and random labels learned first.
Algorithm: SGD with flips at three learning rates and with momentum; descent on L + lambda R; as control
the same SGD with the mean of the flipped labels, which has the same loss and no label noise.
Statements: tr H falls and accuracy rises; the control stays; for small eta all curves are one in slow time
eta^2 k/(B (1-beta)^2).
Reference: Damian, Ma, Lee (2021), Section 4. Seeds 0 and 1 chose widths, starts and margins; they are not used here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from flatmin.theory.errors import InvalidInput, NotApplicable
from flatmin.theory.network import NetworkProblem
from flatmin.theory.network_geometry import NetworkGeometry

from ..quadrature import stochastic_regularizer
from .findings import Findings
from .network import Training, adversarial_start, descend, full_batch_start, measure, one_blas_thread, train
from .network_claims import limits, statements
from .network_data import Samples, Split, digits, read_samples
from .network_figures import figures
from .network_kernel import compiled
from .network_tables import tables
from .statements import MEAN, decide
from .store import Laboratory, Setting

__all__ = ["ALGORITHMS", "DESCENT", "STARTS", "NetworkRuns", "run"]

HIDDEN, FLIP, TRAINING, STEPS, FIRST_SEED = 128, 0.2, 300, 80_000, 2000
# Rows of the Gram matrix, n(K-1): the digits' 2700 take a second.
_MOST_ROWS = 2700
ALGORITHMS = {
    "flips, lr 0.1": Training(0.1, 64),
    "flips, lr 0.05": Training(0.05, 64),
    "flips, lr 0.025": Training(0.025, 64),
    "momentum 0.9, lr 0.01": Training(0.01, 64, momentum=0.9),
    "no flips, lr 0.1": Training(0.1, 64, flips=False),
}
# Over the first quarter of the time of lr 0.1: grad R is a matrix inverse, dozens of times.
DESCENT, _PART = "descent on L + lambda R", 4
STARTS = {"full batch": full_batch_start, "adversarial": adversarial_start}
# Not from the second start.
_ONCE = ("momentum 0.9, lr 0.01", DESCENT)


def run(
    laboratory: Laboratory, seeds: int, *, data: Path | None = None, steps: int = STEPS, hidden: int = HIDDEN
) -> Findings:
    """All runs, their tables and figures, and the verdicts."""
    samples = digits() if data is None else read_samples(data)
    runs = NetworkRuns(samples)
    common = {"data": f"{samples.name} {samples.digest}", "hidden": hidden}
    starts = [{**common, "start": s, "seed": FIRST_SEED + i} for i in range(seeds) for s in STARTS]
    settings = [
        {**setting, "algorithm": name, "steps": steps}
        for setting in starts
        for name in (*ALGORITHMS, DESCENT)
        if not (name in _ONCE and setting["start"] == "adversarial")
    ]
    laboratory.progress.phase("compiling", 0)
    compiled()
    with one_blas_thread():
        found = laboratory.finish(runs.start, starts, name=lambda s: f"start: {s['start']}")
        runs.points = {_key(s): np.array(f.pop("theta")) for s, f in zip(starts, found, strict=True)}
        results = laboratory.finish(runs.train, settings, cost=_cost, name=lambda s: f"{s['algorithm']}, {s['start']}")
    done = [{**s, **r} for s, r in zip(settings, results, strict=True)]
    begun = [{**s, **f} for s, f in zip(starts, found, strict=True)]
    return Findings(
        decide(statements(done), 0.95, MEAN), tables(begun, done), lambda: figures(done), [*begun, *done], limits(done)
    )


class NetworkRuns:
    """The runs of a set of samples.

    Parameters
    ----------
    samples : Samples

    Attributes
    ----------
    points : dict
        theta of each start.

    Raises
    ------
    InvalidInput
        When there are too many classes.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples, classes = samples, samples.classes
        self.points: dict[Any, Any] = {}
        self.training = min(TRAINING, _MOST_ROWS // (classes - 1))
        if self.training < 2 * classes:
            rule = f" holds {classes} classes; Gram matrices of {_MOST_ROWS} rows have room for 37"
            raise InvalidInput("data y", rule)

    def problem(self, setting: Setting) -> tuple[NetworkProblem, Split]:
        """The training problem of a seed, and its split."""
        split = self.samples.split(setting["seed"], self.training)
        return NetworkProblem(split.x, split.y, setting["hidden"], FLIP, self.samples.classes), split

    def start(self, setting: Setting, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """A zero-loss point; R there exactly, and by stochastic Lanczos quadrature with its error."""
        problem, split = self.problem(setting)
        theta = STARTS[setting["start"]](problem, np.random.default_rng([setting["seed"], 2]))
        step = ALGORITHMS["flips, lr 0.1"].regularizer_step
        found = measure(problem, theta, split, step)
        if found["R"] is not None:
            lanczos = stochastic_regularizer(NetworkGeometry(problem, theta), step, probes=64, seed=setting["seed"])
            found |= {"R_lanczos": lanczos.value, "R_lanczos_error": lanczos.error}
        return {**found, "theta": theta.tolist()}

    def train(self, setting: Setting, should_stop: Callable[[], bool]) -> dict[str, Any]:
        """One run, recorded at slow times that are halved again and again from the end of the fastest run."""
        problem, split = self.problem(setting)
        fast, theta = ALGORITHMS["flips, lr 0.1"], self.points[_key(setting)]
        training, descent = ALGORITHMS.get(setting["algorithm"], fast), setting["algorithm"] == DESCENT
        longest, steps = setting["steps"] * fast.slow_step, setting["steps"] // (_PART if descent else 1)
        stops = [k for j in range(8, -1, -1) if 0 < (k := round(longest / 2**j / training.slow_step)) <= steps]
        if descent:
            strength = training.lr / training.batch
            path = descend(problem, theta, training.lr, stops, strength, should_stop=should_stop)
        else:
            rng = np.random.default_rng([setting["seed"], 3])
            path = train(problem, theta, training, stops, rng, should_stop)
        records, reason = [], ""
        try:
            for k, point in chain([(0, theta)], path):
                found = measure(problem, point, split, training.regularizer_step)
                records.append({"step": k, "slow_time": k * training.slow_step, **found})
        except NotApplicable as error:  # the run diverged, or R does not exist where descent needs it
            reason = str(error)
        return {"records": records, "reason": reason}


def _key(setting: Setting) -> tuple[Any, ...]:
    return setting["start"], setting["seed"]


def _cost(setting: Setting) -> float:
    # With forty gradients of R, which take a second each.
    return 5.0 if setting["algorithm"] == DESCENT else 1.0
