"""`flatmin verify` as a user meets it: exit statuses, messages, files. Models are small, runs are short."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from cli_runs import DRIFT, UNIT_COVARIANCE, WRONG, flatmin, forbid_simulation, strict, study, timeless
from flatmin.sims import verification
from hostile import HOSTILE_STUDIES

CLAIM_KEYS = {
    "name", "kind", "theory", "verdict", "predicted", "measured", "standard_error", "relative_error", "interval",
    "margin", "confidence", "assumptions", "rivals", "replica_steps", "seconds", "strengths",
}  # fmt: skip
# What is given beyond the contract.
MORE_KEYS = {
    "variance_reduction", "reason", "notes", "times", "study", "parameters", "labels", "scale", "start", "detail",
}  # fmt: skip


@pytest.fixture
def nothing_runs(monkeypatch):
    return forbid_simulation(monkeypatch)


class TestVerdicts:
    def test_supported(self, tmp_path):
        result = flatmin("verify", study(tmp_path))
        assert "drift (derived): supported: u = " in result.stdout
        assert "[1/1] drift (derived)  supported" in result.stderr

    def test_refuted(self, tmp_path):
        result = flatmin("verify", study(tmp_path, DRIFT + WRONG), status=1)
        assert "drift (derived): supported" in result.stdout
        assert re.search(r"twice[^:]*: refuted", result.stdout)

    def test_verbose_says_how(self, tmp_path):
        result = flatmin("verify", study(tmp_path), "--verbose")
        for said in ("hypothesis interpolation", r"lambda = .*: \d+ replicas of \d+ steps, error", "limit lambda -> 0"):
            assert re.search(said, result.stdout), said
        assert re.search(r"rival small-lr: refuted; differs", result.stdout)
        assert result.stdout.count("hypothesis interpolation") == 1

    def test_inconclusive(self, tmp_path):
        # A millisecond is over before anything is drawn.
        result = flatmin("verify", study(tmp_path, budget=0.001), status=3)
        assert re.search(r"drift \(derived\): inconclusive: .*about \d+ s would decide it", result.stdout)

    def test_learning_rate_outside_the_theory(self, tmp_path, nothing_runs):
        result = flatmin("verify", study(tmp_path, lr=5.0), status=3)
        assert "learning rate: algorithm.lr=5 must be below 2/h_max=0.4706" in result.stdout

    def test_refutation_outweighs_what_is_open(self, tmp_path):
        result = flatmin("verify", study(tmp_path, UNIT_COVARIANCE + DRIFT, margin=1e-7, budget=5), status=1)
        assert "covariance (conjecture): refuted" in result.stdout
        assert "drift (derived): inconclusive" in result.stdout

    def test_unreachable_target(self, tmp_path, nothing_runs):
        path = study(tmp_path, prediction="u**2", y=-1.0)
        began = time.perf_counter()
        result = flatmin("verify", path, "--json", tmp_path / "out.json", status=3)
        assert time.perf_counter() - began < 1
        assert "interpolation" in result.stdout
        (claim,) = strict(tmp_path / "out.json")["claims"]
        assert claim["verdict"] == "not-applicable"
        assert claim["predicted"] is claim["measured"] is claim["interval"] is claim["relative_error"] is None
        assert claim["assumptions"][-1]["name"] == "interpolation"
        assert claim["assumptions"][-1]["holds"] is False
        assert claim["replica_steps"] == 0
        assert claim["strengths"] == []


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    kinds = ("fixed-point", "drift", "covariance", "trajectory")
    path = study(folder, "".join(f'[[claim]]\nkind = "{k}"\n' for k in kinds) + WRONG)
    result = flatmin("verify", path, "--json", folder / "out.json", "--threads", 2, "--quiet", status=1)
    assert result.output == ""
    return path, strict(folder / "out.json")


class TestJson:
    def test_keys(self, written):
        path, document = written
        assert list(document)[:5] == ["flatmin", "study", "seed", "seconds", "claims"]
        assert list(document)[5:] == ["command", "machine", "commit", "studies"] or "commit" not in document
        assert document["study"] == str(path)
        assert document["seed"] == 3
        for claim in document["claims"]:
            assert CLAIM_KEYS <= claim.keys() <= CLAIM_KEYS | MORE_KEYS
            assert ("times" in claim) == (claim["kind"] == "trajectory")
            for entry in claim["assumptions"]:
                assert {"name", "holds", "value"} <= entry.keys()
            for rival in claim["rivals"]:
                assert {"theory", "predicted", "verdict"} <= rival.keys()

    def test_shapes(self, written):
        shapes = {"fixed-point": (2,), "drift": (2,), "covariance": (2, 2), "trajectory": (8, 2)}
        for claim in written[1]["claims"]:
            for key in ("predicted", "measured", "standard_error"):
                assert np.shape(claim[key]) == shapes[claim["kind"]]
            assert all(np.shape(r["predicted"]) == shapes[claim["kind"]] for r in claim["rivals"] if r["predicted"])
            assert len(claim["interval"]) == 2
            assert len(claim["strengths"]) == 4
        assert len(written[1]["claims"][3]["times"]) == 8

    def test_values(self, written):
        claims = written[1]["claims"]
        assert [c["verdict"] for c in claims] == ["supported"] * 4 + ["refuted"]
        assert claims[0]["predicted"] == pytest.approx([1.0, 1.0])
        # One lies where the other does: claims about one statistic share the data.
        assert claims[1]["measured"] == claims[4]["measured"]
        assert claims[4]["replica_steps"] == 0
        assert claims[4]["relative_error"] > claims[4]["margin"] == 0.05

    def test_threads_change_nothing(self, written, tmp_path):
        path, document = written
        flatmin("verify", path, "--json", tmp_path / "one.json", "--threads", 1, "--quiet", status=1)
        assert timeless(strict(tmp_path / "one.json")) == timeless(document)

    def test_file_is_replaced_whole(self, tmp_path):
        out = tmp_path / "out.json"
        out.write_text("x" * 100_000)
        link = tmp_path / "link.json"
        link.symlink_to(out)
        flatmin("verify", study(tmp_path), "--json", link, "--seed", 1)
        first = strict(out)
        flatmin("verify", study(tmp_path), "--json", out, "--seed", 2)
        assert link.is_symlink()
        assert (first["seed"], strict(out)["seed"]) == (1, 2)
        assert first["claims"][0]["measured"] != strict(out)["claims"][0]["measured"]
        assert sorted(os.listdir(tmp_path)) == ["link.json", "out.json", "study.toml"]


class TestOverrides:
    def test_all(self, tmp_path):
        path, out = study(tmp_path, margin=1e-4, budget=0.1), tmp_path / "out.json"
        options = ["--margin", 0.1, "--confidence", 0.9, "--budget", 20, "--seed", 7]
        flatmin("verify", path, *options, "--json", out)
        document = strict(out)
        (claim,) = document["claims"]
        assert (document["seed"], claim["margin"], claim["confidence"]) == (7, 0.1, 0.9)

    def test_budget(self, tmp_path):
        flatmin("verify", study(tmp_path), "--budget", 0.001, status=3)

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--margin", "2", "run.margin=2"),
            ("--margin", "nan", "run.margin=nan"),
            ("--confidence", "0.5", "run.confidence=0.5"),
            ("--budget", "0", "run.budget=0"),
            ("--budget", "inf", "run.budget=inf"),
            ("--seed", "-1", "run.seed=-1"),
            ("--seed", "1.5", "--seed"),
            ("--threads", "0", "--threads"),
            ("--fast", "1", "--fast"),
        ],
    )
    def test_bad_values(self, option, value, message, tmp_path, nothing_runs):
        result = flatmin("verify", study(tmp_path), f"{option}={value}", status=2)
        assert message in result.stderr
        assert result.stdout == ""


class TestRefusals:
    @pytest.mark.parametrize(("text", "field"), [h[1:] for h in HOSTILE_STUDIES], ids=[h[0] for h in HOSTILE_STUDIES])
    def test_hostile_study(self, text, field, tmp_path, monkeypatch, nothing_runs):
        monkeypatch.setattr(verification, "verify_each", nothing_runs)
        monkeypatch.chdir(tmp_path)
        Path("study.toml").write_text(text, encoding="utf-8")
        result = flatmin("verify", "study.toml", "--json", "out.json", status=2)
        assert result.stdout == ""
        assert result.stderr.startswith(f"flatmin: {field}")
        assert result.stderr.count("flatmin: ") == 1
        assert os.listdir(tmp_path) == ["study.toml"]

    @pytest.mark.parametrize("command", [["verify"], ["derive"], ["simulate", "--out", "out.npz"]])
    @pytest.mark.parametrize("name", ["missing.toml", ".", "binary.toml", "/dev/zero", "no\nname"])
    def test_paths(self, command, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("binary.toml").write_bytes(bytes(range(256)))
        result = flatmin(*command, name, status=2)
        assert result.stderr.startswith("flatmin: study=")
        assert result.stderr.count("\n") == 1
        assert os.listdir(tmp_path) == ["binary.toml"]


class TestResultsThatCannotBeWritten:
    @pytest.mark.parametrize(
        ("path", "message"), [("none/out.json", "there is no folder"), (".", "is a folder"), ("pipe", "no regular")]
    )
    def test_found_out_before_anything_runs(self, path, message, tmp_path, monkeypatch, nothing_runs):
        monkeypatch.chdir(tmp_path)
        os.mkfifo("pipe")
        result = flatmin("verify", study(tmp_path), "--json", path, status=4)
        assert result.stdout == ""
        assert re.fullmatch(rf"flatmin: --json='{re.escape(path)}' cannot be written: .*{message}.*\n", result.stderr)

    @pytest.mark.parametrize("quiet", [[], ["--quiet"]])
    def test_full_disk(self, quiet, tmp_path, monkeypatch):
        out = tmp_path / "out.json"
        out.write_text("before")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        result = flatmin("verify", study(tmp_path, DRIFT + WRONG), "--json", out, *quiet, status=4)
        # Every claim is decided, and shown even with --quiet: nowhere else are the results.
        assert "drift (derived): supported" in result.stdout
        assert re.search(r"twice[^:]*: refuted", result.stdout)
        assert result.stderr.splitlines()[-1].startswith(
            f"flatmin: --json='{out}' cannot be written: no space left on device"
        )
        assert out.read_text() == "before"
        assert sorted(os.listdir(tmp_path)) == ["out.json", "study.toml"]

    def test_space_that_comes_back(self, tmp_path, monkeypatch):
        real, calls = os.replace, []

        def once(*args):
            calls.append(args)
            if len(calls) == 1:
                raise OSError(28, "No space left on device")
            real(*args)

        monkeypatch.setattr(os, "replace", once)
        out = tmp_path / "out.json"
        flatmin("verify", study(tmp_path, DRIFT + WRONG), "--json", out, status=1)
        assert len(strict(out)["claims"]) == 2

    def test_interruption_of_the_write_itself(self, tmp_path, monkeypatch):
        real, calls = os.replace, []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == 1:
                raise KeyboardInterrupt
            real(*args)

        monkeypatch.setattr(os, "replace", interrupted)
        out = tmp_path / "out.json"
        result = flatmin("verify", study(tmp_path, DRIFT + WRONG), "--json", out, status=4)
        assert f"interrupted: 1 of 2 claims finished, kept in {out}" in result.stderr
        assert len(strict(out)["claims"]) == 1
