"""The command line at its edges: interruptions, help, and the commands beside `verify`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_runs import DRIFT, SHELL, UNIT_COVARIANCE, flatmin, forbid_simulation, strict, study
from click.testing import CliRunner
from flatmin.sims import catalogue, cli, verification
from flatmin.theory import NotApplicable, derivation


@pytest.fixture
def nothing_runs(monkeypatch):
    return forbid_simulation(monkeypatch)


class TestInterruptions:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_finished_claims_are_kept(self, number, tmp_path):
        # The second claim would take its whole budget.
        long = '[[claim]]\nkind = "trajectory"\n'
        path, out = study(tmp_path, UNIT_COVARIANCE + long, margin=2e-4, lr=0.02, budget=100.0), tmp_path / "out.json"
        command = [*SHELL, "verify", str(path), "--json", str(out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if "[2/2] trajectory (derived)  lambda" in line:
                    break
            process.send_signal(number)
            began = time.perf_counter()
            stdout, stderr = process.communicate(timeout=30)
            # A compiled call takes 0.2 s; the rest is room for a busy machine.
            assert time.perf_counter() - began < 4
        assert process.returncode == 4
        assert stderr.splitlines()[-1] == f"flatmin: interrupted: 1 of 2 claims finished, kept in {out}"
        assert "Traceback" not in stderr
        assert "covariance (conjecture): refuted" in stdout
        assert [c["verdict"] for c in strict(out)["claims"]] == ["refuted"]

    def test_while_it_compiles(self, tmp_path):
        path = study(tmp_path)
        command = [*SHELL, "verify", str(path)]
        environment = {**os.environ, "FLATMIN_CACHE_DIR": str(tmp_path / "cache")}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            for line in process.stderr:
                if "compiling" in line:
                    break
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 4
        assert stderr == "flatmin: interrupted: 0 of 1 claims finished\n"
        assert stdout == ""
        assert not list((tmp_path / "cache").glob("*"))

    def test_closed_pipe(self, tmp_path):
        shell = f"'{SHELL[0]}' -c '{SHELL[2]}' claims | true; exit ${{PIPESTATUS[0]}}"
        result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (4, "")


class TestInternalErrors:
    """A bug must not be read as a refutation, whose status is 1."""

    @pytest.fixture
    def broken_at_the_second(self, monkeypatch):
        real = verification.verify_each

        def broken(*args, **kwargs):
            yield next(iter(real(*args, **kwargs)))
            raise ZeroDivisionError("division\nby zero")

        monkeypatch.setattr(verification, "verify_each", broken)

    def test_status_and_finished_claims(self, tmp_path, monkeypatch, broken_at_the_second):
        monkeypatch.delenv("FLATMIN_TRACEBACK", raising=False)
        out = tmp_path / "out.json"
        result = flatmin("verify", study(tmp_path, UNIT_COVARIANCE + DRIFT), "--json", out, status=4)
        assert result.stderr.splitlines()[-1] == "flatmin: internal error: ZeroDivisionError: division by zero"
        assert "covariance (conjecture): refuted" in result.stdout
        assert [c["verdict"] for c in strict(out)["claims"]] == ["refuted"]

    @pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
    def test_traceback_on_request(self, value, shown, tmp_path, monkeypatch):
        def fail(*_):
            raise KeyError("u")

        monkeypatch.setenv("FLATMIN_TRACEBACK", value)
        monkeypatch.setattr(derivation, "derive", fail)
        result = CliRunner().invoke(cli.main, ["derive", str(study(tmp_path))])
        assert result.exit_code == 4
        lines = result.stderr.splitlines()
        assert lines[-1] == "flatmin: internal error: KeyError: 'u'"
        assert (len(lines) > 1) == shown == ("Traceback" in result.stderr)

    def test_error_without_a_message(self, tmp_path, monkeypatch):
        def fail(*_):
            raise RuntimeError

        monkeypatch.setattr(derivation, "derive", fail)
        result = flatmin("derive", study(tmp_path), status=4)
        assert result.stderr == "flatmin: internal error: RuntimeError\n"

    def test_broken_installation(self, tmp_path, monkeypatch):
        # Then the import fails, and again where the error is explained.
        monkeypatch.setitem(sys.modules, "flatmin.sims.replay", None)
        monkeypatch.setitem(sys.modules, "flatmin.theory.report", None)
        result = flatmin("derive", study(tmp_path), status=4)
        assert re.fullmatch(r"flatmin: internal error: ModuleNotFoundError: .*flatmin.theory.report.*\n", result.stderr)


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["verify"], ["derive"], ["simulate"], ["claims"]])
    def test_every_command_has_help(self, command):
        assert flatmin(*command, "--help").stdout.startswith("Usage: ")

    def test_help_waits_for_no_heavy_import(self):
        code = "import sys, flatmin.sims.cli; print(sorted({'numba', 'scipy', 'sympy', 'rich'} & set(sys.modules)))"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout == "[]\n"

    def test_version(self):
        assert re.search(r"\d+\.\d+", flatmin("--version").stdout)

    def test_catalogue(self):
        shown = flatmin("claims").stdout
        assert all(re.search(rf"^{name}  Model", shown, re.MULTILINE) for name in catalogue.names())


class TestCatalogue:
    def test_all_studies_in_one_run(self, tmp_path, monkeypatch, nothing_runs):
        path = study(tmp_path, lr=5.0)
        monkeypatch.setattr(catalogue, "names", lambda: ("one", "two"))
        monkeypatch.setattr(catalogue, "load", lambda _: cli._named(str(path)))
        result = flatmin("verify", "--json", tmp_path / "out.json", status=3)
        document = strict(tmp_path / "out.json")
        assert document["study"] == "catalogue"
        assert [c["study"] for c in document["claims"]] == ["study", "study"]
        assert result.stdout.count("learning rate: algorithm.lr=5") == 2

    def test_one_study_by_its_name(self, tmp_path):
        flatmin("verify", "uv", "--margin", 0.1, "--json", tmp_path / "out.json")
        assert strict(tmp_path / "out.json")["study"] == "uv"


class TestDerive:
    def test_forms(self, tmp_path):
        path = study(tmp_path)
        assert "R = -(1/(2 eta)) tr log(1 - (eta/2) H)" in flatmin("derive", path).stdout
        assert flatmin("derive", path, "--latex").stdout.startswith(r"\documentclass{article}")
        document = json.loads(flatmin("derive", path, "--json").stdout)
        assert document["parameters"] == ["u", "v"]
        assert [r["theta"] for r in document["roots"]]

    def test_failed_assumption(self, tmp_path, monkeypatch):
        def fail(*_):
            raise NotApplicable("smoothness", "a derivative is not finite")

        monkeypatch.setattr(derivation, "derive", fail)
        result = flatmin("derive", study(tmp_path), status=3)
        assert result.stderr == "flatmin: not-applicable: smoothness: a derivative is not finite\n"


class TestSimulate:
    def test_files(self, tmp_path):
        options = ["--replicas", 40, "--steps", 500, "--records", 10, "--paths", 3, "--seed", 5]
        path, out = study(tmp_path), tmp_path / "out.npz"
        result = flatmin("simulate", path, "--out", out, *options, "--threads", 1)
        assert f"wrote {out} and {tmp_path / 'out.json'}" in result.stdout
        with np.load(out) as data:
            first = dict(data)
        shapes = {"steps": (11,), "mean": (11, 2), "covariance": (11, 2, 2), "paths": (11, 2, 3), "status": (40,)}
        assert {k: v.shape for k, v in first.items()} == shapes
        assert np.all(first["status"] == -1)
        made = strict(tmp_path / "out.json")
        assert (made["seed"], made["replicas"], made["steps"], made["start"]) == (5, 40, 500, [2.0, 0.5])
        assert flatmin("simulate", path, "--out", out, *options, "--threads", 2, "--quiet").output == ""
        with np.load(out) as data:
            assert all(np.array_equal(first[k], data[k]) for k in first)

    def test_replicas_that_leave(self, tmp_path):
        result = flatmin("simulate", study(tmp_path, lr=5.0), "--out", tmp_path / "out.npz")
        assert "1024 of them left the bounds" in result.stdout
        assert strict(tmp_path / "out.json")["out_of_bounds"] == 1024
        with np.load(tmp_path / "out.npz") as data:
            assert np.isnan(data["mean"]).all()  # nobody is left to average
            assert np.all(data["status"] >= 0)

    @pytest.mark.parametrize(
        ("out", "options", "status", "message"),
        [
            ("out.txt", [], 2, "must end in .npz"),
            ("none/out.npz", [], 4, "there is no folder"),
            ("folder.npz", [], 4, "is a folder"),
            ("out.npz", ["--replicas=1000000", "--paths=1000000", "--records=10000"], 2, "paths=1000000"),
            ("out.npz", ["--steps=0"], 2, "--steps"),
        ],
    )
    def test_refusals(self, out, options, status, message, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("folder.npz").mkdir()
        result = flatmin("simulate", study(tmp_path), "--out", out, *options, status=status)
        assert message in result.stderr
        assert sorted(os.listdir(tmp_path)) == ["folder.npz", "study.toml"]
