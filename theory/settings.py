"""What each kind of claim takes beside its theory: the optional keys of a `[[claim]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SETTINGS", "SETTING_NAMES", "Setting", "statistic"]


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


# Kind to its settings, by name.
SETTINGS: dict[str, dict[str, Setting]] = {
    "fixed-point": {},
    "drift": {},
    "covariance": {},
    "trajectory": {},
}
SETTING_NAMES: tuple[str, ...] = tuple(sorted({name for settings in SETTINGS.values() for name in settings}))


def statistic(kind: str, settings: Mapping[str, Any]) -> str:
    """What is measured, in a line: claims that share it share their data."""
    return " ".join([kind, *(f"{name}={value!r}" for name, value in sorted(settings.items()))])
