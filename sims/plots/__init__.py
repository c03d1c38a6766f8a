"""Figures of one claim, drawn from its entry in a result: one style, and the numbers behind each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..document import ClaimEntry
from ..extras import require
from .plot import Plot

__all__ = ["Plot", "makers", "plots"]

Maker = Callable[[ClaimEntry], Plot | None]


def plots(claim: ClaimEntry, what: str = "a figure") -> Iterator[Plot]:
    """The figures that the data of a claim allow; none of a claim that was not measured.

    Parameters
    ----------
    claim : ClaimEntry
    what : str
        Who asks, for the error.

    Raises
    ------
    InvalidInput
        Without matplotlib, the extra `report`.
    """
    for make in makers(what):
        made = make(claim)
        if made is not None:
            yield made


def makers(what: str = "a figure") -> tuple[Maker, ...]:
    """Each makes one figure of a claim, or None where it has no data for it; raises as `plots` does."""
    require("report", what, "matplotlib")
    from .fractions import fractions
    from .ladder import ladder
    from .matrices import ellipse, entries
    from .paths import coordinates, plane
    from .powers import powers
    from .theories import theories
    from .values import values

    return (ladder, values, powers, fractions, plane, coordinates, ellipse, entries, theories)
