"""The JSON Schema of results: what is written fits it, what is broken does not, and readers know its keys."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_runs import flatmin
from flatmin.sims import document as reader
from flatmin.sims.jsonfile import study_json
from flatmin.sims.result_keys import TABLES, json_schema, keys, written
from made_results import document
from test_results import ALL

ROOT = Path(__file__).parents[1]
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def strict() -> jsonschema.Draft202012Validator:
    """The same, where unknown keys are errors: this version writes none."""
    schema = copy.deepcopy(SCHEMA)
    for node in (schema, *schema["$defs"].values()):
        if node.get("type") == "object":
            node["additionalProperties"] = False
    return jsonschema.Draft202012Validator(schema)


STRICT = strict()
STORED = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))


def known(claims: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the made-up claims whose kind there is."""
    return [c for c in claims if c["kind"] in SCHEMA["$defs"]["claim"]["properties"]["kind"]["enum"]]


def test_it_is_one_and_can_be_printed():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(flatmin("schema", "--results").stdout) == SCHEMA


def test_stored_results_fit():
    assert len(STORED["claims"]) > 60
    STRICT.validate(STORED)


def test_what_is_written_fits():
    STRICT.validate(study_json("a.toml", 3, 1.2, [("a", v) for v in ALL], False))
    STRICT.validate(study_json("catalogue", 3, 1.2, [("a", v) for v in ALL], True, {"commit": "0123", "studies": []}))
    made = document(known(document()["claims"]))
    assert {c.get("detail", {} or {}).get("law") for c in made["claims"] if c["detail"]} == {None, "power", "fraction"}
    STRICT.validate(made)


def test_the_example_of_the_page_fits():
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "results.md").read_text(encoding="utf-8"), re.DOTALL)
    STRICT.validate(json.loads(example))


def test_keys_of_a_later_version_are_no_errors():
    later = document(known(document()["claims"]), anything=1)
    assert VALIDATOR.is_valid(later)
    assert not STRICT.is_valid(later)


def broken(path: str, value: Any) -> dict[str, Any]:
    """A good result with another value at a path, or without it."""
    made = copy.deepcopy({**STORED, "claims": STORED["claims"][:1], "studies": STORED["studies"][:1]})
    *above, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    place = made
    for part in above:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((key, ...) for key, entry in TABLES[""].items() if entry.always),
        *((f"claims.0.{key}", ...) for key, entry in TABLES["claim"].items() if entry.always),
        ("claims.0.detail.rungs.0.strength", ...),
        ("claims.0.assumptions.0.holds", ...),
        ("claims.0.rivals.0.verdict", ...),
        ("seed", -1),
        ("seed", 1.5),
        ("claims", {}),
        ("claims.0", []),
        ("claims.0.verdict", "suported"),
        ("claims.0.kind", "drfit"),
        ("claims.0.theory", "mine"),
        ("claims.0.interval", [0.1]),
        ("claims.0.interval", [0.1, 0.2, 0.3]),
        ("claims.0.interval", None),
        ("claims.0.measured", None),
        ("claims.0.measured", ["1"]),
        ("claims.0.measured", []),
        ("claims.0.predicted", {"u": 1}),
        ("claims.0.margin", 0),
        ("claims.0.confidence", 1),
        ("claims.0.seconds", -1),
        ("claims.0.strengths", [0.0]),
        ("claims.0.assumptions.0.holds", 1),
        ("claims.0.assumptions.0.value", "1"),
        ("claims.0.rivals.0.verdict", "wrong"),
        ("claims.0.notes", "a note"),
        ("claims.0.detail", []),
        ("claims.0.detail.law", "linear"),
        ("claims.0.detail.rungs.0.replicas", -3),
        ("studies.0.text", None),
        ("machine", {"Python": 3}),
    ],
)
def test_what_is_broken_does_not_fit(path, value):
    assert not VALIDATOR.is_valid(broken(path, value))


def test_nothing_without_words_can_be_written():
    with pytest.raises(KeyError, match="interval_of"):
        written("claim", {"name": "", "interval_of": 1})


def test_readers_know_every_key():
    models = {
        "": reader.Result, "claim": reader.ClaimEntry, "assumption": reader.AssumptionEntry, "rival": reader.RivalEntry,
        "detail": reader.Detail, "limit": reader.Limit, "rung": reader.Rung,
    }  # fmt: skip
    for table, model in models.items():
        assert set(model.model_fields) == set(TABLES[table])


def test_every_key_has_words():
    shown = {path for path, _, _ in keys()}
    assert {"claims[].detail.rungs[].mean", "claims[].rivals[].theory", "studies[].text", "seed"} <= shown
    assert len(shown) == sum(map(len, TABLES.values()))
    assert all(meaning.endswith(".") for _, meaning, _ in keys())
