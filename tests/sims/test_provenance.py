"""What a result says of where it comes from is enough to read the study again."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from cli_runs import study
from flatmin.sims.provenance import commit, origin
from flatmin.theory import InvalidInput
from flatmin.theory.study import parse_study, read_study


def test_a_study_is_read_again_from_a_result(tmp_path):
    one = read_study(study(tmp_path))
    (entry,) = origin([one], "study.toml", {})["studies"]
    again = parse_study(entry["text"], entry["name"], entry.get("data"))
    assert again.model.prediction == one.model.prediction
    assert again.claims == one.claims


def test_data_files_come_along(tmp_path):
    (tmp_path / "points.csv").write_text("x,y\n1,0.5\n2,1\n")
    text = study(tmp_path, prediction="u*v*x").read_text()
    text = text.replace("[data]\ny = [1.0]", '[data]\nfile = "points.csv"').replace("[data]", 'inputs = ["x"]\n[data]')
    (tmp_path / "study.toml").write_text(text)
    one = read_study(tmp_path / "study.toml")
    (entry,) = origin([one], None, {})["studies"]
    again = parse_study(entry["text"], "study", entry["data"])
    assert np.array_equal(again.model.x, one.model.x)
    # The text alone names a file: it is not opened.
    with pytest.raises(InvalidInput, match=r'data.file="points.csv" is not at hand'):
        parse_study(entry["text"], "study")


def test_the_command_is_that_of_a_shell(tmp_path):
    one = read_study(study(tmp_path))
    made = origin([one], "my study; rm -rf.toml", {"quick": False, "margin": None, "seed": 4, "paper_section": "3"})
    words = shlex.split(made["command"])
    assert words == ["flatmin", "verify", "my study; rm -rf.toml", "--seed", "4", "--paper-section", "3"]
    assert made["machine"]["flatmin"]


def test_the_commit_is_a_hash_or_unknown():
    known = commit()
    assert known is None or len(known.removesuffix("-dirty")) == 40
