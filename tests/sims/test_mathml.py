"""Formulas as MathML, and nothing else."""

from __future__ import annotations

import pytest
import sympy as sp
from flatmin.sims.report.mathml import checked_mathml, mathml


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        (r"\lambda = \frac{\eta \sigma^{2}}{B}", ["<mfrac>", "λ", "<msup>"]),
        (r"\left[\begin{matrix}a & b\\c & d\end{matrix}\right]", ["<mtable>", "<mtr>"]),
        (sp.latex(sp.tanh(sp.Symbol("theta_1")) / sp.sqrt(2)), ["tanh", "<msub>", "<msqrt>"]),
        (r"R = \operatorname{tr} \log\left(1 - H\right)", ["tr", "log"]),
    ],
)
def test_formulas(latex, parts):
    shown = mathml(latex)
    assert shown.startswith("<math ")
    assert all(part in shown for part in parts)
    assert hasattr(shown, "__html__")


@pytest.mark.parametrize(
    "latex", [r"\text{<script>alert(1)</script>}", r"\href{javascript:alert(1)}{x}", r"\mathrm{<img src=x>}", r"\frac{"]
)
def test_what_is_no_formula_is_text(latex):
    shown = mathml(latex)
    assert not any(part in shown for part in ("<script", "<img", "href=", 'javascript:alert(1)"'))


@pytest.mark.parametrize(
    "text",
    [
        "<math><script>1</script></math>",
        '<math onclick="1"><mi>x</mi></math>',
        '<math><mi style="x">x</mi></math>',
        "<math><mi>x</math>",
        '<a href="x">y</a>',
    ],
)
def test_the_check_refuses(text):
    with pytest.raises(ValueError, match=r"no element|no attributes|no well-formed"):
        checked_mathml(text)
