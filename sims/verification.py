"""`verify`: from claims to verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from flatmin.theory import Algorithm, Claim, InvalidInput, Model, RunOptions
from numpy.typing import NDArray

from .progress import Progress, Silent
from .results import Verdict
from .study_verdicts import StudyVerdicts

__all__ = ["verify", "verify_each"]

Array = NDArray[np.float64]


def verify(
    model: Model,
    algorithm: Algorithm,
    *,
    start: Any,
    claims: Sequence[Claim],
    margin: float = 0.02,
    confidence: float = 0.999,
    budget: float = 60.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Verdict, ...]:
    """Decide `claims` about label noise SGD on `model`.

    Parameters
    ----------
    model : Model
    algorithm : Algorithm
    start : mapping or sequence of float
        A point; it is moved to the nearest zero-loss point first.
    claims : sequence of Claim
    margin : float
        Equivalence margin, relative.
    confidence : float
        Of each verdict, after correction for how many the study holds (rivals included).
    budget : float
        Seconds of wall time a claim may use.
    seed : int
        Of all random numbers.
    threads : int, optional
        All cores by default; the result does not depend on it.
    progress : Progress, optional
        Told what is running.

    Returns
    -------
    tuple of Verdict
        One per claim, in their order.

    Raises
    ------
    InvalidInput
        When a value breaks a rule; nothing has run then.
    """
    options = RunOptions(margin=margin, confidence=confidence, budget=budget, seed=seed)
    point = model.point(start)
    return tuple(verify_each(model, algorithm, point, claims, options, threads=threads, progress=progress))


def verify_each(
    model: Model,
    algorithm: Algorithm,
    start: Array,
    claims: Sequence[Claim],
    options: RunOptions,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    studies: int = 1,
) -> Iterator[Verdict]:
    """Yield the verdicts one by one, so that finished ones survive an interruption; see `verify`.

    `studies` is the number of studies that are decided together: the levels are corrected for all of them.
    """
    if not claims:
        raise InvalidInput("claims", "=[] is empty; give at least one claim")
    algorithm.check(model)
    for claim in claims:
        claim.check(model)
    deciding = StudyVerdicts(model, algorithm, start, tuple(claims), options, threads, progress or Silent(), studies)
    return deciding.verdicts()
