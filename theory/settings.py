"""What each kind of claim takes beside its theory: the optional keys of a `[[claim]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .checks import real_array, real_number
from .errors import InvalidInput

if TYPE_CHECKING:
    from .model import Model

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
    fits : callable
        From the name of the field, the value and the model; raises `InvalidInput` when they do not fit together.
    """

    check: Callable[[str, Any], Any]
    default: Any = None
    meaning: str = ""
    fits: Callable[[str, Any, Model], None] = lambda field, value, model: None


def _two_names(field: str, value: Any) -> tuple[str, str]:
    names = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(names) != 2 or not all(isinstance(name, str) for name in names) or names[0] == names[1]:
        raise InvalidInput(field, f"={value!r} must be two different names of parameters")
    return names


def _parameters(field: str, value: Sequence[str], model: Model) -> None:
    known = [p.name for p in model.parameters]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise InvalidInput(field, f"={list(value)} has unknown names {unknown}; the parameters are {known}")


def _two_numbers(field: str, value: Any) -> tuple[float, float]:
    numbers = real_array(field, value, 1)
    if len(numbers) != 2:
        raise InvalidInput(field, f"={value!r} must be two numbers")
    return float(numbers[0]), float(numbers[1])


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
    "circulation": {
        "plane": Setting(_two_names, None, "Two parameters: the angle is taken in their plane.", _parameters),
        "center": Setting(_two_numbers, (0.0, 0.0), "Where the angle is taken about, in that plane."),
        "time": Setting(_positive, 1.0, "Slow time over which turns are counted."),
    },
}
# Kinds of which no R and no S of one's own says anything.
NO_CONJECTURE = frozenset({"stays"})
SETTING_NAMES: tuple[str, ...] = tuple(sorted({name for settings in SETTINGS.values() for name in settings}))


def statistic(kind: str, settings: Mapping[str, Any]) -> str:
    """What is measured, in a line: claims that share it share their data."""
    return " ".join([kind, *(f"{name}={value!r}" for name, value in sorted(settings.items()))])
