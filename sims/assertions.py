"""`assert_supported`: a study as an assertion, for the test suites of other projects."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from flatmin.theory.study import Study, read_study

if TYPE_CHECKING:
    from .results import Verdict

__all__ = ["assert_supported"]


def assert_supported(study: Study | str | PathLike[str], **overrides: Any) -> tuple[Verdict, ...]:
    """Decide the claims of a study, and fail where one of them is not supported.

    Parameters
    ----------
    study : Study or path-like
        A study, or a study file.
    **overrides
        `margin`, `confidence`, `budget`, `seed` in place of the study's, and `threads`; see `verify`.

    Returns
    -------
    tuple of Verdict
        All of them, supported.

    Raises
    ------
    AssertionError
        When a verdict is anything else; the message holds each such claim with its numbers and reason.
    InvalidInput
        When the study cannot be read or a value breaks a rule.
    """
    from .verification import verify

    one = study if isinstance(study, Study) else read_study(study)
    options = {name: getattr(one.run, name) for name in ("margin", "confidence", "budget", "seed")}
    verdicts = verify(one.model, one.algorithm, start=one.start, claims=one.claims, **{**options, **overrides})
    others = [f"{verdict.claim.title}: {verdict}" for verdict in verdicts if verdict.verdict != "supported"]
    if others:
        raise AssertionError(f"{one.name}: {len(others)} of {len(verdicts)} claims not supported\n" + "\n".join(others))
    return verdicts
