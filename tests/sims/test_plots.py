"""Figures: which of them a claim gets, their numbers, and text that means nothing to them."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from flatmin.sims import extras
from flatmin.sims.document import claim_entry
from flatmin.sims.plots import plots
from flatmin.sims.report.inline import Shapes
from flatmin.sims.report.words import figure_of, sentence
from flatmin.theory import InvalidInput
from made_results import HOSTILE, LADDER, claim, document, exponent_claim, fraction_claim

NAMES = {
    "drift": ["ladder", "values", "theories"],
    "covariance": ["ladder", "values", "ellipse", "entries", "theories"],
    "trajectory": ["ladder", "values", "path", "coordinates", "theories"],
    "escape-rate": ["ladder", "values", "theories"],
    "coupling": ["powers", "theories"],
    "reaches": ["fractions", "theories"],
    "tensor": ["ladder", "values", "theories"],
    "fixed-point": [],
}


def drawn(entry):
    return {plot.name: plot for plot in plots(claim_entry(entry))}


@pytest.mark.parametrize("entry", document()["claims"], ids=lambda e: e["kind"])
def test_every_shape_gets_its_figures(entry):
    made = drawn(entry)
    assert list(made) == NAMES[entry["kind"]]
    for plot in made.values():
        # The figure itself says what was decided.
        shown = " ".join(t.get_text() for t in plot.figure.texts)
        assert entry["verdict"] in shown
        assert "margin ±2 %" in shown
        assert len(list(csv.reader(io.StringIO(plot.csv())))) == len(plot.rows) + 1


def test_numbers_of_the_ladder():
    entry = claim("drift", [3.0, 4.0])
    rows = list(csv.DictReader(io.StringIO(drawn(entry)["ladder"].csv())))
    for row, rung, strength in zip(rows, entry["detail"]["rungs"], LADDER, strict=True):
        assert float(row["strength"]) == strength
        assert float(row["error_percent"]) == pytest.approx(100 * rung["error"])
        # Errors grow by 20 lambda; the noise is 1e-4, of which these are four standard errors.
        assert float(row["error_percent"]) == pytest.approx(2000 * strength, abs=0.04)
        z = (float(row["error_percent"]) - float(row["fit_percent"])) / float(row["standard_error_percent"])
        assert float(row["residual_in_standard_errors"]) == pytest.approx(z)


def test_the_fitted_law_goes_through_the_points():
    plot = drawn(exponent_claim(0.5, off=0.1))["powers"]
    # The data have the exponent 0.6; the prediction's line leaves them by a factor (10^1.5)^0.1 = 1.41 over the ladder.
    rows = list(csv.DictReader(io.StringIO(plot.csv())))
    measured = [float(r["value"]) for r in rows if r["what"] == "measured"]
    claimed = [float(r["value"]) for r in rows if r["what"] == "prediction: exponent 0.5"]
    assert claimed[0] == measured[0]
    assert measured[-1] / claimed[-1] == pytest.approx(10**0.15 * np.exp(0.1 - 0.1 * 10**-1.5))
    assert "fitted: exponent 0.6 as λ → 0" in [t.get_text() for t in plot.figure.legends[0].get_texts()]


def test_a_fraction_has_its_exact_interval():
    (row,) = csv.DictReader(io.StringIO(drawn(fraction_claim())["fractions"].csv()))
    # Of 400 runs that all end there: (0.001 / 2)^(1/400).
    assert float(row["low"]) == pytest.approx(0.0005 ** (1 / 400))
    assert float(row["high"]) == float(row["fraction"]) == 1
    assert row["runs"] == "400"


def test_the_ladder_says_of_which_part_the_interval_is():
    for interval, said in (([-1e-3, 1e-3], "limit"), ([0.0, 5e-3], "part across the prediction")):
        entry = claim("drift", [3.0, 4.0])
        entry["detail"]["limit"]["error"] = 0.0
        plot = drawn(entry | {"interval": interval})["ladder"]
        assert f"interval of the {said}" in [t.get_text() for t in plot.figure.legends[0].get_texts()]


def test_theories_are_as_far_as_they_are():
    rows = list(csv.DictReader(io.StringIO(drawn(claim("drift", [3.0, 4.0]))["theories"].csv())))
    assert [r["theory"] for r in rows] == ["paper (the claim)", "small-lr", "lambda x 2"]
    assert float(rows[1]["distance_percent"]) == pytest.approx(40, abs=0.1)
    assert float(rows[2]["distance_percent"]) == pytest.approx(100, abs=0.1)


def test_distances_are_over_the_scale_of_each_theory():
    """As verdicts are: a rival that is refuted at 40 % of the claim's scale may be 4 % off by its own."""
    entry = claim("drift", [3.0, 4.0])
    assert "within the margin" not in drawn(entry)["theories"].caption
    for rival in entry["rivals"]:
        rival["scale"] = 50.0
    plot = drawn(entry)["theories"]
    assert "within the margin" in plot.caption
    assert float(plot.rows[1][2]) == pytest.approx(4, abs=0.01)


