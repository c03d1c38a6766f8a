"""A derivation as text, as a LaTeX document and as a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from .certify import CertifiedRoot
from .derivation import Derivation
from .sections import latex_names, sections
from .typeset import display, escape, latex, shown, wrapped

__all__ = ["as_json", "as_latex", "as_text"]


def as_text(derivation: Derivation) -> str:
    """Readable text in 100 columns; an expression of more than a few lines is cut, with a note.

    Parameters
    ----------
    derivation : Derivation
    """
    out: list[str] = []
    for title, entries in sections(derivation):
        out += ["", title, "-" * len(title)]
        for entry in entries:
            if isinstance(entry, str):
                out += wrapped(entry)
            elif isinstance(entry.value, sp.Equality):
                out += wrapped(f"{shown(entry.value.lhs)} = {shown(entry.value.rhs)}")
            else:
                out += wrapped(f"{entry.name} = {shown(entry.value)}")
    return "\n".join(out[1:]) + "\n"


def as_latex(derivation: Derivation) -> str:
    """A complete document for pdflatex (article, amsmath); an expression of more than a page is cut, with a note.

    Parameters
    ----------
    derivation : Derivation
    """
    names = latex_names(derivation)
    body: list[str] = []
    for title, entries in sections(derivation):
        body.append(rf"\section*{{{escape(title)}}}")
        for entry in entries:
            if isinstance(entry, str):
                body.append(escape(entry) + r"\par")
            elif isinstance(entry.value, sp.Equality):
                body.append(display(latex(entry.value.rhs, names), entry.value.lhs, names, reverse=True))
            else:
                body.append(display(entry.latex, entry.value, names))
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage{amsmath}",
            r"\usepackage[margin=2.2cm]{geometry}",
            r"\setlength{\parindent}{0pt}",
            r"\allowdisplaybreaks",
            r"\begin{document}",
            *body,
            r"\end{document}",
            "",
        ]
    )


def as_json(derivation: Derivation) -> dict[str, Any]:
    """Strings (SymPy's own form, nothing cut) and plain numbers; what was not derived is null or empty.

    Parameters
    ----------
    derivation : Derivation
    """
    d, chart = derivation, derivation.reduction
    return {
        "parameters": [p.name for p in d.parameters],
        "n": d.n,
        "batch_size": d.batch,
        "lr": float(d.eta),
        "homoscedastic": d.homoscedastic,
        "predictions": _strings(d.predictions),
        "loss": str(d.loss),
        "loss_gradient": _strings(d.gradient),
        "sample_gradient": _strings(d.sample_gradient),
        "hessian": None if d.gauss_newton is None else [_strings(row) for row in d.gauss_newton.tolist()],
        "gram": None if d.gram is None else [_strings(row) for row in d.gram.tolist()],
        "elementary": _strings(d.elementary),
        "eigenvalues": _strings(d.eigenvalues),
        "strength": str(d.strength),
        "determinant": None if d.determinant is None else str(d.determinant),
        "regularizer": None if d.regularizer is None else str(d.regularizer),
        "series": _strings(d.series),
        "regularizer_gradient": _strings(d.regularizer_gradient),
        "stationarity": [f"{e.lhs} = {e.rhs}" for e in d.stationarity],
        "on_zero_loss_set": [f"{e.lhs} = {e.rhs}" for e in d.on_gamma],
        "reduction": None
        if chart is None
        else {
            "chart": {str(k): str(v) for k, v in chart.chart.items()},
            "coordinates": _strings(chart.free),
            "nonzero": _strings(chart.pivots),
            "determinant": str(chart.determinant),
            "gradient": _strings(chart.gradient),
            "metric": [_strings(row) for row in chart.metric.tolist()],
            "flow": None if chart.flow is None else _strings(chart.flow),
            "equations": _strings(chart.equations),
        },
        "conserved": [
            {"name": str(c.symbol), "expression": str(c.expression), "rate": None if c.rate is None else str(c.rate)}
            for c in d.conserved
        ],
        "solutions": [
            {
                "theta": _strings(s.point),
                "trace": str(s.trace),
                "domain": s.domain,
                "checked": s.checked,
                "root": None if s.root is None else _root(s.root),
            }
            for s in d.solutions
        ],
        "unsolved": _strings(d.unsolved),
        "no_closed_form": d.no_closed_form,
        "roots": [_root(r) for r in d.roots],
        "not_searched": d.not_searched,
        "reached": None if d.reached is None else d.reached.as_json(),
        "kurdyka": None if d.kurdyka is None else d.kurdyka.as_json(),
        "gradient_test": None if d.gradient_test is None else d.gradient_test.as_json(),
        "notes": list(d.notes),
    }


def _strings(values: Sequence[Any]) -> list[str]:
    return [str(v) for v in values]


def _root(root: CertifiedRoot) -> dict[str, Any]:
    return {
        "theta": [float(v) for v in root.theta],
        "radius": root.radius,
        "certified": root.certified,
        "reason": root.reason,
        "stable": root.stable,
    }
