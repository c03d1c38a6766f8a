"""Verdicts as text, LaTeX, JSON and rows of a table. The numbers here are made up: nothing is simulated."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pytest
from flatmin.sims import cli
from flatmin.sims.detail import plain
from flatmin.sims.display import verdict_table
from flatmin.sims.extrapolate import Rung, extrapolate
from flatmin.sims.jsonfile import finite, study_json
from flatmin.sims.results import INDISTINGUISHABLE, RivalVerdict, Verdict
from flatmin.theory import Claim, InvalidInput
from flatmin.theory.assumptions import Assumption
from rich.console import Console

DRIFT = Verdict(
    claim=Claim("drift"),
    parameters=("theta_1", "b"),
    verdict="supported",
    reason="",
    predicted=np.array([-6.138e-4, 1.5]),
    measured=np.array([-6.12e-4, 1.51]),
    standard_error=np.array([3e-6, 0.01]),
    relative_error=0.003,
    interval=(-0.0125, 0.02),
    margin=0.05,
    confidence=0.999,
    assumptions=(Assumption("interpolation", True, 0.0, "min L = 0"),),
    rivals=(
        RivalVerdict("small-lr", np.array([1.0, 2.0]), "refuted", True),
        RivalVerdict("paper", np.array([-6.138e-4, 1.5]), "supported", False),
        RivalVerdict("lambda x 2", None, "not-applicable", False, "why"),
    ),
    replica_steps=1000,
    seconds=0.5,
    strengths=(0.1, 0.2),
    labels=("theta_1", "b"),
)
COVARIANCE = replace(
    DRIFT,
    claim=Claim("covariance", name="50 % of #1 & {a_b}^2 \\ $x$ ~ <i>"),
    predicted=np.eye(2),
    measured=2 * np.eye(2),
    standard_error=0.1 * np.eye(2),
    verdict="refuted",
    labels=(),
)
NOT_APPLICABLE = replace(
    DRIFT,
    verdict="not-applicable",
    reason="learning rate=21.2: lr*h_max must be below 2",
    predicted=None,
    measured=None,
    standard_error=None,
    interval=None,
    relative_error=math.nan,
    rivals=(),
)
UNMEASURED = replace(
    DRIFT,
    verdict="inconclusive",
    reason="the budget of 1 s is too small",
    measured=None,
    standard_error=None,
    interval=None,
    relative_error=math.nan,
    strengths=(),
)
TRAJECTORY = replace(
    COVARIANCE,
    claim=Claim("trajectory"),
    verdict="inconclusive",
    reason="the interval crosses the margin",
    times=np.array([1.0, 2.0]),
)
ALL = [DRIFT, COVARIANCE, NOT_APPLICABLE, UNMEASURED, TRAJECTORY]


class TestText:
    def test_values_and_error(self):
        assert str(DRIFT) == (
            "supported: theta_1 = -0.0006138 predicted, -0.000612 +- 3e-06 measured, "
            "b = 1.5 predicted, 1.51 +- 0.01 measured; "
            "error in [-1.25, +2] % at confidence 0.999, margin 5 %"
        )

    def test_matrix_is_shown_by_its_norm(self):
        assert "norm 1.4142 predicted, 2.8284 +- 0.1 measured" in str(COVARIANCE)

    def test_reason(self):
        assert str(NOT_APPLICABLE) == ("not-applicable: learning rate=21.2: lr*h_max must be below 2")
        assert str(UNMEASURED) == "inconclusive: the budget of 1 s is too small"
        assert str(TRAJECTORY).endswith("; the interval crosses the margin")

    def test_many_parameters_are_cut(self):
        many = np.arange(1.0, 31.0)
        names = tuple(f"p{i}" for i in range(30))
        verdict = replace(DRIFT, labels=names, predicted=many, measured=many, standard_error=many)
        assert "p11 =" in str(verdict)
        assert "p12 =" not in str(verdict)
        assert "and 18 more" in str(verdict)
        assert r"\text{and 18 more}" in verdict._repr_latex_()

    @pytest.mark.parametrize("verdict", ALL)
    def test_repr_is_one_line_of_text(self, verdict):
        assert repr(verdict) == f"<{verdict.claim.title}: {verdict}>"
        assert "\n" not in str(verdict)
        assert "nan" not in str(verdict)
        assert "None" not in str(verdict)


def check_latex(text):
    """Balanced; outside of \\text no letter stands that is no command's or symbol's; inside no special character."""
    assert text.startswith("$")
    assert text.endswith("$")
    body = text[1:-1]
    depth = 0
    for token in re.findall(r"\\.|[{}$]", body):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
        assert token != "$"  # mathematics would end here
    assert depth == 0
    for inside in re.findall(r"\\text\{([^}]*)\}", body):
        assert not re.search(r"[\\{}_^&%#$~]", inside)
    for special in "%#&":
        assert not re.search(rf"(?<!\\){special}", body)
    assert not re.search(r"\d[eE][-+]?\d", re.sub(r"\\text\{[^}]*\}", "", body))


class TestLatex:
    @pytest.mark.parametrize("verdict", ALL)
    def test_is_valid(self, verdict):
        check_latex(verdict._repr_latex_())

    def test_values(self):
        text = DRIFT._repr_latex_()
        expected = r"\theta_{1} = -0.0006138 \text{ predicted},\; -0.000612 \pm 3 \cdot 10^{-6} \text{ measured}"
        assert expected in text
        assert r"b = 1.5" in text
        assert r" \\ " in text

    def test_special_characters(self):
        text = COVARIANCE._repr_latex_()
        assert r"\text{50 }\%\text{ of }\#\text{1 }\&\text{ }\{\text{a}\_\text{b}\}" in text

    @pytest.mark.parametrize("broken", ["$a", "$a_{b$", r"$\text{a_b}$", "$50 %$", r"$a}{$", "$a$b$", "$1e-5$"])
    def test_the_check_sees_what_is_broken(self, broken):
        with pytest.raises(AssertionError):
            check_latex(broken)


def refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


class TestJson:
    @pytest.mark.parametrize("verdict", ALL)
    def test_survives_a_strict_reader(self, verdict):
        entry = json.loads(json.dumps(verdict.as_json()), parse_constant=refuse_constant)
        assert entry["name"] == verdict.claim.title
        for key in ("predicted", "measured", "standard_error"):
            value = getattr(verdict, key)
            assert entry[key] is None if value is None else np.array_equal(entry[key], value)

    def test_values(self):
        entry = DRIFT.as_json()
        assert entry["interval"] == [-0.0125, 0.02]
        assert entry["assumptions"] == [{"name": "interpolation", "holds": True, "value": 0.0, "rule": "min L = 0"}]
        assert [r["verdict"] for r in entry["rivals"]] == ["refuted", "supported", "not-applicable"]
        assert entry["rivals"][2]["predicted"] is None
        assert "times" not in entry
        assert TRAJECTORY.as_json()["times"] == [1.0, 2.0]
        assert NOT_APPLICABLE.as_json()["relative_error"] is None

    def test_study_is_named_where_there_are_several(self):
        rows = [("one", DRIFT), ("two", COVARIANCE)]
        assert [c["study"] for c in study_json("catalogue", 3, 1.23456, rows, True)["claims"]] == ["one", "two"]
        document = study_json("a.toml", 3, 1.23456, rows[:1], False)
        assert list(document) == ["flatmin", "study", "seed", "seconds", "claims"]
        assert document["seconds"] == 1.235
        assert "study" not in document["claims"][0]

    def test_plain(self):
        assert plain(None) is None
        assert plain(np.array([[1.0, math.nan], [math.inf, -math.inf]])) == [[1.0, None], [None, None]]
        assert plain((1, 2.5)) == [1.0, 2.5]
        assert plain(np.float64(2)) == 2.0
        assert plain(np.empty((0, 2))) == []
        assert type(plain(np.float64(2))) is float

    def test_finite(self):
        document = {"a": [1.0, math.nan, (math.inf,)], "b": {"c": -math.inf, "d": None, "e": "nan", "f": 3, "g": True}}
        assert finite(document) == {
            "a": [1.0, None, [None]],
            "b": {"c": None, "d": None, "e": "nan", "f": 3, "g": True},
        }


def test_indistinguishable_rivals_have_a_prediction():
    assert DRIFT.indistinguishable == ("paper",)


def test_rivals_that_predict_the_same_are_named_once(capsys):
    told = replace(DRIFT, notes=(f"{INDISTINGUISHABLE} at a margin of 2 %: paper", "something else"))
    cli._show([("a", told)], "a", 1.0, [None])
    printed = capsys.readouterr().out
    assert "same here: paper" in printed
    assert "note: something else" in printed
    assert INDISTINGUISHABLE not in printed


def rendered(rows, width, terminal=False):
    console = Console(
        file=StringIO(), width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(verdict_table(rows, "a [title]"))
    return console.file.getvalue()


class TestTable:
    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_fits(self, width):
        rows = [("one", DRIFT), ("one", COVARIANCE), ("two", NOT_APPLICABLE), ("two", UNMEASURED)]
        text = rendered(rows, width)
        assert max(map(len, text.splitlines())) <= width
        for word in ("a [title]", "one", "two", "supported", "refuted", "inconclusive"):
            assert word in text

    def test_cells(self):
        text = rendered([("one", DRIFT), ("one", NOT_APPLICABLE)], 120)
        assert "drift, derived   supported        -1.25 .. +2.00   small-lr (same here: paper)" in text
        assert re.search(r"not-applicable +-\s*$", text, re.MULTILINE)
        assert "one" not in text  # the title names a single study

    def test_names_are_no_markup(self):
        marked = replace(DRIFT, claim=Claim("drift", name="[red]x[/red]"))
        assert "[red]x[/red]" in rendered([("a", marked)], 80)

    def test_colours(self):
        assert "\x1b[32msupported" in rendered([("a", DRIFT)], 80, terminal=True)
        assert "\x1b[31mrefuted" in rendered([("a", COVARIANCE)], 80, terminal=True)

    @pytest.mark.parametrize(
        ("interval", "shown"),
        [
            ((-5e-6, 4e-6), "-0.0005 .. +0.0004"),
            ((0.0, 0.5), "+0.0 .. +50.0"),
            ((-0.99, -0.5), "-99.0 .. -50.0"),
            ((3.0, 4.0), "+300 .. +400"),
            ((0.0, 1e9), "> 10000"),
            ((0.0, 0.0), "+0.0000 .. +0.0000"),
        ],
    )
    def test_intervals(self, interval, shown):
        assert f" {shown} " in rendered([("a", replace(DRIFT, interval=interval))], 100)


class TestHtml:
    @pytest.mark.parametrize("verdict", ALL)
    def test_tags_match(self, verdict):
        root = ElementTree.fromstring(f"<div>{verdict._repr_html_()}</div>")
        text = "".join(root.itertext())
        assert verdict.claim.title in text
        assert verdict.verdict in text
        assert {e.tag for e in root.iter()} <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}

    def test_values(self):
        text = "".join(ElementTree.fromstring(f"<div>{DRIFT._repr_html_()}</div>").itertext())
        assert "theta_1-0.0006138-0.0006123e-06" in text


class TestPlot:
    def test_names(self):
        value = np.array([1.0, 2.0])
        rungs = [Rung(s, value * (1 + s), 1e-6 * np.eye(2), 100) for s in (0.1, 0.2, 0.3, 0.4)]
        verdict = replace(DRIFT, predicted=value, estimate=extrapolate(rungs, 1), scale=2.0, measured=value)
        assert [a.get_ylabel() for a in verdict.plot().axes] == ["error, %", "residual, s.e."]
        assert len(verdict.plot("values").axes) == 2
        with pytest.raises(InvalidInput, match=r"name='path' must be one of \['ladder', 'values', 'theories'\]"):
            verdict.plot("path")

    def test_nothing_to_draw(self):
        with pytest.raises(InvalidInput, match="nothing was measured"):
            NOT_APPLICABLE.plot()


def test_bounds_and_the_scales_of_rivals_are_written():
    claim = Claim("coupling", settings={"window": "long", "exponent": 0.5, "bound": True})
    rival = RivalVerdict("small-lr", np.array([1.0]), "refuted", True, scale=0.5)
    entry = replace(DRIFT, claim=claim, rivals=(rival,)).as_json()
    assert entry["bound"] is True
    assert entry["rivals"][0]["scale"] == 0.5
    assert "bound" not in DRIFT.as_json()
