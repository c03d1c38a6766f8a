"""The three forms of a derivation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.derivation import derive
from flatmin.theory.report import as_json, as_latex, as_text
from flatmin.theory.typeset import display, escape, shown, wrapped

u, v, w, a, b, x = sp.symbols("u v w a b x", real=True)
NOISE = LabelNoise(0.1)


@pytest.fixture(scope="module")
def derivations():
    studies = {
        "uv": (Model((u, v), u * v, y=[1.0]), Algorithm(0.5, 1, NOISE)),
        "tanh": (
            Model((w, a, b), a * sp.tanh(w * x) + b * x, inputs=(x,), x=[[1.0], [3.0]], y=[1.0, 0.5]),
            Algorithm(0.27, "full", NOISE),
        ),
        "sums": (
            Model((w, a), a * sp.tanh(w * x), inputs=(x,), x=np.arange(1.0, 41.0)[:, None], y=np.ones(40)),
            Algorithm(0.1, 5, NOISE),
        ),
        "minibatch": (Model((u, v, w), [u * v, u * w], y=[1.0, -0.5]), Algorithm(0.3, 1, NOISE), (2.0, 0.5, -0.25)),
        "unequal": (
            Model((u, v, w), [u * v, u * w], y=[1.0, -0.5]),
            Algorithm(0.3, 1, LabelNoise((0.1, 0.2))),
            (2.0, 0.5, -0.25),
        ),
        "no start": (Model((u,), sp.exp(u), y=[-1.0]), Algorithm(0.2, 1, NOISE), (0.5,)),
        "family": (
            Model((u, v, w, a), u * v + w * a, y=[1.0]),
            Algorithm(0.3, 1, NOISE),
            (1.5, 0.5, 0.7, 0.2),
        ),
    }
    return {name: derive(*study) for name, study in studies.items()}


def test_text_holds_the_result_and_keeps_its_width(derivations):
    for d in derivations.values():
        assert max(map(len, as_text(d).splitlines())) <= 100
    text = as_text(derivations["uv"])
    assert "q = u**2 - v**2" in text
    assert "q' = -2*eta**2*q*sigma**2/(2 - eta*h)" in text
    assert "u = 1, v = 1: tr H = 2, domain eta < 1" in text


def test_text_says_what_was_skipped(derivations):
    text = as_text(derivations["sums"])
    assert "Notes" in text
    assert "Sum(" in text


def joined(text: str) -> str:
    return " ".join(text.split())


def test_text_tells_not_searched_from_not_found(derivations):
    text = joined(as_text(derivations["sums"]))
    assert "Not searched: n + d = 42 is more than 40 (n=40, d=2)." in text
    assert "No closed form was found by SymPy: n=40 samples" in text
    assert "None was found" not in text
    text = joined(as_text(derivations["no start"]))
    assert "Not searched: interpolation: no zero-loss point was found from any start." in text


def test_text_says_where_the_flow_ends(derivations):
    ends = {
        name: joined(as_text(d)).partition("Where the slow flow from the start ends")[2]
        for name, d in derivations.items()
    }
    assert ends["uv"] == ""
    assert "- derived: stable, slowest rate 0.93139; not certified: u = 0.9005" in ends["minibatch"]
    assert "it is numeric point 1 above to 1e-8, which is certified: u = 0.9032" in ends["minibatch"]
    assert "The ends by derived and by paper are 0.00474 apart: the finite batch" in ends["minibatch"]
    assert "- paper: none: it needs equal sigma for all samples" in ends["unequal"]
    assert "apart" not in ends["unequal"]
    assert "No flow was followed: interpolation: the least loss found from the start is L=" in ends["no start"]
    assert "neutral (one of a family of stationary points; the flow selects it)" in ends["family"]


def test_json_says_where_the_flow_ends(derivations):
    assert as_json(derivations["uv"])["reached"] is None
    data = as_json(derivations["minibatch"])
    own, paper, _ = data["reached"]["ends"]
    assert (own["certified"], own["coincides_with"]) == (False, "")
    assert (paper["certified"], paper["coincides_with"]) == (True, "numeric point 1")
    assert paper["theta"] == pytest.approx(data["roots"][0]["theta"], abs=1e-8)
    assert data["reached"]["distance"] == pytest.approx(np.linalg.norm(np.subtract(own["theta"], paper["theta"])))
    unequal = as_json(derivations["unequal"])["reached"]
    assert [e["theta"] is None for e in unequal["ends"]] == [False, True, True]
    assert as_json(derivations["sums"])["not_searched"].startswith("n + d = 42")


def test_json_is_plain(derivations):
    for d in derivations.values():
        data = json.loads(json.dumps(as_json(d), allow_nan=False))
        assert data["n"] == d.n
    data = as_json(derivations["uv"])
    s = {"u": u, "v": v, "eta": derivations["uv"].symbols.eta}
    assert sp.sympify(data["regularizer"], locals=s) == derivations["uv"].regularizer
    assert data["solutions"][0]["theta"] == ["1", "1"]
    assert data["roots"][0]["certified"] is True


def test_latex_is_balanced(derivations):
    for d in derivations.values():
        latex = as_latex(d)
        bare = re.sub(r"\\[{}]", "", latex)
        assert bare.count("{") == bare.count("}")
        assert latex.count(r"\[") == latex.count(r"\]")
        assert latex.count(r"\left") == latex.count(r"\right")
        assert sorted(re.findall(r"\\begin\{(.*?)\}", latex)) == sorted(re.findall(r"\\end\{(.*?)\}", latex))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("name", ["uv", "tanh", "sums", "minibatch", "unequal", "no start", "family"])
def test_latex_compiles(derivations, name, tmp_path):
    (tmp_path / "d.tex").write_text(as_latex(derivations[name]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "d.pdf").stat().st_size > 0


def test_wrapping_keeps_every_character_until_the_cut():
    text = shown(sp.expand((u + v + 2) ** 9))
    lines = wrapped("f = " + text)
    assert all(len(line) <= 100 for line in lines)
    assert "".join("".join(lines).split()) == "".join(("f = " + text).split())
    cut = wrapped("f = " + shown(sp.expand((u + v + w) ** 16)))
    assert "[cut:" in cut[-1]


def test_sums_begin_with_a_positive_term():
    assert shown(2 - sp.Symbol("h")) == "2 - h"
    assert shown(-u - v) == "-u - v"


def test_special_characters_are_escaped():
    assert escape("a_b < 50% & {x}") == r"a\_b $<$ 50\% \& \{x\}"


def test_a_long_sum_is_broken_and_a_monster_is_cut():
    assert r"\begin{multline*}" in display("f", sp.expand((u + v + 1) ** 6), {})
    assert "the JSON form is complete" in display("f", sp.expand((u + v + w + a) ** 14), {})
