"""The JSON Schema of a study file: for editors that complete and check TOML, and for the page of the reference.

What it says beside names and nesting (types, limits, words) stands here, key by key; what values may really stand in a
study is decided by the classes that own them.
"""

from __future__ import annotations

from typing import Any

from .claim import KINDS, THEORIES
from .schema import StudyTable
from .settings import SETTINGS

__all__ = ["json_schema", "keys"]

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_TEXTS = {"type": "array", "items": _TEXT}
_MATRIX = {"type": "array", "items": _TEXTS}
_NUMBERS = {"type": "array", "items": _NUMBER}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}

# Key to what it means, and what may stand there.
_KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "about": ("What the study is about, in words; optional.", {}),
    "about.theorem": ('The theorem, for example "Theorem 1".', _TEXT),
    "about.section": ('Section of the paper, for example "3.2".', _TEXT),
    "about.statement": ("What is claimed, in one or two sentences.", _TEXT),
    "about.hypotheses": ("Under which it is claimed.", _TEXTS),
    "about.source": ("Where it is written.", _TEXT),
    "about.refuted_by": ("What data would refute it.", _TEXT),
    "about.quick": ("Whether it belongs to the short run of the catalogue.", {"type": "boolean"}),
    "model": ("The model f(theta; x) and its loss.", {}),
    "model.parameters": ("Names of the parameters; their order fixes theta.", _TEXTS),
    "model.inputs": ("Names of the columns of the data; none by default.", _TEXTS),
    "model.prediction": (
        "f(theta; x) as an expression, or a list of n expressions, one per sample, without inputs. Cross-entropy: a"
        " list of K logits, one per class, or without inputs n lists of them.",
        {"anyOf": [_TEXT, {"type": "array", "items": {"anyOf": [_TEXT, _TEXTS]}}]},
    ),
    "model.loss": (
        "The loss; targets for the square loss, labels for the others: -1 or 1, or classes 0 to K-1 for cross-entropy.",
        {},
    ),
    "data": ("The samples: x and y, or a file.", {}),
    "data.x": ("n rows, one column per input.", {"type": "array", "items": _NUMBERS}),
    "data.y": ("Targets (square loss), labels -1 or 1, or classes 0 to K-1 (cross-entropy).", _NUMBERS),
    "data.file": ('A CSV file beside the study, whose header names the inputs and "y".', _TEXT),
    "algorithm": ("The algorithm that is run.", {}),
    "algorithm.lr": ("Learning rate eta.", _POSITIVE),
    "algorithm.batch_size": (
        'B, or "full": every sample once per step, each with fresh noise.',
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10**6}, {"const": "full"}]},
    ),
    "algorithm.sampling": (
        "How a batch is drawn; ignored for the full batch.",
        {"enum": ["with-replacement", "without-replacement"]},
    ),
    "algorithm.momentum": ("beta of heavy-ball momentum.", {"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
    "algorithm.rule": ("The update rule, where it is neither SGD nor heavy ball; optional.", {}),
    "algorithm.rule.kind": ("The rule.", {}),
    "algorithm.rule.beta": ("heavy-ball, nesterov: momentum.", _NUMBER),
    "algorithm.rule.ratio": ("weight-decay: weight decay over lambda.", _NUMBER),
    "algorithm.rule.diagonal": ("preconditioned: a positive factor of each coordinate of the gradient.", _NUMBERS),
    "algorithm.rule.rho": ("sharpness-aware: length scale of the ascent step.", _NUMBER),
    "algorithm.noise": ("Where the noise comes from.", {}),
    "algorithm.noise.kind": ("The law of the noise.", {}),
    "algorithm.noise.sigma": (
        "label, label-gaussian: standard deviation of the label noise, or a list, one per sample.",
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "array", "items": {"type": "number", "minimum": 0}}]},
    ),
    "algorithm.noise.flip": ("flip: probability that a drawn label is replaced.", _FRACTION),
    "algorithm.noise.covariance": (
        "gradient: Sigma(theta), d x d; each step adds noise of covariance eta*strength*Sigma.",
        _MATRIX,
    ),
    "algorithm.noise.strength": ("gradient: lambda.", {"type": "number", "minimum": 0}),
    "start": ("A value for each parameter; moved to the nearest zero-loss point first.", {}),
    "run": ("How the study is decided; optional.", {}),
    "run.margin": ("Equivalence margin of the relative error.", _FRACTION),
    "run.confidence": (
        "Of each verdict, after correction for how many the study holds.",
        {"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1},
    ),
    "run.budget": ("Seconds of wall time a claim may use.", _POSITIVE),
    "run.seed": ("Seed of all random numbers.", {"type": "integer", "minimum": 0}),
    "claim": ("What is claimed; write [[claim]] for each.", {}),
    "claim.kind": ("The statistic that is predicted and measured.", {"enum": list(KINDS)}),
    "claim.theory": ("Who predicts it.", {"enum": list(THEORIES)}),
    "claim.name": ("A title for tables.", _TEXT),
    "claim.regularizer": ("conjecture: R(theta); may use eta, sigma, B, beta, n.", _TEXT),
    "claim.strength": ("conjecture: lambda, in eta, sigma, B, beta, n; the paper's by default.", _TEXT),
    "claim.covariance": ("conjecture: S(theta), d x d; may also use lam.", _MATRIX),
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file."""
    schema = StudyTable.model_json_schema()
    tables = schema.pop("$defs")
    resolved: dict[str, Any] = _resolved("", schema, tables)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **resolved, "title": "flatmin study"}


def keys() -> list[tuple[str, str, str]]:
    """Key, meaning and default (as TOML would show it) of everything that may stand in a study file, in its order."""
    rows: list[tuple[str, str, str]] = []
    _collect("", json_schema(), rows)
    return rows


def _resolved(path: str, node: dict[str, Any], tables: dict[str, Any]) -> dict[str, Any]:
    """A node with its references replaced, its words put in and what pydantic makes up left out."""
    # TOML has no null: a key that may be null may be left out.
    options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        node = {**{k: v for k, v in node.items() if k not in ("anyOf", "default")}, **options[0]}
    if "$ref" in node:
        node = {**tables[node["$ref"].rsplit("/", 1)[-1]], **node}
    node = {k: v for k, v in node.items() if k not in ("title", "description", "$ref")}
    meaning, values = _described(path)
    if meaning:
        node = {"description": meaning, **node, **values}
    if "$ref" in node.get("items", {}):
        node["items"] = {k: v for k, v in _resolved(path, node["items"], tables).items() if k != "description"}
    if "properties" in node:
        prefix = f"{path}." if path else ""
        below = node["properties"].items()
        node["properties"] = {name: _resolved(prefix + name, entry, tables) for name, entry in below}
    # A table that may be left out has the defaults of its keys.
    if "properties" in node or node.get("default", ...) is None:
        node.pop("default", None)
    return node


def _described(path: str) -> tuple[str, dict[str, Any]]:
    if path in _KEYS:
        return _KEYS[path]
    table, _, name = path.rpartition(".")
    if table == "claim":
        kinds = [kind for kind, settings in SETTINGS.items() if name in settings]
        setting = SETTINGS[kinds[0]][name]
        return f"{', '.join(kinds)}: {setting.meaning}", setting.values
    if not path or table == "start":
        return "", {}
    raise KeyError(f"no words for the key {path} of a study file")


def _collect(path: str, node: dict[str, Any], rows: list[tuple[str, str, str]]) -> None:
    for name, entry in node.get("properties", {}).items():
        key = f"{path}.{name}" if path else name
        below = entry.get("items", entry) if key == "claim" else entry
        if "properties" in below:
            rows.append((key, entry.get("description", ""), ""))
            _collect(key, below, rows)
            continue
        default = "needed" if name in node.get("required", ()) else _toml(entry.get("default"))
        rows.append((key, entry.get("description", ""), default))


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
