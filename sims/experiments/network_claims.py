"""What the runs of a network say of the theory: statements about means over seeds, with rivals, and limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from .statements import Statement

__all__ = ["NetworkRun", "limits", "statements", "steps_to_the_same_trace"]

NetworkRun = dict[str, Any]

# Two points are twice the binomial error of an accuracy on 1500 test samples.
_GAIN = 0.02
# The rivals differ by factors of 2 and more.
_SAME = 0.15
_FAST, _SLOW, _SLOWEST = "flips, lr 0.1", "flips, lr 0.05", "flips, lr 0.025"
_MOMENTUM, _CONTROL = "momentum 0.9, lr 0.01", "no flips, lr 0.1"
_DESCENT = "descent on L + lambda R"
_QUIET = (_CONTROL, _DESCENT)
# Slower and faster, and how many times larger the learning rate is.
_PAIRS = ((_SLOW, _FAST, 2.0), (_SLOWEST, _FAST, 4.0), (_SLOWEST, _SLOW, 2.0))


def statements(runs: Sequence[NetworkRun]) -> list[Statement]:
    """All statements about a set of runs, each with one value for every seed."""
    found: list[Statement] = []
    for start in dict.fromkeys(r["start"] for r in runs):
        found += _escape(_chosen(runs, start=start, algorithm=_FAST), start)
        found += _control(_chosen(runs, start=start, algorithm=_CONTROL), start)
    return [*found, *_collapse(runs), _momentum(runs), _descent(runs), *_ranks(runs)]


def limits(runs: Sequence[NetworkRun]) -> list[str]:
    """What the runs do not show, with numbers of these runs."""
    noisy = [r for r in runs if r["algorithm"] not in _QUIET]
    pairs = [(a, b) for r in noisy for a, b in zip(r["records"], r["records"][1:]) if _known(a, "R") and _known(b, "R")]
    fell = [(a, b) for a, b in pairs if b["trace"] < a["trace"]]
    worse = [a["accuracy"] - b["accuracy"] for a, b in fell if b["accuracy"] < a["accuracy"]]
    order = float(np.nanmean([_rank(r["records"], "trace", "R") for r in noisy]))
    missing = sum(not _known(record, "R") for r in runs for record in r["records"])
    told = [
        f"tr H and R order the points of a run alike (mean rank correlation {order:.3f}): these runs do not tell which "
        "of the two goes with accuracy, nor that either causes it",
        f"a falling tr H does not always raise accuracy: in {len(worse)} of the {len(fell)} intervals between records "
        f"in which tr H fell accuracy fell too, by up to {100 * max(worse, default=0.0):.1f} points",
        "only lr and momentum vary, the batch is 64; the control stays only with enough batch, at small ones it is "
        "unstable",
        "everything is measured at theta_k itself, which noise holds off the zero-loss set",
        "intervals are Student's, over few seeds: they hold for values that are about normal",
    ]
    if missing:
        told.append(f"R does not exist at {missing} recorded points, where lr h_max >= 2(1+beta); none is shown there")
    return told


def steps_to_the_same_trace(run: NetworkRun, other: NetworkRun) -> float:
    """How many times the steps of `other` a run takes to the same tr H: geometric mean over its records.

    NaN when they share no tr H, or one of them diverged.
    """
    steps, traces = _curve(other)
    if run["reason"] or other["reason"] or not len(steps):
        return math.nan
    ratios = []
    for record in run["records"][1:]:
        if _known(record, "trace") and traces[-1] <= record["trace"] < traces[0]:
            # Traces fall: from the last to the first.
            there = np.interp(math.log(record["trace"]), np.log(traces[::-1]), np.log(steps[::-1]))
            ratios.append(math.log(record["step"]) - float(there))
    return math.exp(float(np.mean(ratios))) if ratios else math.nan


def _curve(run: NetworkRun) -> tuple[Any, Any]:
    """Steps and tr H from the first record on, tr H made to fall."""
    known = [r for r in run["records"][1:] if _known(r, "trace")]
    steps, traces = [r["step"] for r in known], [r["trace"] for r in known]
    return np.array(steps, dtype=float), np.minimum.accumulate(traces) * (1 - 1e-12 * np.arange(len(traces)))


def _escape(runs: Sequence[NetworkRun], start: str) -> list[Statement]:
    gain = [_last(r, "accuracy") - r["records"][0]["accuracy"] for r in runs]
    fall = [_last(r, "trace") / r["records"][0]["trace"] for r in runs]
    text = f"flips at lr 0.1 raise test accuracy by more than {100 * _GAIN:g} points"
    return [
        Statement(f"{start}: accuracy rises", text, _clear(gain), low=_GAIN),
        Statement(f"{start}: tr H falls", "flips at lr 0.1 at least halve tr H", _clear(fall), high=0.5),
    ]


def _control(runs: Sequence[NetworkRun], start: str) -> list[Statement]:
    gain = [_last(r, "accuracy") - r["records"][0]["accuracy"] for r in runs]
    fall = [_last(r, "trace") / r["records"][0]["trace"] for r in runs]
    moved = Statement("it falls", "tr H halves without flips too", _clear(fall), high=0.5)
    text = f"without flips accuracy stays within {100 * _GAIN:g} points"
    return [
        Statement(f"{start}: control's accuracy stays", text, _clear(gain), -_GAIN, _GAIN),
        Statement(
            f"{start}: control's tr H stays",
            "without flips tr H stays within 5 %",
            _clear(fall),
            0.95,
            1.05,
            rivals=(moved,),
        ),
    ]


def _collapse(runs: Sequence[NetworkRun]) -> list[Statement]:
    """The exponent a in k ~ lr^-a steps to the same tr H."""
    found = []
    for slower, faster, times in _PAIRS:
        values = []
        for seed in _seeds(runs):
            fast, slow = (_chosen(runs, seed=seed, algorithm=algorithm) for algorithm in (faster, slower))
            ratios = [steps_to_the_same_trace(s, f) for s, f in zip(slow, fast, strict=True)]
            values.append(float(np.mean(np.log(ratios))) / math.log(times))
        rivals = tuple(
            Statement(f"k ~ lr^-{a}", f"exponent {a} within 0.25", _clear(values), a - 0.25, a + 0.25) for a in (1, 3)
        )
        name = f"collapse in eta^2 k/B, {slower} beside {faster.removeprefix('flips, ')}"
        text = "steps to the same tr H go as lr^-a with a = 2 within 0.25"
        found.append(Statement(name, text, _clear(values), 1.75, 2.25, rivals=rivals))
    return found


def _momentum(runs: Sequence[NetworkRun]) -> Statement:
    def compared(seed: int) -> float:
        (ours,) = _chosen(runs, seed=seed, algorithm=_MOMENTUM)
        (plain,) = _chosen(runs, seed=seed, algorithm=_FAST, start=ours["start"])
        return steps_to_the_same_trace(ours, plain)

    values = _each_seed(runs, compared)
    text = "momentum 0.9 at lr 0.01 takes the steps of lr 0.1 to the same tr H, within a factor 1.25"
    rival = Statement("slow time eta^2 k/(B (1-beta))", "ten times the steps", values, 8.0, 12.5)
    return Statement("momentum: lr counts as lr/(1-beta)", text, values, 0.8, 1.25, rivals=(rival,))


def _descent(runs: Sequence[NetworkRun]) -> Statement:
    def compared(share: float) -> Callable[[int], float]:
        def ratio(seed: int) -> float:
            (ours,) = _chosen(runs, seed=seed, algorithm=_DESCENT)
            (noisy,) = _chosen(runs, seed=seed, algorithm=_FAST, start=ours["start"])
            if ours["reason"] or noisy["reason"]:
                return math.nan
            end = ours["records"][-1]["slow_time"]
            return _at(ours, share * end) / _at(noisy, end)

        return ratio

    text = f"descent on L + lambda R ends at the tr H of flips at lr 0.1 after as many steps, within {100 * _SAME:g} %"
    low, high = 1 / (1 + _SAME), 1 + _SAME
    rival = Statement("lambda x 1/2", "the same with half of lambda", _each_seed(runs, compared(0.5)), low, high)
    return Statement("descent on L + lambda R", text, _each_seed(runs, compared(1.0)), low, high, rivals=(rival,))


def _ranks(runs: Sequence[NetworkRun]) -> list[Statement]:
    found = []
    for key, name in (("trace", "tr H"), ("R", "R")):

        def mean(seed: int, key: str = key) -> float:
            ours = [r for r in _chosen(runs, seed=seed) if r["algorithm"] not in _QUIET]
            if any(r["reason"] for r in ours):
                return math.nan
            return float(np.mean([_rank(r["records"], "accuracy", key) for r in ours]))

        text = f"along a run accuracy and {name} have a rank correlation below -0.7, in the mean of the noisy runs"
        found.append(Statement(f"accuracy against {name}", text, _each_seed(runs, mean), high=-0.7))
    return found


def _rank(records: Sequence[dict[str, Any]], one: str, other: str) -> float:
    both = [(r[one], r[other]) for r in records if _known(r, one) and _known(r, other)]
    if len(both) < 3 or min(len(set(column)) for column in zip(*both, strict=True)) < 2:
        return math.nan
    return float(spearmanr(*zip(*both, strict=True)).statistic)


def _at(run: NetworkRun, slow_time: float) -> float:
    """Tr H at the record nearest to a slow time."""
    record = min(run["records"], key=lambda r: abs(r["slow_time"] - slow_time))
    return float(record["trace"]) if _known(record, "trace") else math.nan


def _chosen(runs: Sequence[NetworkRun], **wanted: Any) -> list[NetworkRun]:
    return [r for r in runs if all(r[key] == value for key, value in wanted.items())]


def _seeds(runs: Sequence[NetworkRun]) -> list[int]:
    return list(dict.fromkeys(r["seed"] for r in runs))


def _each_seed(runs: Sequence[NetworkRun], value: Callable[[int], float]) -> list[float]:
    return _clear([value(seed) for seed in _seeds(runs)])


def _known(record: dict[str, Any], key: str) -> bool:
    return record[key] is not None


def _last(run: NetworkRun, key: str) -> float:
    value = run["records"][-1][key]
    return math.nan if value is None or run["reason"] else float(value)


def _clear(values: Sequence[float]) -> list[float]:
    """A number that is missing decides nothing: infinite values give no interval of a mean."""
    return [v if math.isfinite(v) else math.inf for v in values]
