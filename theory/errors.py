"""The exceptions of flatmin, all with the same form of message: ``name=value``, the rule, what to do."""

from __future__ import annotations

__all__ = ["InvalidInput", "NoInterpolation", "NotApplicable", "TooLarge", "short"]

_MAX_MESSAGE = 400


def short(text: str, limit: int = _MAX_MESSAGE) -> str:
    """Return text with its middle left out when it is long."""
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


class InvalidInput(ValueError):
    """A value that the study or the call may not hold.

    Parameters
    ----------
    field : str
        Where the value stands, as the user wrote it, for example ``algorithm.lr``.
    problem : str
        ``=value`` or `` is missing``, the rule that it breaks, and what to do.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}{problem}" if problem.startswith(("=", " ")) else f"{field}: {problem}")


class TooLarge(InvalidInput):
    """A well-formed model whose symbolic derivation would take too long."""


class NotApplicable(Exception):
    """An assumption of the theory fails; ``assumption`` names it.

    Raised inside ``theory`` and turned into the verdict ``not-applicable`` at the edge.
    """

    def __init__(self, assumption: str, reason: str) -> None:
        self.assumption = assumption
        self.reason = reason
        super().__init__(f"{assumption}: {reason}")


class NoInterpolation(NotApplicable):
    """No zero-loss point was found from the start."""

    def __init__(self, reason: str) -> None:
        super().__init__("interpolation", reason)
