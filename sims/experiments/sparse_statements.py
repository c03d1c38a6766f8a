"""What the runs of sparse recovery are asked, and the tables of their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .findings import NumberTable, short
from .statements import Statement

__all__ = ["LIMITS", "best_kick", "cases", "chosen", "errors", "recovered_fractions", "statements", "tables"]

Array = NDArray[np.float64]
Run = Mapping[str, Any]

# |beta - beta*| over |beta*| below which a truth counts as found.
FOUND = 0.1
# How close two norms are.
CLOSE = 0.25
# Samples over k log d; seen on other draws than those of the experiment.
ENOUGH = 2.4
# Samples are whole: of some nine, half of one more.
ROUNDED = 1.06
# How near a run is to a minimizer, in units of the distance of the two.
NEAR = 0.25

# What the least number of samples may be proportional to.
_SIZES: dict[str, Callable[[Array, Array], Array]] = {
    "k log(d/k)": lambda d, k: k * np.log(d / k),
    "k log d": lambda d, k: k * np.log(d),
    "k^2 log d": lambda d, k: k**2 * np.log(d),
}

LIMITS = (
    "All parameters start at 1. Gradient descent from a start near 0 finds a sparse truth too, for another reason.",
    "R is the l1 norm weighted by mean x_ij^2, a few tens of percent here: with few samples label noise ends at the"
    " least of R, and neither at the least l1 norm nor at the truth.",
    "R is near an l1 norm of u*u and v*v together: of beta only once one of u, v has vanished in every entry.",
    "One nonzero entry needs more than its share of k log(d/k): n is a handful then. Near the boundary of the map the"
    " runs are not at their ends: label noise finds the truth later than the beta of least R does.",
    "Isotropic noise is given the size that is best for it on the same runs, of those listed.",
)


def chosen(runs: Iterable[Run], **settings: Any) -> list[Run]:
    """The runs with these settings."""
    return [r for r in runs if all(r[key] == value for key, value in settings.items())]


def errors(runs: Iterable[Run], **settings: Any) -> Array:
    """|beta - beta*|/|beta*| of the runs with these settings, by seed; infinite where a run diverged."""
    return numbers(r["error"] for r in chosen(runs, **settings))


def numbers(values: Iterable[float | None]) -> Array:
    """Infinite for what was not finite."""
    return np.array([math.inf if v is None else v for v in values])


def cases(runs: Sequence[Run]) -> list[tuple[int, bool]]:
    """(k, signed) of the comparison, in their order."""
    return list(dict.fromkeys((r["k"], r["signed"]) for r in chosen(runs, part="recovery")))


def best_kick(runs: Sequence[Run], **settings: Any) -> str:
    """The isotropic noise with the least median error."""
    names = dict.fromkeys(r["algorithm"] for r in chosen(runs, **settings) if r["kick"])
    return min(names, key=lambda name: float(np.median(errors(runs, algorithm=name, **settings))))


def recovered_fractions(runs: Sequence[Run], key: str = "error") -> dict[tuple[int, int, int], float]:
    """Over (d, k, n) of the map, the fraction of draws in which the truth was found."""
    found: dict[tuple[int, int, int], list[bool]] = {}
    for r in chosen(runs, part="map"):
        found.setdefault((r["d"], r["k"], r["n"]), []).append(bool(numbers([r[key]])[0] < FOUND))
    return {cell: float(np.mean(values)) for cell, values in found.items()}


def statements(runs: Sequence[Run]) -> list[Statement]:
    """Everything that is decided."""
    found = [_recovery(runs, k, signed) for k, signed in cases(runs)]
    found += [_norm(runs), *_minimizer(runs)]
    return found + (_enough(runs) if chosen(runs, part="map") else [])


def _recovery(runs: Sequence[Run], k: int, signed: bool) -> Statement:
    case = {"part": "recovery", "k": k, "signed": signed}
    others = ["gradient descent", "SGD", best_kick(runs, **case)]
    rivals = [Statement(name, "finds it too", errors(runs, algorithm=name, **case), high=FOUND) for name in others]
    name = f"recovery, k = {k}{', signed' if signed else ''}"
    text = f"label noise finds the truth: |beta - beta*| below {FOUND:g} |beta*|"
    return Statement(name, text, errors(runs, algorithm="label noise", **case), high=FOUND, rivals=tuple(rivals))


def _norm(runs: Sequence[Run]) -> Statement:
    """R over the l1 norm where they are furthest apart on the way of label noise: at its ends all norms are alike."""
    k = max(k for k, _ in cases(runs))
    paths = chosen(runs, part="recovery", algorithm="label noise", signed=False, k=k)
    worst = {key: np.array([_furthest(p["r"], p[key]) for p in paths]) for key in ("l1", "l2")}
    high = math.log(1 + CLOSE)
    text = f"R is the l1 norm of beta to a factor of {1 + CLOSE:g} all along label noise SGD, k = {k}"
    rival = Statement("the squared l2 norm", "R is close to the squared l2 norm", worst["l2"], high=high)
    return Statement("R and the l1 norm", text, worst["l1"], high=high, rivals=(rival,))


def _furthest(r: Iterable[float | None], norm: Iterable[float | None]) -> float:
    """The largest |log(R/norm)| along a path; infinite where one of them was not finite."""
    ratios = [math.inf if a is None or b is None else abs(math.log(a / b)) for a, b in zip(r, norm)]
    return max(ratios)


def _minimizer(runs: Sequence[Run]) -> list[Statement]:
    """Only draws in which the minimizers differ count; that is a matter of the data alone."""
    ends = [r for r in chosen(runs, part="minimizer") if r["apart"] > FOUND]
    if not ends:
        return []
    apart = numbers(r["apart"] for r in ends)
    where = ", ".join(f"{key} = {ends[0][key]}" for key in ("d", "n", "k"))
    text = f"with too few samples ({where}) label noise ends at the beta of least R, to {NEAR:g} of its distance from"
    rivals = [
        Statement(name, "it ends there", numbers(values) / apart, high=NEAR)
        for name, values in (
            ("the least l1 norm", [r["to_least_l1"] for r in ends]),
            ("the truth", [_times(r["error"], math.sqrt(r["k"])) for r in ends]),
        )
    ]
    values = numbers(r["to_least_r"] for r in ends) / apart
    return [Statement("least R", f"{text} that of least l1 norm", values, high=NEAR, rivals=tuple(rivals))]


def smallest_samples(runs: Sequence[Run]) -> dict[int, dict[tuple[int, int], float]]:
    """For each seed, over (d, k), the least n of the map from which on the truth is found.

    A third more than the largest n when it is not found there.
    """
    cells: dict[int, dict[tuple[int, int], dict[int, bool]]] = {}
    for r in chosen(runs, part="map"):
        found = bool(numbers([r["error"]])[0] < FOUND)
        cells.setdefault(r["seed"], {}).setdefault((r["d"], r["k"]), {})[r["n"]] = found
    return {seed: {cell: _smallest(by_n) for cell, by_n in of.items()} for seed, of in cells.items()}


def _smallest(found: Mapping[int, bool]) -> float:
    least = max(found) * 4 / 3
    for n in sorted(found, reverse=True):
        if not found[n]:
            break
        least = n
    return least


def _enough(runs: Sequence[Run]) -> list[Statement]:
    """How the least number of samples of each draw grows over the map, and how many are enough everywhere."""
    least = smallest_samples(runs)
    cells = list(next(iter(least.values())))
    ratios = np.array([[of[cell] / (c * math.log(e)) for cell, (e, c) in zip(cells, cells)] for of in least.values()])
    enough = Statement(
        "samples",
        f"{ENOUGH:g} k log d samples are enough for all d and k of the map",
        ratios.max(axis=1),
        high=ENOUGH * ROUNDED,
        rivals=(Statement("k log d", "k log d are enough", ratios.max(axis=1), high=ROUNDED),),
    )
    known = _known(runs, least)
    away = {name: np.where(known, np.abs(_powers(least, size) - 1), np.nan) for name, size in _SIZES.items()}
    nearer = {name: away["k log d"] - away[name] for name in ("k log(d/k)", "k^2 log d")}
    rival = Statement("k^2 log d", "it grows more nearly as k^2 log d", nearer["k^2 log d"], low=0.0)
    text = "from k = 2 on the least number of samples grows more nearly as k log(d/k) than as k log d"
    return [enough, Statement("growth", text, nearer["k log(d/k)"], low=0.0, rivals=(rival,))]


def _known(runs: Sequence[Run], least: Mapping[int, Mapping[tuple[int, int], float]]) -> list[bool]:
    """For each draw, whether all its least n from k = 2 on lie inside of the map, neither at its first n nor beyond."""
    tried: dict[tuple[int, int], set[int]] = {}
    for r in chosen(runs, part="map"):
        tried.setdefault((r["d"], r["k"]), set()).add(r["n"])
    return [all(min(tried[c]) < n <= max(tried[c]) for c, n in of.items() if c[1] > 1) for of in least.values()]


def _powers(least: Mapping[int, Mapping[tuple[int, int], float]], size: Callable[[Array, Array], Array]) -> Array:
    """For each draw the slope of log n in the logarithm of a size, over d and k."""
    cells = [cell for cell in next(iter(least.values())) if cell[1] > 1]
    logarithm = np.log(size(*np.array(cells, dtype=np.float64).T))
    return np.array([np.polyfit(logarithm, np.log([of[cell] for cell in cells]), 1)[0] for of in least.values()])


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def tables(runs: Sequence[Run]) -> list[NumberTable]:
    """The comparison, and the map."""
    return [_comparison(runs)] + ([_map(runs)] if chosen(runs, part="map") else [])


def _comparison(runs: Sequence[Run]) -> NumberTable:
    rows = []
    for k, signed in cases(runs):
        case = {"part": "recovery", "k": k, "signed": signed}
        for name in ("label noise", "gradient descent", "SGD", best_kick(runs, **case)):
            of = chosen(runs, algorithm=name, **case)
            error, l1, r = errors(of), numbers(e["l1"][-1] for e in of), numbers(e["r"][-1] for e in of)
            shown = (np.median(error), error.min(), error.max(), np.median(l1), np.median(r))
            rows.append([f"k = {k}{', signed' if signed else ''}", name, *(short(float(v)) for v in shown)])
    columns = ["truth", "algorithm", "|beta - beta*|/|beta*|: median", "least", "largest", "l1 norm", "R"]
    return NumberTable("where the runs end", columns, rows)


def _map(runs: Sequence[Run]) -> NumberTable:
    fractions, least = recovered_fractions(runs), recovered_fractions(runs, "least_r_error")
    rows = []
    for d, k in dict.fromkeys((d, k) for d, k, _ in fractions):
        cells = [(n, v, least[d, k, n]) for (e, c, n), v in fractions.items() if (e, c) == (d, k)]
        shown = [f"{n}: {100 * v:.0f} ({100 * w:.0f})" for n, v, w in sorted(cells)]
        rows.append([str(d), str(k), f"{k * np.log(d):.1f}", ", ".join(shown)])
    columns = ["d", "k", "k log d", "samples: % of draws in which label noise (the beta of least R) is the truth"]
    return NumberTable("the map", columns, rows)
