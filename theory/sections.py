"""What a derivation says, in its order: titles with words and equations, for whatever form they are shown in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from .derivation import Derivation
from .typeset import escape, shown

__all__ = ["Entry", "Line", "latex_names", "sections"]


@dataclass(frozen=True)
class Line:
    """`name` = `value`; an Eq has its own two sides and no name.

    Attributes
    ----------
    name : str
        As plain text.
    latex : str
        The name in LaTeX.
    value : Basic
    """

    name: str
    latex: str
    value: sp.Basic


Entry = Line | str
Section = tuple[str, list[Entry]]


def latex_names(d: Derivation) -> dict[sp.Symbol, str]:
    """LaTeX of the symbols that SymPy would print otherwise."""
    names = {d.symbols.lam: r"\lambda" if d.symbols.lam.name == "lam" else r"\lambda'"}
    odd = [p for p in d.parameters if not p.name.isidentifier()]
    return names | {p: rf"\mathrm{{{escape(p.name)}}}" for p in odd}


def sections(d: Derivation) -> Iterator[Section]:
    """Title and entries, words or equations, of each part of a derivation."""
    yield "Problem", list(_problem(d))
    yield "Hessian on the zero-loss set (Gauss-Newton form; the residual part drops there)", list(_hessian(d))
    yield "Noise strength and regularizer", list(_regularizer(d))
    if d.stationarity:
        yield "Stationary points of L + lambda R: grad L + lambda grad R = 0", [_equation(e) for e in d.stationarity]
        limit = "As lambda -> 0: on the zero-loss set, with grad R normal to it (mu_i: multipliers)"
        yield limit, [_equation(e) for e in d.on_gamma]
    if d.reduction is not None:
        yield "Reduced problem on the zero-loss set", list(_reduced(d))
    if d.conserved:
        yield "Conserved by gradient flow, changed slowly by label noise", list(_conserved(d))
    yield "Stationary points", list(_points(d))
    if d.reached is not None:
        yield "Where the slow flow from the start ends", list(d.reached.lines([p.name for p in d.parameters]))
    if d.kurdyka is not None:
        title = "Kurdyka-Lojasiewicz property: L <= mu |grad L|^(1+delta) near the zero-loss set"
        yield title, list(d.kurdyka.lines([p.name for p in d.parameters]))
    if d.gradient_test is not None:
        yield "Is the drift of the derived theory a gradient near the start?", list(d.gradient_test.lines())
    if d.notes:
        yield "Notes", [f"- {note}" for note in d.notes]


def _equation(equation: sp.Eq) -> Line:
    return Line("", "", equation)


def _problem(d: Derivation) -> Iterator[Entry]:
    size = "full batch" if d.full else f"batch size {d.batch}"
    yield f"Label noise SGD, n = {d.n} samples, d = {len(d.parameters)} parameters, {size}, square loss."
    for i, f in enumerate(d.predictions[:12], 1):
        many = len(d.predictions) > 1 or d.n == 1
        yield Line(f"f_{i}" if many else "f", f"f_{{{i}}}" if many else "f", f)
    yield Line("L", "L", d.loss)
    for p, g in zip(d.parameters, d.gradient):
        yield Line(f"dL/d{p}", rf"\partial_{{{sp.latex(p)}}} L", g)
    for p, g in zip(d.parameters[:12], d.sample_gradient):
        yield Line(f"df/d{p}", rf"\partial_{{{sp.latex(p)}}} f", g)


def _hessian(d: Derivation) -> Iterator[Entry]:
    yield "H = (1/n) sum_i grad f_i grad f_i^T; its nonzero spectrum is that of G = J J^T / n, J = (grad f_i)."
    if d.gauss_newton is not None:
        yield from _entries("H", d.gauss_newton, d.parameters)
    if d.gram is not None and d.n <= len(d.parameters):
        yield from _entries("G", d.gram, list(range(1, d.n + 1)))
    for symbol, e in zip(d.symbols.elementary, d.elementary):
        name = f"{symbol} = tr H" if symbol == d.symbols.trace else str(symbol)
        yield Line(name, sp.latex(symbol) + (r" = \operatorname{tr} H" if symbol == d.symbols.trace else ""), e)
    if len(d.elementary) > 1:
        yield "(e_k: sum of the products of k eigenvalues)"
        for k, value in enumerate(d.eigenvalues, 1):
            yield Line(f"h_{k}", f"h_{{{k}}}", value)


def _entries(name: str, matrix: Any, labels: Sequence[Any]) -> Iterator[Entry]:
    for i, a in enumerate(labels):
        for j, b in list(enumerate(labels))[i:]:
            yield Line(f"{name}[{a},{b}]", rf"{name}_{{{sp.latex(a)},{sp.latex(b)}}}", matrix[i, j])


def _regularizer(d: Derivation) -> Iterator[Entry]:
    yield Line("lambda = eta sigma^2/B", r"\lambda = \eta\sigma^2/B", d.strength)
    if d.determinant is None:
        yield "R = -(1/(2 eta)) tr log(1 - (eta/2) H), where eta h_max < 2; as eta -> 0, R -> (1/4) tr H."
        return
    big = sp.latex(d.symbols.determinant)
    yield Line(f"{d.symbols.determinant} = det(1 - (eta/2) H)", rf"{big} = \det(1 - (\eta/2) H)", d.determinant)
    value = -sp.log(d.symbols.determinant) / (2 * d.symbols.eta)
    yield Line("R = -(1/(2 eta)) tr log(1 - (eta/2) H)", r"R", value)
    yield "where eta h_max < 2 (h_max: the largest eigenvalue of H)."
    yield "Small learning rate: R = (1/4) tr H + (eta/16) tr H^2 + (eta^2/48) tr H^3 + O(eta^3), with"
    for k, (weight, term) in enumerate(zip((4, 16, 48), d.series), 1):
        yield Line(
            f"(tr H{'^' + str(k) if k > 1 else ''})/{weight}",
            rf"\tfrac{{1}}{{{weight}}} \operatorname{{tr}} H^{k}",
            term,
        )
    for p, r in zip(d.parameters, d.regularizer_gradient):
        yield Line(f"dR/d{p}", rf"\partial_{{{sp.latex(p)}}} R", r)


def _reduced(d: Derivation) -> Iterator[Entry]:
    r = d.reduction
    if r is None:
        return
    free = ", ".join(s.name for s in r.free)
    yield f"Coordinates: {free}" + (f"; valid where {', '.join(shown(p) for p in r.pivots)} != 0." if r.pivots else ".")
    for p, value in r.chart.items():
        yield Line(p.name, sp.latex(p), value)
    big = d.symbols.determinant
    yield Line(big.name, sp.latex(big), r.determinant)
    for s, g in zip(r.free, r.gradient):
        yield Line(f"dR/d{s}", rf"\frac{{dR}}{{d{sp.latex(s)}}}", g)
    yield "Metric g = (dtheta/ds)^T (dtheta/ds):"
    yield from _entries("g", r.metric, r.free)
    yield (
        "Slow flow per step, s' = -eta lambda g^-1 dR/ds:"
        if r.flow
        else "Slow flow per step: g s' = -eta lambda dR/ds."
    )
    for s, v in zip(r.free, r.flow or ()):
        yield Line(f"{s}'", f"{sp.latex(s)}'", v)


def _conserved(d: Derivation) -> Iterator[Entry]:
    yield "grad q . grad f_i = 0 for every sample, so q' = -eta lambda grad q . grad R per step (to leading order):"
    for c in d.conserved:
        yield Line(c.symbol.name, sp.latex(c.symbol), c.expression)
        if c.rate is not None:
            yield Line(f"{c.symbol}'", f"{sp.latex(c.symbol)}'", c.rate)


def _points(d: Derivation) -> Iterator[Entry]:
    for k, s in enumerate(d.solutions, 1):
        point = ", ".join(f"{p} = {shown(v)}" for p, v in zip(d.parameters, s.point))
        kind = "" if s.root is None or s.root.stable is None else (
            "; minimum of R" if s.root.stable else "; not a minimum of R")  # fmt: skip
        proof = f"; {s.root.reason}" if s.root is not None else ""
        yield f"Closed form {k}: {point}: tr H = {shown(s.trace)}, domain {s.domain}; checked {s.checked}{kind}{proof}."
    if d.unsolved:
        yield "SymPy finds no closed form for the zeros of"
        for k, e in enumerate(d.unsolved, 1):
            yield Line(f"F_{k}", f"F_{{{k}}}", e)
    if d.no_closed_form:
        yield f"No closed form was found by SymPy: {d.no_closed_form}."
    if d.not_searched:
        yield f"Not searched: {d.not_searched}."
    if d.roots:
        yield f"Numeric, at eta = {float(d.eta):g} (found from fixed starts; the list need not be complete):"
    for k, r in enumerate(d.roots, 1):
        point = ", ".join(f"{p} = {v:.12g}" for p, v in zip(d.parameters, r.theta))
        kind = {True: "minimum of R", False: "not a minimum of R", None: "degenerate"}[r.stable]
        yield f"- Numeric point {k}: {point}: {kind}; {r.reason}."
    if not d.solutions and not d.roots and not d.not_searched:
        yield "None was found."
