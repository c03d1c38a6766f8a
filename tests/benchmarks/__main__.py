"""Speed of flatmin's engine beside that of C, JAX, PyTorch, Numba and NumPy on the same works.

In a clone, with flatmin installed there (`python -m pip install -e ".[bench]"`):

    python -m tests.benchmarks --rounds 25 --seconds 0.1 --markdown tables.md --json raw.json

Each engine runs in a process of its own, on the same processors, one at a time. First it is checked that all of them
compute the same statistic (exit status 1 otherwise), then they are timed in rounds, in another order each round, so
that a ratio compares what was measured within seconds: rounds are short and many, because a processor that others
share may be half as fast for a while. PyTorch is used if it is installed, the C reference if there is
gcc and AVX2. Works and engines are in `works.py` and `engines/`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from .engines import ENGINES
from .report import as_json, as_markdown, as_text, machine, tables
from .rounds import Result, measure
from .works import WORKS, named


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--works", default="", help=f"comma-separated; all of {','.join(WORKS)} by default")
    parser.add_argument("--engines", default="", help=f"comma-separated; all of {','.join(ENGINES)} by default")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of timing; at least 7 for a median to quote")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of one engine's turn in a round")
    parser.add_argument("--cores", type=int, choices=(1, 2), default=1, help="processors that an engine may use")
    parser.add_argument("--reference", default="ours", help="engine whose speed is divided by the others'")
    parser.add_argument("--no-drift", action="store_true", help="leave out the times to a precision of the drift")
    parser.add_argument("--json", type=Path, help="write everything, raw")
    parser.add_argument("--markdown", type=Path, help="write the tables")
    # Doubles sigma in one engine: the comparison must fail.
    parser.add_argument("--break", dest="broken", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for field, known in (("works", WORKS), ("engines", ENGINES), ("reference", ENGINES), ("broken", ENGINES)):
        unknown = [name for name in getattr(options, field).split(",") if name and name not in known]
        if unknown:
            parser.error(f"--{field}={','.join(unknown)} is not one of {','.join(known)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _options(arguments)
    engines = options.engines.split(",") if options.engines else list(ENGINES)
    cores = sorted(os.sched_getaffinity(0))[-options.cores :]
    if len(cores) < options.cores:
        print(f"--cores={options.cores}: only {len(cores)} may be used here", file=sys.stderr)
        return 2
    results: list[Result] = []
    for work in named(options.works):
        result = measure(
            work,
            engines,
            cores,
            options.rounds,
            options.seconds,
            drift=not options.no_drift,
            broken=options.broken,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
        results.append(result)
    where = machine(cores)
    shown = {"rounds": options.rounds, "seconds": options.seconds}
    reference = options.reference if options.reference in engines else engines[0]
    made = tables(results, where, shown, reference)
    print("\n\n".join(as_text(*table) for table in made))
    for reason in sorted({reason for r in results for reason in r.missing.values()}):
        print(f"left out: {reason}")
    if options.markdown:
        options.markdown.write_text("\n".join(as_markdown(*table) for table in made), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(as_json(results, where, shown), indent=1) + "\n", encoding="utf-8")
    return _verdict(results)


def _verdict(results: list[Result]) -> int:
    """Say loudly which engines computed something else."""
    failed = [(r, name) for r in results if r.agreement for name in r.agreement.failed]
    for r, name in failed:
        z, where = r.agreement.worst[name], r.agreement.where[name]
        print(f"FAILED {r.work}: {name} is {z:.1f} standard errors from the others in {where}", file=sys.stderr)
    unchecked = [r.work for r in results if r.agreement is None]
    for name in unchecked:
        print(f"{name}: fewer than two engines, nothing was compared", file=sys.stderr)
    if not failed and len(unchecked) < len(results):
        print("all engines computed the same statistic", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
