"""Every mistake in a study file is told with its field, its value, the rule, and the nearest right spelling.

Systematically: every key of the schema is misspelt and gets values of every type, every word of a list is misspelt.
Nothing is compiled or simulated.
"""

from __future__ import annotations

import copy
import datetime
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema
import pytest
from cli_runs import flatmin
from flatmin.sims import catalogue
from flatmin.theory import InvalidInput
from flatmin.theory.file_schema import json_schema, keys
from flatmin.theory.settings import SETTINGS
from flatmin.theory.study import parse_study
from flatmin.theory.syntax import quote

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BASE: dict[str, Any] = {
    "about": {
        "theorem": "T", "section": "1", "statement": "s", "hypotheses": ["h"], "source": "s", "refuted_by": "r",
        "quick": False,
    },
    "model": {"parameters": ["u", "v"], "inputs": ["x"], "prediction": "u*v*x", "loss": "square"},
    "data": {"x": [[1.0]], "y": [1.0]},
    "algorithm": {
        "lr": 0.1, "batch_size": 1, "sampling": "with-replacement", "momentum": 0.0,
        "noise": {"kind": "label", "sigma": 0.1},
    },
    "start": {"u": 2.0, "v": 0.5},
    "run": {"margin": 0.02, "confidence": 0.999, "budget": 60.0, "seed": 0},
    "claim": [{"kind": "drift", "theory": "derived", "name": "n"}],
}  # fmt: skip
RULES = {"beta": ("nesterov", 0.5), "ratio": ("weight-decay", 1.0), "diagonal": ("preconditioned", [1.0, 2.0]),
         "rho": ("sharpness-aware", 0.1)}  # fmt: skip
FLIPS = {"kind": "flip", "flip": 0.2}
GRADIENT = {"kind": "gradient", "covariance": [["1", "0"], ["0", "1"]], "strength": 1e-4}
GIVEN = {
    "window": "long", "gamma": 0.2, "moment": "mean", "plane": ["u", "v"], "lr": 0.1, "exponent": 0.5, "bound": False,
    "displacement": [0.1, 0.1], "time": 1.0, "distance": 1.0, "batch_size": "same", "center": [0.0, 0.0],
}  # fmt: skip
CONJECTURES = {
    "regularizer": {"regularizer": "u**2"},
    "strength": {"regularizer": "u**2", "strength": "eta"},
    "covariance": {"covariance": [["lam", "0"], ["0", "lam"]]},
}
# One of every type, inside and outside of ranges; whoever takes it as it stands takes it.
VALUES = ("abcde", True, -1, 0, 1.5, 2.0**70, float("nan"), float("-inf"), [], ["abcde"], [[True]], {"abcde": 1},
          datetime.date(1979, 5, 27), 10**30)  # fmt: skip


class Place(NamedTuple):
    key: str
    study: dict[str, Any]
    path: list[Any]

    def changed(self, value: Any) -> dict[str, Any]:
        study = copy.deepcopy(self.study)
        at(study, self.path[:-1])[self.path[-1]] = value
        return study

    def renamed(self, name: str) -> dict[str, Any]:
        study = copy.deepcopy(self.study)
        table = at(study, self.path[:-1])
        table[name] = table.pop(self.path[-1])
        return study

    @property
    def field(self) -> str:
        return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path)[1:]


def at(document: Any, path: list[Any]) -> Any:
    for part in path:
        document = document[part]
    return document


def places() -> Iterator[Place]:
    """Every key of the schema, with a study that has it."""
    for key, _, _ in keys():
        parts: list[Any] = key.split(".")
        study, name = copy.deepcopy(BASE), parts[-1]
        if key.startswith("algorithm.rule"):
            kind, value = RULES.get(name, ("nesterov", 0.5))
            study["algorithm"]["rule"] = {"kind": kind, name if name in RULES else "beta": value}
        elif key == "data.file":
            study["data"] = {"file": "points.csv"}
        elif parts[-2:] == ["noise", "flip"]:
            study["model"]["loss"], study["algorithm"]["noise"] = "logistic", FLIPS
        elif parts[-2:-1] == ["noise"] and name in GRADIENT and name != "kind":
            study["algorithm"]["noise"] = GRADIENT
        elif parts[0] == "claim" and name in CONJECTURES:
            study["claim"] = [{"kind": "drift", "theory": "conjecture", **CONJECTURES[name]}]
        elif parts[0] == "claim" and name in GIVEN:
            kind = next(kind for kind, settings in SETTINGS.items() if name in settings)
            study["claim"] = [{"kind": kind, **{n: GIVEN[n] for n in SETTINGS[kind]}}]
        if parts[0] == "claim" and len(parts) > 1:
            parts.insert(1, 0)
        yield Place(key, study, parts)


PLACES = list(places())


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value) if not isinstance(value, float) else repr(value)


def refusal(study: dict[str, Any]) -> str:
    """What is said of a study; nothing of a good one."""
    text = "\n".join(f"{json.dumps(k)} = {toml(v)}" for k, v in study.items())
    try:
        parse_study(text, "study")
    except InvalidInput as error:
        return str(error)
    return ""


def misspelt(word: str) -> list[str]:
    """With a letter too few, one too many, a wrong one, two exchanged, and in capitals."""
    middle = len(word) // 2
    found = [f"{word[:middle]}{word[middle]}{word[middle:]}"]
    if len(word) > 2:
        found += [word[:middle] + word[middle + 1 :], f"{word[:middle]}q{word[middle + 1 :]}", word.upper()]
    if len(word) > 3 and word[middle - 1] != word[middle]:
        found.append(word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :])
    return found


