"""The figures of the paper: scripts that run alone, short enough to be read, with right numbers in them."""

from __future__ import annotations

import csv
from importlib import import_module
from pathlib import Path

import pytest
from cli_runs import flatmin, forbid_simulation
from click.testing import CliRunner
from flatmin.sims import extras, figures
from flatmin.sims.cli_report import _FIGURES
from flatmin.sims.plots.style import new_figure

FOLDER = Path(figures.__file__).parent


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_is_a_script_that_can_be_read():
    scripts = {p.stem for p in FOLDER.glob("*.py")} - {"__init__", "script"}
    assert scripts == set(_FIGURES)
    for name in scripts:
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 80
        module = import_module(f"flatmin.sims.figures.{name}")
        shown = CliRunner().invoke(module.main, ["--help"])
        assert shown.exit_code == 0
        assert "Damian, Ma, Lee (2021)" in " ".join(shown.output.split())


def test_the_command_writes_three_files_each(tmp_path, monkeypatch):
    def drawn(seed):
        figure = new_figure()
        figure.subplots(1, 1).plot([0, 1], [0, seed])
        return figures.Drawn(figure, "A line.", ("x", "y"), [(0, 0), (1, seed)])

    monkeypatch.setattr(figures, "drawer", lambda name: drawn)
    flatmin("figures", tmp_path / "new", "--only", "escape", "--only", "coupling", "--seed", "5")
    written = sorted(p.name for p in (tmp_path / "new").iterdir())
    assert written == sorted(f"{n}.{e}" for n in ("escape", "coupling") for e in ("svg", "pdf", "csv"))
    assert table(tmp_path / "new" / "escape.csv")[1] == {"x": "1", "y": "5"}


def test_one_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("flatmin.sims.figures.mechanism.SLOW_TIME", 0.2)
    flatmin("figures", tmp_path, "--only", "mechanism", "--quiet")
    first, *_, last = table(tmp_path / "mechanism.csv")
    assert float(last["mean_u"]) == pytest.approx(float(last["flow_u"]), abs=0.01)
    assert float(first["mean_u"]) - float(last["mean_u"]) > 0.1
    assert float(last["plain_u"]) == pytest.approx(3.0, abs=1e-9)


@pytest.mark.slow
def test_large_learning_rates(tmp_path):
    """The closed form is right and the limit of small rates wrong, by the theorem's factor 2/(2 - eta h)."""
    flatmin("figures", tmp_path / "new", "--only", "large_lr", "--quiet")
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"large_lr.svg", "large_lr.pdf", "large_lr.csv"}
    rows = table(tmp_path / "new" / "large_lr.csv")
    for row in rows:
        product, ratio, error = (float(row[k]) for k in ("eta_h", "ratio", "standard_error"))
        # Five standard errors, and what the extrapolation leaves: verdicts have a margin of 2 %.
        assert ratio == pytest.approx(2 / (2 - product), abs=5 * error + 0.002 * ratio)
        assert row["verdict_paper"] == "supported"
        assert row["verdict_small_lr"] == "refuted"
    assert (tmp_path / "new" / "large_lr.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_all_of_them(tmp_path):
    flatmin("figures", tmp_path)
    residuals = table(tmp_path / "coupling.csv")
    for name, power in (("1/(eta lambda) steps", 0.5), ("100 steps", 1.0)):
        ends = [(float(r["lambda"]), float(r["largest_residual"])) for r in residuals if r["horizon"] == name][-2:]
        (big, larger), (small, smaller) = ends
        # From a quarter of lambda: the power to within 0.1, where the standard errors are 3 %.
        assert smaller / larger == pytest.approx((small / big) ** power, rel=0.15)
    escape = table(tmp_path / "escape.csv")
    for start in {r["start"] for r in escape}:
        noisy, plain = (
            [r for r in escape if r["start"] == start and (float(r["sigma"]) > 0) == n] for n in (True, False)
        )
        assert float(noisy[-1]["median_error"]) < 0.4 * float(plain[-1]["median_error"])
        assert float(noisy[-1]["median_tr_hess"]) < 0.3 * float(plain[-1]["median_tr_hess"])
        # Without label noise it stays: to six digits.
        assert float(plain[-1]["median_error"]) == pytest.approx(float(plain[0]["median_error"]), rel=1e-6)
    path = table(tmp_path / "mechanism.csv")
    assert float(path[-1]["mean_u"]) == pytest.approx(1.0, abs=0.02)
    assert float(path[-1]["plain_u"]) == pytest.approx(3.0, abs=1e-9)
    speeds = table(tmp_path / "momentum.csv")
    told = {(r["beta"], r["what"]): float(r["speed"]) for r in speeds}
    for beta, what in told:
        if what == "closed form":
            assert told[beta, "measured"] == pytest.approx(told[beta, what], rel=0.02)
        elif what == "plain R":
            assert told[beta, "measured"] != pytest.approx(told[beta, what], rel=0.2)


def test_bad_input(tmp_path, monkeypatch):
    forbid_simulation(monkeypatch)
    assert "is not one of" in flatmin("figures", tmp_path, "--only", "nothing", status=2).stderr
    (tmp_path / "file").write_text("")
    assert "DIR=" in flatmin("figures", tmp_path / "file", status=4).stderr
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert "pip install 'flatmin[report]'" in flatmin("figures", tmp_path / "new", status=2).stderr
