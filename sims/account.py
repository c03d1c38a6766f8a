"""`flatmin verify --verbose`: how a verdict came about, in lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .results import Verdict

__all__ = ["account"]


def account(verdict: Verdict) -> Iterator[str]:
    """Hypotheses with their values, what was simulated and why it sufficed, and each rival's verdict, line by line."""
    for assumption in verdict.assumptions:
        value = "" if assumption.value is None else f" ({assumption.value:.4g})"
        yield f"hypothesis {assumption.name}{value}: {'holds' if assumption.holds else 'fails'}; {assumption.rule}"
    detail = verdict.details() or {}
    for rung in detail.get("rungs", ()):
        yield f"lambda = {rung['strength']:.3g}: {_runs(rung)}{_error(rung)}"
    if detail.get("law") == "power":
        yield f"a power law whose first correction is of relative order lambda^{detail['correction_power']:g}"
    elif detail.get("law") == "fraction":
        yield "a fraction of the runs, which goes to 0 or 1 as lambda -> 0: nothing is extrapolated"
    elif detail.get("rungs"):
        yield f"limit lambda -> 0 by a polynomial of degree {detail['degree']}{_error(detail['limit'])}"
    if detail:
        truncation, probability = detail.get("truncation"), detail.get("fit_probability")
        if truncation is not None:
            yield f"the term left out counts {100 * truncation:.2g} %"
        if probability is not None and detail.get("law") != "fraction":
            yield f"residuals as large as these have probability {probability:.2g}"
    for rival in verdict.rivals:
        told = "predicts the same within the margin" if not rival.distinguishable else "differs by more than the margin"
        yield f"rival {rival.theory}: {rival.verdict}; {rival.reason or told}"
    yield f"{verdict.replica_steps:.3g} replica-steps, {verdict.seconds:.2g} s"


def _runs(rung: dict[str, Any]) -> str:
    steps = f" of {rung['steps']:g} steps" if rung.get("steps") else ""
    return f"{rung['replicas']} replicas{steps}"


def _error(entry: dict[str, Any]) -> str:
    if entry.get("error") is None:
        return ""
    return f", error {100 * entry['error']:+.3g} % +- {100 * (entry['error_standard_error'] or 0.0):.1g} %"
