"""The measurements of one work: comparison of the engines, rounds of speed, times to a precision of the drift."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .agreement import Agreement, compare
from .bound import bound_of
from .drift import FACTOR, PLANS, TARGETS, Measured, order_lambda, predicted, seconds_to
from .engines import ENGINES
from .pool import Pool
from .works import Work

__all__ = ["DRIFT_ENGINES", "Result", "measure"]

DRIFT_ENGINES = ("ours", "c", "jax_expert", "jax_vmap", "numba_plain", "numpy_arrays")
DRIFT_SECONDS = 1.0
SEED = 1000  # of the comparison; each engine has its own


@dataclass
class Result:
    """What was measured for one work; the fields are those of the JSON file."""

    work: str
    title: str
    ready: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    agreement: Agreement | None = None
    speeds: dict[str, list[float]] = field(default_factory=dict)  # replica-steps per second, round by round
    bounds: list[float] = field(default_factory=list)  # the most that multiplications allow, round by round
    drift: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Median replica-steps per second."""
        return float(np.median(self.speeds[name]))

    def spread(self, name: str) -> float:
        """Interquartile range over the median."""
        low, high = np.percentile(self.speeds[name], [25, 75])
        return float((high - low) / self.median(name))

    def ratio(self, name: str, other: str) -> float:
        """Median of the ratios of two engines in the same round."""
        return float(np.median(np.array(self.speeds[name]) / np.array(self.speeds[other])))

    def part(self, name: str) -> float:
        """Median of the parts of the bound in the same round."""
        return float(np.median(np.array(self.speeds[name]) / np.array(self.bounds)))


def measure(
    work: Work,
    engines: list[str],
    cores: list[int],
    rounds: int,
    seconds: float,
    drift: bool,
    broken: str,
    say: Callable[[str], None],
) -> Result:
    """Measure everything about one work."""
    result = Result(work.name, work.title)
    order = random.Random(0)
    with Pool(work, engines, cores, broken) as pool:
        sums = {}
        for name in pool.names:
            answer = pool.ask(name, "moments", SEED + list(ENGINES).index(name))
            if answer:
                sums[name] = (answer["first"], answer["second"])
        if len(sums) > 1:
            result.agreement = compare(work, sums)
        if rounds:
            for name in pool.names:
                pool.ask(name, "speed", seconds / 4, 0)  # not counted: it chooses the length of a call
        bound = bound_of(work.name, cores, seconds) if rounds else None
        for k in range(rounds):
            names = pool.names
            order.shuffle(names)
            say(f"{work.name}: round {k + 1} of {rounds}")
            if bound:
                result.bounds.append(bound())
            for name in names:
                answer = pool.ask(name, "speed", seconds, k)
                if answer:
                    result.speeds.setdefault(name, []).append(answer["replica_steps"] / answer["seconds"])
                    if not answer["finite"]:
                        say(f"{work.name}: {name} diverged")
        # An engine that died on the way has no ratio of the same round.
        result.speeds = {name: values for name, values in result.speeds.items() if len(values) == rounds}
        if drift and work.name in PLANS:
            say(f"{work.name}: drift")
            result.drift = _drift(work, pool)
        result.ready = {name: pool.ready[name] for name in engines if name in pool.ready}
        result.missing = pool.missing
    return result


def _drift(work: Work, pool: Pool) -> dict[str, Any]:
    """Drift as each engine's user measures it, and seconds to the targets."""
    leading = predicted(work)
    names = [name for name in DRIFT_ENGINES if name in pool.names]
    measured = {}
    for k, name in enumerate(names):
        answer = pool.ask(name, "drift", DRIFT_SECONDS, 100 * k, 1)
        if answer:
            measured[name] = Measured(**answer)
    out: dict[str, Any] = {"predicted": leading, "targets": list(TARGETS), "engines": {}}
    # The O(lambda) part by an engine that others are compared with, not by ours.
    judge = next((name for name in names if name != "ours" and name in measured), None)
    if judge is None:
        return out
    weak = pool.ask(judge, "drift", 5 * DRIFT_SECONDS, 10_000, 1)
    strong = pool.ask(judge, "drift", 5 * DRIFT_SECONDS, 20_000, FACTOR)
    if weak and strong:
        part, error = order_lambda(work, Measured(**weak), Measured(**strong))
        out |= {"order_lambda": part, "order_lambda_error": error, "order_lambda_by": judge}
    for name, value in measured.items():
        seconds = [seconds_to(value, target * abs(leading)) for target in TARGETS]
        of_part = seconds_to(value, TARGETS[-1] * abs(out["order_lambda"])) if "order_lambda" in out else None
        out["engines"][name] = {**asdict(value), "seconds_to": seconds, "seconds_to_order_lambda": of_part}
    return out
