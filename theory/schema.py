"""The keys of a study file and their types, and what is wrong with a file in its own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from .checks import nearest
from .claim import RunOptions
from .errors import InvalidInput, short
from .settings import SETTING_NAMES
from .syntax import quote

__all__ = ["AlgorithmTable", "ClaimTable", "NoiseTable", "RuleTable", "StudyTable", "checked"]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _ModelTable(_Table):
    parameters: list[Any] = Field(min_length=1)
    inputs: list[Any] = []
    prediction: Any
    loss: Literal["square", "logistic", "exponential", "cross-entropy"] = "square"


class _DataTable(_Table):
    x: Any = None
    y: Any = None
    file: str | None = None


class NoiseTable(_Table):
    """`[algorithm.noise]`."""

    kind: Literal["label", "label-gaussian", "flip", "gradient", "none"]
    sigma: Any = None
    flip: Any = None
    covariance: Any = None
    strength: Any = None


class RuleTable(_Table):
    """`[algorithm.rule]`."""

    kind: Literal["sgd", "heavy-ball", "nesterov", "weight-decay", "preconditioned", "sharpness-aware"]
    beta: Any = None
    ratio: Any = None
    diagonal: Any = None
    rho: Any = None


class AlgorithmTable(_Table):
    """`[algorithm]`."""

    lr: Any
    batch_size: Any
    sampling: Any = "with-replacement"
    momentum: Any = 0.0
    rule: RuleTable | None = None
    noise: NoiseTable


class _RunTable(_Table):
    margin: Any = RunOptions.margin
    confidence: Any = RunOptions.confidence
    budget: Any = RunOptions.budget
    seed: Any = RunOptions.seed


class _ClaimTable(_Table):
    """One `[[claim]]`; its values are checked by `Claim`."""

    kind: Any
    theory: Any = "derived"
    name: str = ""
    regularizer: str | None = None
    strength: str | None = None
    covariance: list[list[str]] | None = None


# With the settings of all kinds: which kind takes which is checked by `Claim`.
_SETTINGS: dict[str, Any] = dict.fromkeys(SETTING_NAMES, (Any, None))
ClaimTable: Any = create_model("ClaimTable", __base__=_ClaimTable, **_SETTINGS)


class AboutTable(_Table):
    """`[about]`; its values are checked by `About`."""

    theorem: Any = ""
    section: Any = ""
    statement: Any = ""
    hypotheses: Any = []
    source: Any = ""
    refuted_by: Any = ""
    quick: Any = False


class StudyTable(_Table):
    """A whole file."""

    about: AboutTable = AboutTable()
    model: _ModelTable
    data: _DataTable
    algorithm: AlgorithmTable
    start: dict[str, Any]
    run: _RunTable = _RunTable()
    claim: list[ClaimTable] = Field(min_length=1)


_TABLES: dict[str, type[_Table]] = {
    "": StudyTable,
    "about": AboutTable,
    "model": _ModelTable,
    "data": _DataTable,
    "algorithm": AlgorithmTable,
    "algorithm.noise": NoiseTable,
    "algorithm.rule": RuleTable,
    "run": _RunTable,
    "claim": ClaimTable,
}


def checked(raw: dict[str, Any]) -> StudyTable:
    """Return the tables of a study, or raise `InvalidInput` with everything that is wrong with their keys."""
    _check_integers(raw)
    try:
        return StudyTable.model_validate(raw)
    except ValidationError as error:
        raise _translated(error) from None


def _check_integers(raw: dict[str, Any]) -> None:
    # TOML's integers have 64 bits; Python's reader takes any, and cannot even print one of 5,000 digits.
    todo: list[tuple[tuple[int | str, ...], Any]] = [((), raw)]
    while todo:
        location, value = todo.pop()
        if isinstance(value, dict):
            todo.extend(((*location, key), entry) for key, entry in value.items())
        elif isinstance(value, list):
            todo.extend(((*location, i), entry) for i, entry in enumerate(value) if not isinstance(entry, float))
        elif isinstance(value, int) and value.bit_length() > 63:
            raise InvalidInput(_written(location), f" is an integer of {value.bit_length()} bits; TOML allows 64")


def _translated(error: ValidationError) -> InvalidInput:
    """All that pydantic found, in the words of the file; the field is that of the first."""
    found = [_problem(entry["loc"], entry["type"], entry["input"], entry["msg"]) for entry in error.errors()[:20]]
    rest = "".join(f"\n{other}" for other in found[1:])
    return InvalidInput(found[0].field, short(found[0].problem) + rest)


def _problem(location: Sequence[int | str], kind: str, value: Any, message: str) -> InvalidInput:
    field = _written(location)
    if kind == "missing":
        return InvalidInput(field, " is missing; add it")
    if kind == "extra_forbidden":
        table = _TABLES[".".join(part for part in location[:-1] if isinstance(part, str))]
        known = list(table.model_fields)
        hint = _elsewhere(location[-1]) or nearest(location[-1], known) or f"; known are {known}"
        return InvalidInput(field, f" is not a known key{hint}")
    if kind == "too_short":
        return InvalidInput(field, f"=[] is empty; give at least one {'[[claim]]' if field == 'claim' else 'entry'}")
    words = message.removeprefix("Input should be ")
    hint = nearest(value, re.findall("'([^']*)'", words))
    rules = {
        "string_type": "must be text",
        "list_type": "must be a list" if field != "claim" else "must be a list; write [[claim]]",
        "dict_type": "must be a table",
        "model_type": "must be a table",
        "literal_error": f"must be one of {words}{hint}",
    }
    return InvalidInput(field, f"={short(repr(value), 60)} {rules.get(kind, message)}")


def _elsewhere(key: int | str) -> str:
    """The end of a message: in which tables there is such a key."""
    tables = [name for name, table in _TABLES.items() if name and key in table.model_fields]
    named = " or ".join("[[claim]]" if name == "claim" else f"[{name}]" for name in tables)
    return f" here; it belongs in {named}" if named else ""


def _written(location: Sequence[int | str]) -> str:
    field = ""
    for part in location:
        if isinstance(part, int):
            field += f"[{part}]"
        else:
            plain = part.isascii() and part.replace("-", "_").isidentifier() and len(part) <= 60
            field += ("." if field else "") + (part if plain else quote(part))
    return field
