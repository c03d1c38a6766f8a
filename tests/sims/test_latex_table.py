"""LaTeX tables of results: sound in structure, and compiled where there is a TeX."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from flatmin.sims.document import result_of
from flatmin.sims.latex_table import latex_tables
from made_results import HOSTILE, claim, document

HOSTILE_CLAIMS = [claim("drift", [1.0, 2.0], name=HOSTILE, parameters=["a_b", HOSTILE], labels=["a_b", HOSTILE])]
DOCUMENTS = {
    "all shapes": document(),
    "hostile": document(HOSTILE_CLAIMS, study=HOSTILE),
    "several studies": document([claim("drift", [1.0], study=s) for s in ("one", "one", "two")]),
    "no claims": document([]),
}


def tables(name):
    return latex_tables(result_of(DOCUMENTS[name]))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_structure(name):
    text = tables(name)
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}")
    depth = 0
    for sign in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert text.isascii()
    rows = re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL)
    for line in "".join(rows).splitlines():
        assert len(re.findall(r"(?<!\\)&", line)) == 3


def test_values():
    text = tables("all shapes")
    assert "supported; small-lr, lambda x 2" in text
    assert r"${u}$" in text or "$u$" in text
    assert "$+29.9$ to $+30.1$" in text


def test_signs_and_greek_letters():
    unmeasured = claim("drift", [1.0], "inconclusive", measured=None, standard_error=None, labels=["u"])
    text = latex_tables(result_of(document([unmeasured | {"name": "ΓΛΑ η — ends"}])))
    assert r"\ensuremath{\Gamma}\ensuremath{\Lambda}A \ensuremath{\eta} --- ends" in text
    assert ": 1; -- &" in re.sub(r"[{}]|\\strut", "", text)
    assert not re.search(r"\[(greek|e[mn] dash)", text)


def test_one_table_for_each_study():
    assert tables("several studies").count(r"\begin{table}") == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: the structure alone is checked")
def test_compiles(tmp_path):
    for i, name in enumerate(DOCUMENTS):
        (tmp_path / f"t{i}.tex").write_text(tables(name))
    inputs = "\n".join(rf"\input{{t{i}}}" for i in range(len(DOCUMENTS)))
    package = r"\IfFileExists{booktabs.sty}{\usepackage{booktabs}}{}"
    main = rf"\documentclass{{article}}{package}\begin{{document}}Text. {inputs}\end{{document}}"
    (tmp_path / "main.tex").write_text(main)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 10_000