def test_the_studies_are_good():
    # Otherwise a refusal below could have another cause than the mistake that is made.
    for place in PLACES:
        expected = "is not at hand" if place.key == "data.file" else ""
        assert expected in refusal(place.study), place.key
        assert bool(expected) == bool(refusal(place.study)), place.key


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.key)
def test_a_misspelt_key(place):
    for word in misspelt(place.path[-1]):
        told = refusal(place.renamed(word)).splitlines()
        field = place.field.removesuffix(place.path[-1]) + word
        assert f'{field} is not a known key; did you mean "{place.path[-1]}"?' in told


def words(node: Any) -> list[str]:
    """The words that may stand at a place of the schema."""
    inner = [word for option in node.get("anyOf", ()) for word in words(option)]
    own = node.get("enum", [node["const"]] if "const" in node else [])
    return inner + [word for word in own if isinstance(word, str)]


def node_of(place: Place) -> dict[str, Any]:
    node: Any = SCHEMA
    for part in place.path:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
    return node


WORDS = [place for place in PLACES if words(node_of(place))]


@pytest.mark.parametrize("place", WORDS, ids=lambda p: p.key)
def test_a_misspelt_word(place):
    for word in words(node_of(place)):
        for wrong in misspelt(word):
            told = refusal(place.changed(wrong))
            assert told.startswith(f"{place.field}={wrong!r} must be ")
            assert told.endswith(f'did you mean "{word}"?')


def test_lists_of_words_are_found():
    assert {p.key for p in WORDS} == {
        "model.loss", "algorithm.sampling", "algorithm.batch_size", "algorithm.rule.kind", "algorithm.noise.kind",
        "claim.kind", "claim.theory", "claim.batch_size", "claim.moment", "claim.window",
    }  # fmt: skip


def shown(value: Any) -> set[str]:
    """How a message may show a value, or what it holds."""
    if isinstance(value, list) and value:
        return {repr(value)} | {s for v in value for s in shown(v)}
    if isinstance(value, str):
        return {repr(value), quote(value)}
    if isinstance(value, int) and not isinstance(value, bool):
        return {repr(value), repr(float(value)), f"{value:g}", f"{value.bit_length()} bits"}
    return {repr(value), f"{value:g}"} if isinstance(value, float) else {repr(value)}


def complaint(place: Place, value: Any, told: str) -> str:
    """What the message about a value lacks."""
    if not re.match(re.escape(place.field) + r"(\b|\[|\.|$)", told):
        return "the field"
    table = isinstance(value, dict) and node_of(place).get("type") == "object"
    if not table and not any(s in told for s in shown(value)):
        return "the value"
    if not re.search(r"\b(must|is not|is no|is empty|is missing|allows|has|unknown|at hand)\b", told):
        return "the rule"
    return ""


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.key)
def test_a_wrong_value(place):
    refused = 0
    for value in VALUES:
        study = place.changed(value)
        if place.key in ("model.parameters", "model.inputs") and value in ([], ["abcde"]):
            continue  # good lists, which the prediction does not fit
        told = refusal(study)
        # What an editor marks is never accepted.
        assert told or VALIDATOR.is_valid(json.loads(json.dumps(study, default=str))), value
        if told:
            refused += 1
            assert complaint(place, value, told) == "", f"{value!r}: {told}"
    assert refused >= 8


def test_the_check_sees_a_bad_message():
    place = next(p for p in PLACES if p.key == "algorithm.lr")
    assert complaint(place, -1, "algorithm.lr=-1.0 must be positive") == ""
    assert complaint(place, -1, "algorithm.momentum=-1.0 must be positive") == "the field"
    assert complaint(place, -1, "algorithm.lr must be positive") == "the value"
    assert complaint(place, -1, "algorithm.lr=-1.0: bad") == "the rule"


@pytest.mark.parametrize(
    ("text", "known"),
    [("tahn(u)", "tanh"), ("Tanh(u)", "tanh"), ("weihgt*u", "weight"), ("Weight*u", "weight"), ("lgo(weight)", "log")],
)
def test_a_misspelt_name_in_an_expression(text, known):
    study = copy.deepcopy(BASE)
    study["model"] = {"parameters": ["u", "weight"], "prediction": text}
    study["data"] = {"y": [1.0]}
    told = refusal(study)
    assert told.startswith(f'model.prediction="{text}": ')
    assert told.endswith(f'did you mean "{known}"?')


def test_misspelt_parameters():
    study = copy.deepcopy(BASE)
    study["model"] = {"parameters": ["slope", "shift"], "inputs": ["x"], "prediction": "slope*x + shift"}
    study["start"] = {"slpoe": 1.0, "shift": 0.0}
    assert refusal(study).endswith("""the model has ['slope', 'shift']; did you mean "slope"?""")
    study["start"] = {"slope": 1.0, "shift": 0.0}
    study["claim"] = [{"kind": "circulation", "plane": ["slope", "shfit"]}]
    assert refusal(study).endswith('did you mean "shift"?')


def test_a_misspelt_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = flatmin("verify", "two-basin", status=2).stderr
    assert 'study="two-basin" is no file, and no study of the catalogue; did you mean "two-basins"?' in told
    assert "`flatmin claims` lists the catalogue" in flatmin("derive", "zzzzzz", status=2).stderr
    assert "no such file" in flatmin("derive", "zzzzzz.toml", status=2).stderr
    (tmp_path / "uv").write_text(toml(1))  # a file of this name comes first
    assert "uv" in catalogue.names()
    assert "is not valid TOML" in flatmin("derive", "uv", status=2).stderr


def test_written_studies_are_read_as_they_are():
    assert tomllib.loads("\n".join(f"{k} = {toml(v)}" for k, v in BASE.items())) == BASE