def test_nothing_above_a_bound_is_an_error():
    made = {off: drawn(exponent_claim(0.5, off=off, bound=True)) for off in (0.1, -0.1)}
    assert made[0.1]["theories"].rows[0][0] == "paper (the claim, a bound)"
    assert made[0.1]["theories"].rows[0][2] == 0
    assert made[-0.1]["theories"].rows[0][2] > 10
    told = [t.get_text() for t in made[0.1]["powers"].figure.legends[0].get_texts()]
    assert "prediction: exponent at least 0.5" in told
    entry = claim_entry(exponent_claim(0.5, bound=True))
    assert "its exponent is at least this" in sentence(entry)
    assert figure_of(entry)[0][1] == "at least 0.5"


def test_names_may_hold_what_no_xml_can():
    entry = claim("drift", [3.0, 4.0], name="a\x00\x01\x1bb\ud800", labels=["u\x01", "v"])
    for plot in drawn(entry).values():
        Shapes().figure(plot.svg)


def test_the_ellipse_is_one_standard_deviation():
    s = np.array([[2.0, 1.0], [1.0, 3.0]])
    rows = [r for r in drawn(claim("covariance", s.tolist()))["ellipse"].rows if r[0] == "prediction"]
    for _, x, y in rows:
        point = np.array([x, y])
        assert point @ np.linalg.solve(s, point) == pytest.approx(1.0)


@pytest.mark.parametrize("missing", ["detail", "scale rivals", "standard_error parameters start"])
def test_older_results_lack_keys(missing):
    for entry in document()["claims"][:3]:
        less = {k: v for k, v in entry.items() if k not in missing.split()}
        assert set(drawn(less)) <= set(NAMES[entry["kind"]])


def test_hostile_names_are_text():
    for entry in document()["claims"][2:3]:
        rivals = [{**r, "theory": HOSTILE} for r in entry["rivals"]]
        hostile = {**entry, "name": HOSTILE, "study": HOSTILE, "parameters": [HOSTILE, "v"], "rivals": rivals}
        for plot in drawn(hostile).values():
            shapes = Shapes()
            text = f"<div>{shapes.figure(plot.svg)}{shapes.definitions}</div>"
            tags = {e.tag.rpartition("}")[2] for e in ElementTree.fromstring(text).iter()}
            assert not tags & {"script", "img", "image", "a", "foreignObject"}
            assert "alert" not in re.sub(r'"[^"]*"', "", text)


def test_cells_are_no_formulas_of_a_spreadsheet():
    entry = claim("drift", [1.0, 2.0], parameters=["=1+1", "v"])
    assert "'=1+1" in drawn(entry)["values"].csv()


def test_the_same_numbers_give_the_same_bytes():
    first, second = (drawn(claim("drift", [1.0, 2.0]))["ladder"].svg for _ in range(2))
    assert first == second


def test_figures_of_a_page_share_their_letters():
    shapes = Shapes()
    drawings = [drawn(claim("drift", [1.0, 2.0]))["ladder"].svg, drawn(claim("drift", [1.0, 2.5]))["ladder"].svg]
    first, second = map(shapes.figure, drawings)
    page = ElementTree.fromstring(f"<div>{first}{second}{shapes.definitions}</div>")
    ids = [e.get("id") for e in page.iter() if e.get("id")]
    assert len(ids) == len(set(ids)) > 20
    links = [v for e in page.iter() for k, v in e.attrib.items() if k in ("href", "clip-path")]
    assert {re.sub(r"[#()]|url", "", v) for v in links} == set(ids)  # each is there, and none for nothing
    assert "var(--ink)" in first
    # What the second needs beside the first is a few labels.
    alone = Shapes()
    alone.figure(drawings[1])
    assert len(shapes.definitions) < 1.3 * len(alone.definitions)
    assert len(first) < 0.25 * len(drawings[0])


def test_letters_keep_their_size():
    svg = (
        '<svg viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        '<g id="a"><!-- no --><g style="fill: #1d1d1b" transform="translate(1.2345 2) scale(0.125 -0.125)"><defs>'
        '<path id="x" d="M 0 0.1234&#10;z" transform="scale(0.015625)"/></defs><use xlink:href="#x"/>'
        '<use xlink:href="#x" transform="translate(50.125 0)"/></g></g></svg>'
    )
    shapes = Shapes()
    assert shapes.figure(svg) == (
        '<svg viewBox="0 0 9 9">'
        '<use href="#s1" style="fill:var(--ink)" transform="translate(1.23 2) scale(0.125 -0.125)"/></svg>'
    )
    assert shapes.definitions.endswith(
        '<defs><path id="s0" d="M 0 0.12 z" transform="scale(0.015625)"/>'
        '<g id="s1"><use href="#s0"/><use href="#s0" transform="translate(50.12 0)"/></g></defs></svg>'
    )


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        InvalidInput, match=r"needs matplotlib, which is not installed; pip install 'flatmin\[report\]'"
    ):
        next(plots(claim_entry(claim("drift", [1.0]))))
