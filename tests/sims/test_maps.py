"""The map of linear scaling: its numbers, going on where it was cut, its figure, and bad input."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from cli_runs import DRIFT, flatmin, forbid_simulation, strict, study
from flatmin.sims import maps
from flatmin.theory.study import read_study

GRID = ("--eta-h", "0.4,1.2", "--batches", "full,1", "--no-figure", "--quiet", "--budget", "600", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished map of u v = 1 at (2, 1/2)."""
    folder = tmp_path_factory.mktemp("map")
    flatmin("map", study(folder, DRIFT), "--out", folder / "out", *GRID)
    return folder


def test_numbers(folder):
    """One sample: batches make no difference, and with h = h_max the drift is that of tr(H)/4 over 1 - eta h/2."""
    rows = strict(folder / "out" / "map.json")["rows"]
    assert [(r["eta_h"], r["batch_size"]) for r in rows] == [(0.4, "full"), (1.2, "full"), (0.4, 1), (1.2, 1)]
    for row in rows:
        x = row["eta_h"]
        assert row["lr"] == pytest.approx(x / 4.25)
        assert row["regularizer_error"] == pytest.approx(-2 * np.log(1 - x / 2) / x - 1)
        assert row["predicted"] == pytest.approx(1 / (1 - x / 2) - 1)
        # Supported at a margin of 5 %.
        assert row["measured"] == pytest.approx(row["predicted"], abs=0.05)
        assert (row["verdict_small_lr"], row["verdict_derived"]) == ("refuted", "supported")


def test_csv_says_the_same(folder):
    with (folder / "out" / "map.csv").open() as file:
        read = list(csv.DictReader(file))
    rows = strict(folder / "out" / "map.json")["rows"]
    assert [float(r["measured"]) for r in read] == [r["measured"] for r in rows]
    assert tuple(read[0]) == maps.COLUMNS


def test_finished_cells_are_not_run_again(folder, monkeypatch):
    before = (folder / "out" / "map.csv").read_bytes()
    forbid_simulation(monkeypatch)
    flatmin("map", folder / "study.toml", "--out", folder / "out", *GRID)
    assert (folder / "out" / "map.csv").read_bytes() == before


def test_another_order_of_inputs_is_another_map(tmp_path):
    model = '[model]\nparameters = ["u"]\ninputs = ["a", "b"]\nprediction = "u*a + b"\n'
    data = "[data]\nx = [[1.0, 2.0]]\ny = [3.0]\n[algorithm]\nlr = 0.1\nbatch_size = 1\n"
    rest = '[algorithm.noise]\nkind = "label"\nsigma = 0.1\n[start]\nu = 1.0\n[[claim]]\nkind = "drift"\n'
    digests = []
    for name, order in (("one", '"a", "b"'), ("same", '"a", "b"'), ("other", '"b", "a"')):
        path = tmp_path / f"{name}.toml"
        path.write_text((model + data + rest).replace('"a", "b"', order))
        digests.append(maps._digest(read_study(path), 1.0))
    assert digests[0] == digests[1] != digests[2]


def test_another_start_is_another_map(folder, monkeypatch):
    refuse = forbid_simulation(monkeypatch)
    text = (folder / "study.toml").read_text().replace("u = 2.0", "u = 1.9")
    other = folder / "other.toml"
    other.write_text(text)
    with pytest.raises(AssertionError, match="something runs"):
        flatmin("map", other, "--out", folder / "out", *GRID)
    assert refuse


def test_a_cell_outside_of_the_theory_says_why(folder):
    flatmin("map", folder / "study.toml", "--out", folder / "far", "--eta-h", "2.5", *GRID[2:])
    (row, _) = strict(folder / "far" / "map.json")["rows"]
    assert row["measured"] is None
    assert "2/h_max" in row["reason"]


def test_figure(folder):
    pytest.importorskip("matplotlib")
    rows = strict(folder / "out" / "map.json")["rows"]
    figure = maps.drawn(rows, "uv")
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(texts) == 3 * 4  # n/B = 1 and full
    assert "25" in texts  # 1/(1 - 0.2) - 1 in percent


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--eta-h", "0.4,x", "--eta-h='x' must be a number"),
        ("--eta-h", "0", "--eta-h=0 must be positive"),
        ("--eta-h", "nan", "--eta-h=nan must be finite"),
        ("--batches", "half", "--batches='half' must be"),
        ("--batches", "0", "--batches='0' must be"),
    ],
)
def test_bad_options(tmp_path, option, value, message):
    result = flatmin("map", study(tmp_path, DRIFT), "--out", tmp_path / "out", option, value, "--no-figure", status=2)
    assert message in result.output


def test_without_label_noise(tmp_path):
    path = study(tmp_path, DRIFT)
    path.write_text(path.read_text().replace('kind = "label"\nsigma = 0.1', 'kind = "none"'))
    assert read_study(path).algorithm.noise.sigma == 0
    result = flatmin("map", path, "--out", tmp_path / "out", "--no-figure", status=2)
    assert "must be label noise" in result.output
