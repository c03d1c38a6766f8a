"""What each kind of claim takes beside its theory: the optional keys of a `[[claim]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .checks import nearest, one_of, real_array, real_number
from .errors import InvalidInput

if TYPE_CHECKING:
    from .model import Model

__all__ = ["NO_CONJECTURE", "SETTINGS", "SETTING_NAMES", "WINDOWS", "Setting", "statistic"]


@dataclass(frozen=True)
class Setting:
    """One of them.

    Attributes
    ----------
    check : callable
        From the name of the field and the value to the value as it is used; raises `InvalidInput` for a bad one.
    default : object
        None without one.
    meaning : str
        In a sentence, for the schema of study files.
    fits : callable
        From the name of the field, the value and the model; raises `InvalidInput` when they do not fit together.
    needed : bool
        Whether it must be given where it has no default; otherwise it may be missing.
    """

    check: Callable[[str, Any], Any]
    default: Any = None
    meaning: str = ""
    fits: Callable[[str, Any, Model], None] = lambda field, value, model: None
    needed: bool = True

    @property
    def values(self) -> dict[str, Any]:
        """JSON Schema of what `check` takes: for editors, and never stricter."""
        return _VALUES[self.check]


def _two_names(field: str, value: Any) -> tuple[str, str]:
    names = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(names) != 2 or not all(isinstance(name, str) for name in names) or names[0] == names[1]:
        raise InvalidInput(field, f"={value!r} must be two different names of parameters")
    return names


def _parameters(field: str, value: Sequence[str], model: Model) -> None:
    known = [p.name for p in model.parameters]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise InvalidInput(
            field, f"={list(value)} has unknown names {unknown}; the parameters are {known}{nearest(unknown[0], known)}"
        )


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


def _batch_size(field: str, value: Any) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and value >= 1) and value not in ("full", "same"):
        hint = nearest(value, ("full", "same"))
        raise InvalidInput(field, f'={value!r} must be a whole number from 1 on, "full" or "same"{hint}')
    return int(value) if whole else str(value)


def _power(field: str, value: Any) -> float:
    number = real_number(field, value)
    if number == 0:
        raise InvalidInput(field, "=0 must not be zero: an error relative to it would mean nothing")
    if abs(number) > 10:
        raise InvalidInput(field, f"={number:g} must lie between -10 and 10: nothing scales like that")
    return number


def _yes_or_no(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field, f"={value!r} must be true or false")
    return value


def _numbers(field: str, value: Any) -> tuple[float, ...]:
    return tuple(real_array(field, value, 1).tolist())


def _one_each(field: str, value: Sequence[float], model: Model) -> None:
    if len(value) != model.d:
        raise InvalidInput(field, f"={list(value)} has {len(value)} numbers; the model has {model.d} parameters")


# Lengths of a run in steps: 1/(rate lambda), 1/(rate sqrt lambda), 50/rate.
WINDOWS = ("long", "middle", "short")
_MOMENTS = ("mean", "covariance")


def _window(field: str, value: Any) -> str:
    return one_of(field, value, WINDOWS)


def _moment(field: str, value: Any) -> str:
    return one_of(field, value, _MOMENTS)


_NUMBER = {"type": "number"}
_PAIR = {"type": "array", "minItems": 2, "maxItems": 2}
_VALUES: dict[Callable[[str, Any], Any], dict[str, Any]] = {
    _positive: {"type": "number", "exclusiveMinimum": 0},
    _batch_size: {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["full", "same"]}]},
    _power: {"type": "number", "minimum": -10, "maximum": 10, "not": {"const": 0}},
    _yes_or_no: {"type": "boolean"},
    _window: {"enum": list(WINDOWS)},
    _moment: {"enum": list(_MOMENTS)},
    _numbers: {"type": "array", "items": _NUMBER},
    _two_numbers: {**_PAIR, "items": _NUMBER},
    _two_names: {**_PAIR, "items": {"type": "string"}},
}
_EXPONENT = {
    "exponent": Setting(_power, needed=False, meaning="A power of lambda other than the theory's."),
    "bound": Setting(_yes_or_no, default=False, meaning="Whether the power is a bound: the statistic is O(lambda^p)."),
}
_BALL = {
    "gamma": Setting(_positive, meaning="Radius of the ball around the stationary point."),
    "displacement": Setting(
        _numbers, None, "Added to the zero-loss start, one number for each parameter.", _one_each, needed=False
    ),
}


# Kind to its settings, by name.
SETTINGS: dict[str, dict[str, Setting]] = {
    "fixed-point": {},
    "drift": {},
    "covariance": {},
    "trajectory": {},
    "stays": {
        "time": Setting(_positive, 1.0, "Slow time that label noise would move in."),
        "distance": Setting(_positive, 1.0, "How far off Gamma the run starts, over sqrt(lambda)."),
    },
    "escape": {},
    "scaling": {
        "lr": Setting(_positive, None, "Learning rate of the other algorithm."),
        "batch_size": Setting(_batch_size, "same", "Its batch size; sigma is such that lambda is the same."),
    },
    "diffusion": {"moment": Setting(_moment, None, "Of the change of Phi(theta) per step: its mean or covariance.")},
    "circulation": {
        "plane": Setting(_two_names, None, "Two parameters: the angle is taken in their plane.", _parameters),
        "center": Setting(_two_numbers, (0.0, 0.0), "Where the angle is taken about, in that plane."),
        "time": Setting(_positive, 1.0, "Slow time over which turns are counted."),
    },
    "coupling": {
        "window": Setting(_window, meaning="Steps: long 1/(eta lambda), middle 1/(eta sqrt lambda), short 50/eta."),
        **_EXPONENT,
    },
    "hitting-time": _BALL,
    "hitting-exponent": {**_BALL, **_EXPONENT},
    "reaches": _BALL,
}
# Kinds of which no R and no S of one's own says anything.
NO_CONJECTURE = frozenset({"stays"})
SETTING_NAMES: tuple[str, ...] = tuple(sorted({name for settings in SETTINGS.values() for name in settings}))


# Settings of what is claimed of a statistic, not of the statistic.
_CLAIMED = frozenset(_EXPONENT)


def statistic(kind: str, settings: Mapping[str, Any], author: str = "") -> str:
    """What is measured, in a line: claims that share it share their data.

    `author` is the theory whose path or end the statistic is about, where it is about one.
    """
    told = (f"{name}={value!r}" for name, value in sorted(settings.items()) if name not in _CLAIMED)
    return " ".join([kind, *told, *([author] if author else [])])
