"""The experiment as a whole, on a tiny network: files, verdicts, resuming, wrong data."""

from __future__ import annotations

import numpy as np
import pytest
from cli_runs import flatmin, strict
from flatmin.sims.experiments import digits
from flatmin.sims.experiments.findings import write_findings
from flatmin.sims.experiments.store import Interrupted, Laboratory

for package in ("matplotlib", "sklearn", "threadpoolctl"):
    pytest.importorskip(package, reason="needs the extra `experiments`")


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    np.savez(tmp_path / "points.npz", X=rng.normal(size=(60, 4)) + 2 * np.eye(3, 4)[y], y=y)
    return tmp_path / "points.npz"


TINY = {"data": None, "steps": 320, "hidden": 24}


def test_runs_files_and_resuming_with_the_same_numbers(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(digits.run, "__kwdefaults__", TINY)
    one = tmp_path / "one"
    result = flatmin("experiment", "digits", "--seeds", 1, "--data", samples, "--out", one, "--threads", 1, status=3)
    assert "digits: 15 statements" in result.output
    document = strict(one / "results.json")
    assert {s["verdict"] for s in document["statements"]} == {"inconclusive"}  # one seed has no interval
    assert any("tr H and R order" in line for line in document["limits"])
    runs = {(r["start"], r["algorithm"]): r for r in document["runs"] if "records" in r}
    assert len(runs) == 10
    records = {name: [p["step"] for p in run["records"]] for (_, name), run in runs.items()}
    assert records["flips, lr 0.1"] == [0, 1, 2, 5, 10, 20, 40, 80, 160, 320]
    assert records["flips, lr 0.025"] == [0, 20, 40, 80, 160, 320]
    assert records["momentum 0.9, lr 0.01"] == records["flips, lr 0.1"]
    # R does not exist at this start: descent on it is not tried, no value is given, and the limits say so.
    assert "must be below 2/h_max" in runs["full batch", "descent on L + lambda R"]["reason"]
    assert runs["full batch", "flips, lr 0.1"]["records"][0]["R"] is None
    assert any("R does not exist at" in line for line in document["limits"])
    for name in ("along-training.svg", "against-slow-time.svg"):
        assert (one / name).read_text().count("<path") > 50

    train, calls = digits.NetworkRuns.train, []

    def cut(self, setting, should_stop):
        calls.append(setting)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return train(self, setting, should_stop)

    cut.__qualname__ = train.__qualname__
    cut.__module__ = train.__module__
    monkeypatch.setattr(digits.NetworkRuns, "train", cut)
    monkeypatch.setattr(digits, "figures", lambda runs: 1 / 0)
    two = tmp_path / "two"
    with pytest.raises(Interrupted):
        digits.run(Laboratory(two, 1), 1, data=samples)
    laboratory = Laboratory(two, 3)
    with pytest.raises(ZeroDivisionError):  # results are written before figures are drawn
        write_findings(laboratory, "digits", digits.run(laboratory, 1, data=samples))
    assert (two / "results.json").read_bytes() == (one / "results.json").read_bytes()
    assert all(calls.count(setting) == 1 for setting in calls[:3])  # what was finished did not run again


def test_labels_that_cannot_be_fitted_are_named(tmp_path):
    x = np.repeat(np.random.default_rng(0).normal(size=(2, 4)), 30, axis=0)
    np.savez(tmp_path / "same.npz", X=x, y=np.arange(60) % 2)
    result = flatmin("experiment", "digits", "--data", tmp_path / "same.npz", "--out", tmp_path / "out", status=3)
    assert "not-applicable: interpolation: the loss" in result.output


def test_wrong_data_ends_with_status_2_before_anything_runs(tmp_path):
    np.savez(tmp_path / "many.npz", X=np.zeros((200, 2)), y=np.arange(200) % 50)
    np.savez(tmp_path / "one.npz", X=np.zeros((200, 2)), y=np.zeros(200))
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros((200, 2)))
    for name, message in (
        ("array.npz", "cannot be read as .npz"),
        ("many.npz", "50 classes"),
        ("one.npz", "one class 0"),
        ("none.csv", "is no file"),
    ):
        result = flatmin("experiment", "digits", "--data", tmp_path / name, "--out", tmp_path / "out", status=2)
        assert message in result.output
    assert not list((tmp_path / "out" / "runs").iterdir())
