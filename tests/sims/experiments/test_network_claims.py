"""What is said of runs: synthetic runs for which every statement is true, and for each one some that refute it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flatmin.sims.experiments.network_claims import limits, statements, steps_to_the_same_trace
from flatmin.sims.experiments.network_figures import figures
from flatmin.sims.experiments.network_tables import tables
from flatmin.sims.experiments.statements import MEAN, decide

FAST, SLOW, SLOWEST = "flips, lr 0.1", "flips, lr 0.05", "flips, lr 0.025"
MOMENTUM, CONTROL = "momentum 0.9, lr 0.01", "no flips, lr 0.1"
DESCENT = "descent on L + lambda R"
# Slow time of a step, and how far it goes.
RATES = {FAST: 1.0, SLOW: 0.25, SLOWEST: 0.0625, MOMENTUM: 1.0, CONTROL: 1.0, DESCENT: 1.0}
# Tr H falls faster where R at finite eta says so: a = 2 + log(1.25)/log(4) = 2.16.
SPEEDS = {FAST: 1.25, SLOW: 1.12, DESCENT: 1.25, MOMENTUM: 1.15}
STEPS = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800]


def trace(slow_time):
    return 200 / (1 + slow_time / 500)


def one_run(algorithm, start, seed, speed=1.0, still=False, down=False):
    rng = np.random.default_rng([seed, len(algorithm), len(start)])
    records = []
    for k in STEPS[: -2 if algorithm == DESCENT else None]:
        slow = k * RATES[algorithm]
        value = trace(0 if still else slow * speed) * (1 + 0.005 * rng.normal() * (k > 0) * (not still))
        better = 0.15 * (1 - value / 200)
        accuracy = 0.7 + (-better if down else better)
        found = {"accuracy": accuracy, "loss": 0.0, "trace": value, "largest": value / 20, "R": value / 4}
        records.append({"step": k, "slow_time": slow, **found})
    return {"algorithm": algorithm, "start": start, "seed": seed, "records": records, "reason": ""}


def many(seeds=5, **changes):
    """All runs; `changes` names how an algorithm differs from the theory."""
    return [
        one_run(
            name, start, seed, **({"still": name == CONTROL, "speed": SPEEDS.get(name, 1.0)} | changes.get(name, {}))
        )
        for seed in range(seeds)
        for start in ("full batch", "adversarial")
        for name in RATES
        if start == "full batch" or name not in (MOMENTUM, DESCENT)
    ]


def verdicts(runs):
    return {d.statement.name: d for d in decide(statements(runs), 0.95, MEAN)}


def test_true_statements_are_supported_and_their_rivals_refuted():
    found = verdicts(many())
    assert len(found) == 15
    assert {d.verdict for d in found.values()} == {"supported"}
    assert {r.verdict for d in found.values() for r in d.rivals} == {"refuted"}


@pytest.mark.parametrize(
    ("algorithm", "change", "refuted"),
    [
        (FAST, {"still": True}, {"accuracy rises", "tr H falls"}),
        (FAST, {"down": True}, {"accuracy rises", "accuracy against"}),
        (CONTROL, {"still": False}, {"control's accuracy stays", "control's tr H stays"}),
        # As fast as if k ~ 1/lr: twice too fast at half of the rate.
        (SLOW, {"speed": 2.0}, {"lr 0.05 beside lr 0.1", "lr 0.025 beside lr 0.05"}),
        (SLOWEST, {"speed": 4.0}, {"lr 0.025 beside lr 0.1", "lr 0.025 beside lr 0.05"}),
        (SLOWEST, {"speed": 0.25}, {"lr 0.025 beside lr 0.1", "lr 0.025 beside lr 0.05"}),
        (MOMENTUM, {"speed": 0.1}, {"momentum"}),
        (DESCENT, {"speed": 0.5}, {"descent"}),
        (DESCENT, {"speed": 2.0}, {"descent"}),
    ],
)
def test_false_statements_are_refuted(algorithm, change, refuted):
    found = verdicts(many(**{algorithm: change}))
    for part in refuted:
        assert any(d.verdict == "refuted" for name, d in found.items() if part in name), (part, found)
    if algorithm not in (FAST,):  # the others do not depend on this run
        others = {d.verdict for name, d in found.items() if not any(part in name for part in refuted)}
        assert others == {"supported"}


def test_one_seed_decides_nothing():
    assert {d.verdict for d in verdicts(many(seeds=1)).values()} == {"inconclusive"}


def test_a_run_that_diverged_decides_nothing():
    runs = many()
    for run in runs:
        if run["algorithm"] in (CONTROL, DESCENT) and run["seed"] == 0:
            run |= {"records": run["records"][:1], "reason": "smoothness: an output is not finite"}
    found = verdicts(runs)
    for name, decision in found.items():
        expected = "inconclusive" if any(part in name for part in ("control", "descent")) else "supported"
        assert decision.verdict == expected, name


@pytest.mark.parametrize(
    ("algorithm", "undecided"),
    [
        (SLOW, {"lr 0.05 beside lr 0.1", "lr 0.025 beside lr 0.05", "accuracy against"}),
        (MOMENTUM, {"momentum", "accuracy against"}),
    ],
)
def test_a_run_that_diverged_late_gives_no_number(algorithm, undecided):
    runs = many()
    for run in runs:
        if run["algorithm"] == algorithm and run["seed"] == 0:
            run |= {"records": run["records"][:-2], "reason": "smoothness: an output is not finite"}
    for name, decision in verdicts(runs).items():
        expected = "inconclusive" if any(part in name for part in undecided) else "supported"
        assert decision.verdict == expected, name


def test_the_table_of_ends_leaves_out_a_run_that_diverged():
    runs = [run for run in many(2) if run["algorithm"] == FAST and run["start"] == "full batch"]
    starts = [{**run["records"][0], "start": "full batch", "R": None, "seed": run["seed"]} for run in runs]
    ((_, whole, *ends),) = tables(starts, runs)[0].rows[1:]
    assert (whole, "+-" in ends[2]) == (FAST, True)
    runs[1] |= {"records": runs[1]["records"][:3], "reason": "smoothness: an output is not finite"}
    ((_, cut, slow_time, _, trace, *_),) = tables(starts, runs)[0].rows[1:]
    end = runs[0]["records"][-1]
    assert (cut, slow_time, trace) == (f"{FAST} (1 without an end)", f"{end['slow_time']:.3g}", f"{end['trace']:.1f}")
    runs[0]["reason"] = runs[1]["reason"]
    assert tables(starts, runs)[0].rows[1][1:4] == [f"{FAST} (2 without an end)", "none", "none"]


def test_figures_of_runs_of_which_one_stopped_early():
    pytest.importorskip("matplotlib", reason="needs the extra `experiments`")
    runs = [run for run in many(2) if run["algorithm"] == FAST and run["start"] == "full batch"]
    runs[1]["records"] = runs[1]["records"][:4]
    axes = figures(runs)["along-training"].axes[0]
    one, two, mean = (line.get_ydata() for line in axes.lines[:3])
    np.testing.assert_allclose(mean, [*(one[:3] + two) / 2, *one[3:]])


def test_steps_to_the_same_trace():
    fast = one_run(FAST, "full batch", 0)
    assert steps_to_the_same_trace(fast, fast) == pytest.approx(1.0)
    half = one_run(FAST, "full batch", 0, speed=0.5)
    # Interpolation in logarithms between records a factor 2 apart: a few percent.
    assert steps_to_the_same_trace(half, fast) == pytest.approx(2.0, rel=0.05)
    assert math.isnan(steps_to_the_same_trace(one_run(FAST, "full batch", 0, still=True), fast))


def test_limits_say_what_the_runs_do_not_show():
    text = " ".join(limits(many()))
    assert "rank correlation 1.000" in text
    assert "does not exist" not in text
    runs = many()
    runs[0]["records"][0]["R"] = None
    runs[0]["records"][3]["accuracy"] = 0.0
    text = " ".join(limits(runs))
    assert "R does not exist at 1 recorded points" in text
    assert "does not always raise accuracy: in 1 of" in text
