"""The keys of a result: what is written, what it means, and its JSON Schema, from one table.

Whoever writes a part of a result passes it through `written`: a key that is not in the table cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flatmin.theory.claim import KINDS, THEORIES

__all__ = ["TABLES", "json_schema", "keys", "written"]


class Key(NamedTuple):
    """One key: its meaning, the JSON Schema of its value, and whether every result has it."""

    meaning: str
    schema: Mapping[str, Any]
    always: bool = True


_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_BOOLEAN = {"type": "boolean"}
_NUMBER = {"type": "number"}
_SIZE = {"type": "number", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 0}
# What is not finite is null.
_OR_NULL = {"type": ["number", "null"]}
_NUMBERS = {"$ref": "#/$defs/numbers"}
_STRENGTHS = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}}
_INTERVAL = {"type": ["array", "null"], "items": _NUMBER, "minItems": 2, "maxItems": 2}
_FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_VERDICTS = ["supported", "refuted", "inconclusive", "not-applicable"]


def _list_of(table: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/$defs/{table}"}}


# Table to its keys, in the order of the file. "" is the document.
TABLES: dict[str, dict[str, Key]] = {
    "": {
        "flatmin": Key("Version that wrote it.", _TEXT),
        "study": Key('The study as it was named; "catalogue" for several of it.', _TEXT),
        "seed": Key("Of all random numbers.", _COUNT),
        "seconds": Key("Wall time.", _SIZE),
        "claims": Key("What was decided, in the order of the study.", _list_of("claim")),
        "command": Key("That repeats it.", _TEXT, False),
        "commit": Key("Of the source, where it is known.", _TEXT, False),
        "machine": Key("Versions, processor and threads.", {"type": "object", "additionalProperties": _TEXT}, False),
        "studies": Key("The studies themselves.", _list_of("study"), False),
    },
    "claim": {
        "study": Key("Whose claim it is, in a run of several studies.", _TEXT, False),
        "name": Key("Its title: the name in the study, or kind and theory.", _TEXT),
        "kind": Key("The statistic.", {"enum": list(KINDS)}),
        "theory": Key("Who predicts it.", {"enum": list(THEORIES)}),
        "verdict": Key("What was decided.", {"enum": _VERDICTS}),
        "predicted": Key("In the shape of the statistic, at the study's own strength.", _NUMBERS),
        "measured": Key("The same: the limit lambda -> 0; null where nothing was measured.", _NUMBERS),
        "standard_error": Key("Of `measured`, component by component.", _NUMBERS),
        "relative_error": Key("Norm of the error over `scale`.", _OR_NULL),
        "interval": Key("Of the signed relative error along the prediction, or of the norm of the rest: the worse one.",
                        _INTERVAL),
        "margin": Key("Relative error that counts as agreement.", _FRACTION),
        "confidence": Key("Of the verdict, corrected for how many there are.", _FRACTION),
        "assumptions": Key("The hypotheses, as checked where the run passes.", _list_of("assumption")),
        "rivals": Key("Other predictions, held against the same data.", _list_of("rival")),
        "replica_steps": Key("Cost; 0 where the data are those of another claim.", _SIZE),
        "seconds": Key("Wall time.", _SIZE),
        "strengths": Key("lambda on the ladder.", _STRENGTHS),
        "variance_reduction": Key("By the control variate; null without one.", _OR_NULL, False),
        "reason": Key("Why, where it is neither supported nor refuted.", _TEXT, False),
        "notes": Key("What else is to be known.", _TEXTS, False),
        "parameters": Key("Names of theta_1 to theta_d.", _TEXTS, False),
        "labels": Key("Names of the components of a vector; empty for other shapes.", _TEXTS, False),
        "scale": Key("What errors are relative to.", _OR_NULL, False),
        "start": Key("The zero-loss point that everything starts from.", _NUMBERS, False),
        "detail": Key("How the limit was measured; null where nothing was.",
                      {"anyOf": [{"$ref": "#/$defs/detail"}, {"type": "null"}]}, False),
        "bound": Key("True where the power is a bound: nothing above `predicted` is an error.", _BOOLEAN, False),
        "times": Key("Steps at which a path is compared (`trajectory`).", {"type": "array", "items": _SIZE}, False),
    },
    "assumption": {
        "name": Key("The hypothesis.", _TEXT),
        "holds": Key("Whether it does.", _BOOLEAN),
        "value": Key("What was computed for it.", _OR_NULL),
        "rule": Key("What it asks for, in words.", _TEXT, False),
    },
    "rival": {
        "theory": Key("Who predicts otherwise.", _TEXT),
        "predicted": Key("Null where it is not applicable.", _NUMBERS),
        "verdict": Key("On the rival.", {"enum": _VERDICTS}),
        "distinguishable": Key("Whether it differs from the claim by more than the margin.", _BOOLEAN, False),
        "reason": Key("Why it is not applicable.", _TEXT, False),
        "scale": Key("What errors of the rival are relative to.", _OR_NULL, False),
    },
    "detail": {
        "law": Key('"power": an exponent was fitted; "fraction"; a polynomial without it.',
                   {"enum": ["power", "fraction"]}, False),
        "correction_power": Key("q of A lambda^p (1 + c lambda^q).", _NUMBER, False),
        "degree": Key("Of the polynomial in lambda.", _COUNT),
        "coefficients": Key(
            "Of powers of strength over the largest; of a power law p, log A, c. Null for more than 1024 components.",
            _NUMBERS,
        ),
        "error_coefficients": Key("The same of the signed error along the prediction; null for other laws.", _NUMBERS),
        "truncation": Key("Bound of the first term left out, relative.", _OR_NULL),
        "fit_probability": Key("Of residuals as large as these.", _OR_NULL),
        "widening": Key("Of intervals, for heavy tails.", _OR_NULL),
        "limit": Key("The signed error of the limit.", {"$ref": "#/$defs/limit"}),
        "rungs": Key("The statistic at each strength.", _list_of("rung")),
    },
    "limit": {
        "error": Key("Signed, along the prediction, relative.", _OR_NULL),
        "error_standard_error": Key("Of it.", _OR_NULL),
    },
    "rung": {
        "strength": Key("lambda.", {"type": "number", "exclusiveMinimum": 0}),
        "steps": Key("Of each replica.", _COUNT),
        "replicas": Key("How many.", _COUNT),
        "mean": Key("Of the statistic; left out for more than 1024 components.", _NUMBERS, False),
        "standard_error": Key("Of the mean; none of a fraction.", _NUMBERS, False),
        "error": Key("Signed, along the prediction, relative; none of a power law.", _OR_NULL, False),
        "error_standard_error": Key("Of it.", _OR_NULL, False),
    },
    "study": {
        "name": Key("As its claims name it.", _TEXT),
        "text": Key("The file.", _TEXT),
        "data": Key("x and y of a data file, up to 20,000 numbers.", {"type": "object"}, False),
    },
}  # fmt: skip
_DECIDED = {
    "if": {"properties": {"verdict": {"enum": ["supported", "refuted"]}}},
    "then": {
        "properties": {k: {"not": {"type": "null"}} for k in ("predicted", "measured", "standard_error", "interval")}
    },
}


def written(table: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry itself, a part of a result that is to be written; a key that is not in the table is a `KeyError`."""
    unknown = [key for key in entry if key not in TABLES[table]]
    if unknown:
        raise KeyError(f"{unknown} have no words in flatmin.sims.result_keys")
    return entry


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a result; unknown keys are those of a later version, and no error."""
    numbers = {"anyOf": [_OR_NULL, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/numbers"}}]}
    tables = {name: _table(name) for name in TABLES if name}
    tables["claim"] |= _DECIDED
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "flatmin result"}
    return {**head, **_table(""), "$defs": {"numbers": numbers, **tables}}


def _table(name: str) -> dict[str, Any]:
    entries = TABLES[name]
    return {
        "type": "object",
        "required": [key for key, entry in entries.items() if entry.always],
        "properties": {key: {"description": entry.meaning, **entry.schema} for key, entry in entries.items()},
    }


def keys() -> list[tuple[str, str, bool]]:
    """Path, meaning, and whether every result has it, of every key in the order of the file."""
    return list(_below("", ""))


def _below(table: str, prefix: str) -> Any:
    for key, entry in TABLES[table].items():
        yield prefix + key, entry.meaning, entry.always
        options = (entry.schema, entry.schema.get("items", {}), *entry.schema.get("anyOf", ()))
        inner = next((o["$ref"].rpartition("/")[2] for o in options if "$ref" in o), "numbers")
        if inner != "numbers":
            yield from _below(inner, f"{prefix}{key}{'[]' if entry.schema.get('type') == 'array' else ''}.")
