"""What each kind of claim takes beside its theory: the optional keys of a `[[claim]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .checks import real_number
from .errors import InvalidInput

__all__ = ["NO_CONJECTURE", "SETTINGS", "SETTING_NAMES", "Setting", "statistic"]


@dataclass(frozen=True)
class Setting:
    """One of them.

    Attributes
    ----------
    check : callable
        From the name of the field and the value to the value as it is used; raises `InvalidInput` for a bad one.
    default : object
        None: it must be given.
    meaning : str
        In a sentence, for the schema of study files.
    """

    check: Callable[[str, Any], Any]
    default: Any = None
    meaning: str = ""


def _positive(field: str, value: Any) -> float:
    number = real_number(field, value)
    if number <= 0:
        raise InvalidInput(field, f"={number:g} must be positive")
    return number


def _not_negative(field: str, value: Any) -> float:
    number = real_number(field, value)
    if number < 0:
        raise InvalidInput(field, f"={number:g} must not be negative")
    return number


def _batch_size(field: str, value: Any) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and value >= 1) and value not in ("full", "same"):
        raise InvalidInput(field, f'={value!r} must be a whole number from 1 on, "full" or "same"')
    return int(value) if whole else str(value)


# Kind to its settings, by name.
SETTINGS: dict[str, dict[str, Setting]] = {
    "fixed-point": {},
    "drift": {},
    "covariance": {},
    "trajectory": {},
    "stays": {"time": Setting(_positive, 1.0), "distance": Setting(_not_negative, 1.0)},
    "escape": {},
    "scaling": {"lr": Setting(_positive), "batch_size": Setting(_batch_size, "same")},
}
# Kinds of which no R and no S of one's own says anything.
NO_CONJECTURE = frozenset({"stays"})
SETTING_NAMES: tuple[str, ...] = tuple(sorted({name for settings in SETTINGS.values() for name in settings}))


def statistic(kind: str, settings: Mapping[str, Any]) -> str:
    """What is measured, in a line: claims that share it share their data."""
    return " ".join([kind, *(f"{name}={value!r}" for name, value in sorted(settings.items()))])
