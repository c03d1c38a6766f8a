"""One engine on one work in a process of its own: `python -m tests.benchmarks.worker ENGINE WORK CORES SIGMA`.

CORES is a list of processors to stay on, SIGMA a factor of the work's sigma. It first says how long import, build and
first call took; then it answers each line on standard input with a line of JSON:

- `speed SECONDS SEED`: replica-steps and seconds;
- `moments SEED`: the sums over the work's window, by group;
- `drift SECONDS SEED FACTOR`: the drift measured at FACTOR times sigma, without statistics.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any, TextIO

CALL_SECONDS = 0.1  # a call while the speed is measured: so long that no engine pays for being called
MAX_STEPS = 2**19

# Processors are chosen before a library counts them.
if __name__ == "__main__":
    chosen = [int(core) for core in sys.argv[3].split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(len(chosen))
    os.environ["JAX_PLATFORMS"] = "cpu"  # a graphics processor would be another machine

import numpy as np  # noqa: E402

from .engines import load  # noqa: E402
from .protocol import Unavailable  # noqa: E402
from .works import WORKS, Work  # noqa: E402


class Worker:
    """The engine, built, and the answers to the commands."""

    def __init__(self, name: str, work: Work, cores: int) -> None:
        self.name, self.work, self.cores = name, work, cores
        times = [time.perf_counter()]
        self.make = load(name)
        times.append(time.perf_counter())
        self.engine = self.make(work, cores)
        times.append(time.perf_counter())
        self.engine.start(0)
        self.engine.run(work.stride)
        times.append(time.perf_counter())
        self.ready = dict(zip(("import_s", "compile_s", "first_call_s"), np.diff(times).tolist()))
        self.steps = 0

    def speed(self, seconds: str, seed: str) -> dict[str, Any]:
        self.engine.start(int(seed))
        if not self.steps:
            self._choose_steps()
        self.engine.run(self.steps)
        began, calls, elapsed = time.perf_counter(), 0, 0.0
        while elapsed < float(seconds):
            self.engine.run(self.steps)
            calls += 1
            elapsed = time.perf_counter() - began
        finite = bool(np.isfinite(self.engine.theta()).all())
        return {"replica_steps": calls * self.steps * self.work.replicas, "seconds": elapsed, "finite": finite}

    def _choose_steps(self) -> None:
        """So many that a call takes about `CALL_SECONDS`, by calls that are not the first of their length."""
        self.steps = self.work.stride
        while True:
            self.engine.run(self.steps)
            began = time.perf_counter()
            self.engine.run(self.steps)
            more = CALL_SECONDS / (time.perf_counter() - began)
            if more < 2 or self.steps == MAX_STEPS:
                return
            self.steps = min(MAX_STEPS, self.steps * 2 ** int(np.log2(more)))

    def moments(self, seed: str) -> dict[str, Any]:
        self.engine.start(int(seed))
        runs = [self.engine.run(self.work.stride) for _ in range(self.work.window // self.work.stride)]
        return {name: sum(run[k] for run in runs).tolist() for k, name in enumerate(("first", "second"))}

    def drift(self, seconds: str, seed: str, factor: str) -> dict[str, Any]:
        from .drift import plain

        work = self.work.changed(sigma=float(factor) * self.work.sigma, statistics=False)
        better = getattr(sys.modules[self.make.__module__], "measure_drift", None)
        measured = better(work, float(seconds), int(seed)) if better else None
        if measured is None:
            measured = plain(self.make(work, self.cores), work, float(seconds), int(seed))
        return asdict(measured)


def _serve(out: TextIO) -> None:
    name, work, cores, sigma = sys.argv[1:]
    changed = WORKS[work].changed(sigma=float(sigma) * WORKS[work].sigma)

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=out, flush=True)

    try:
        worker = Worker(name, changed, len(cores.split(",")))
    except Unavailable as error:
        answer({"unavailable": str(error)})
        return
    answer(worker.ready)
    for line in sys.stdin:
        command, *arguments = line.split()
        answer(getattr(worker, command)(*arguments))


if __name__ == "__main__":
    # What libraries print goes to standard error, past the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _serve(answers)
