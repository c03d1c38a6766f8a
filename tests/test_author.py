"""What helps to write studies and to use them elsewhere: init, schema, completion, assert_supported, xarray."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from cli_runs import WRONG, flatmin, study
from flatmin.sims import Kernel, assert_supported, catalogue, ensemble_to_xarray, simulate, verdict_to_xarray, verify
from flatmin.sims.cli_edge import loading
from flatmin.sims.template import TEMPLATE
from flatmin.theory import Claim, InvalidInput
from flatmin.theory.file_schema import json_schema, keys
from flatmin.theory.study import read_study
from hostile import HOSTILE_STUDIES

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


class TestInit:
    def test_the_file_is_a_study_that_shows_every_table(self, tmp_path):
        path = tmp_path / "mine.toml"
        assert "flatmin verify" in flatmin("init", path).stdout
        one = read_study(path)
        assert [c.kind for c in one.claims] == ["fixed-point", "fixed-point", "drift"]
        text = path.read_text()
        tables = {key for key, _, default in keys() if not default and "." not in key} - {"about", "claim"}
        assert all(f"[{table}]" in text for table in tables)
        VALIDATOR.validate(tomllib.loads(text))

    def test_every_key_occurs(self):
        """Under its table, in a comment or not; with every word that a key of words takes."""
        table, seen = "", {"start"}
        for line in TEMPLATE.splitlines():
            if header := re.match(r"(?:# )?\[+([a-z.]+)\]", line):
                table = header[1]
                seen.add(table)
            elif key := re.match(r"(?:# )?([a-z_]+) *= ", line):
                seen.add(f"{table}.{key[1]}")
        assert {key for key, _, _ in keys()} <= seen
        words = re.findall(r"'enum': (\[.*?\])", str(json_schema()))
        assert len(words) > 6
        for word in (word for some in words for word in ast.literal_eval(some)):
            assert f'"{word}"' in TEMPLATE

    def test_what_is_in_comments_can_stand_there(self):
        text = re.sub(r"^# (?=\[|[a-z_]+ *= )", "", TEMPLATE, flags=re.MULTILINE)
        VALIDATOR.validate(tomllib.loads(text))

    def test_nothing_is_overwritten(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text("precious")
        assert "exists; give another name" in flatmin("init", path, status=2).stderr
        assert path.read_text() == "precious"

    def test_a_folder_that_is_not_there(self, tmp_path):
        assert "FILE" in flatmin("init", tmp_path / "no" / "mine.toml", status=4).stderr


class TestSchema:
    def test_it_is_one(self):
        printed = json.loads(flatmin("schema").stdout)
        jsonschema.Draft202012Validator.check_schema(printed)
        assert printed == json_schema()

    @pytest.mark.parametrize("name", catalogue.names())
    def test_it_takes_every_study_of_the_catalogue(self, name):
        path = os.path.join(os.path.dirname(catalogue.__file__), f"{name}.toml")
        with open(path, "rb") as file:
            VALIDATOR.validate(tomllib.load(file))

    def test_what_it_refuses_is_refused(self):
        """Never stricter than the reader; and it catches a good part of what a person gets wrong."""
        refused = 0
        for _, text, _ in HOSTILE_STUDIES:
            if len(text) > 2000:  # bombs that Python's own reader does not survive
                continue
            try:
                document = tomllib.loads(text)
            except ValueError:
                continue
            refused += not VALIDATOR.is_valid(document)
        assert refused > 30

    def test_every_key_has_words(self):
        assert all(meaning for _, meaning, _ in keys())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    assert "_FLATMIN_COMPLETE" in flatmin("completion", shell).stdout


def test_names_of_the_catalogue_are_completed():
    from click.shell_completion import ShellComplete
    from flatmin.sims import cli

    found = ShellComplete(cli.main, {}, "flatmin", "_FLATMIN_COMPLETE").get_completions(["verify"], "uv")
    assert {item.value for item in found} >= {"uv", "uv-exact-decay"}


def test_help_and_init_load_neither_numba_nor_sympy():
    code = "import sys; from flatmin.sims.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    assert not loaded & {"numba", "sympy", "scipy", "numpy", "pydantic", "rich"}


def test_what_decides_does_not_load_what_it_may_not_need():
    code = (
        "import sys; import flatmin.sims.verification, flatmin.sims.outputs, flatmin.sims.display; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "llvmlite" in loaded
    assert not loaded & {"numba", "scipy.stats", "scipy.interpolate", "matplotlib", "jinja2"}


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_a_terminal_is_told_at_once_that_it_has_begun(monkeypatch, terminal, quiet):
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", written)
    with loading(quiet):
        assert ("loading" in written.getvalue()) == (terminal and not quiet)
    # The word is gone before anything else is shown.
    assert written.getvalue() in ("", "loading ...\r\x1b[K")


class TestAssertSupported:
    def test_both_outcomes(self, tmp_path):
        (verdict,) = assert_supported(study(tmp_path), seed=4)
        assert verdict.verdict == "supported"
        with pytest.raises(AssertionError, match=r"study: 1 of 1 claims not supported\ntwice: refuted: "):
            assert_supported(read_study(study(tmp_path, WRONG)))

    def test_not_applicable_fails_too(self, tmp_path):
        with pytest.raises(AssertionError, match="learning rate"):
            assert_supported(study(tmp_path, lr=5.0))

    def test_a_bad_option(self, tmp_path):
        with pytest.raises(InvalidInput, match=r"run\.margin=2"):
            assert_supported(study(tmp_path), margin=2.0)


class TestXarray:
    def test_ensemble(self, tmp_path):
        one = read_study(study(tmp_path))
        sigmas = one.algorithm.sigmas(one.model)
        run = simulate(Kernel.for_model(one.model), one.algorithm, sigmas, [2.0, 0.5], replicas=5, schedule=[0, 7])
        data = ensemble_to_xarray(run, ["u", "v"])
        assert data.theta.dims == ("step", "parameter", "replica")
        assert data.theta.sel(step=0, parameter="v").values.tolist() == [0.5] * 5
        assert data.step.attrs == {"units": "steps"}
        with pytest.raises(InvalidInput, match="parameters="):
            ensemble_to_xarray(run, ["u"])

    def test_verdicts(self, tmp_path):
        one = read_study(study(tmp_path))
        claims = [Claim("drift"), Claim("covariance"), Claim("trajectory")]
        drift, covariance, path = verify(one.model, one.algorithm, start=one.start, claims=claims, margin=0.1)
        data = verdict_to_xarray(drift)
        assert data.predicted.dims == ("parameter",)
        assert float(data.measured.sel(parameter="u")) == drift.measured[0]
        assert data.measured.attrs == {"long_name": "drift", "units": "1 per step"}
        assert verdict_to_xarray(replace(drift, claim=Claim("escape"))).predicted.units == "1 per step"
        assert verdict_to_xarray(covariance).predicted.units == "1"
        assert data.attrs["verdict"] == "supported"
        assert verdict_to_xarray(covariance).measured.sel(parameter="u", other="v").size == 1
        assert verdict_to_xarray(path).predicted.dims == ("step", "parameter")
        assert np.all(verdict_to_xarray(path).step.values == path.times)
        with pytest.raises(InvalidInput, match="has no numbers"):
            verdict_to_xarray(replace(drift, predicted=None, verdict="not-applicable"))

    def test_the_missing_package_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "xarray", None)
        with pytest.raises(ImportError, match=r"flatmin\[io\]"):
            ensemble_to_xarray(None, [])
