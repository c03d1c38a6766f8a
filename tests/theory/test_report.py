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
@pytest.mark.parametrize("name", ["uv", "tanh", "sums"])
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
