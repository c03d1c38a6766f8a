"""A result as LaTeX tables that compile in any document, with booktabs or without."""

from __future__ import annotations

import math
import unicodedata
from itertools import groupby

from flatmin.theory.typeset import escape

from . import latex
from .document import ClaimEntry, Result
from .report.words import figure_of

__all__ = ["latex_tables"]

_HEAD = r"""% Tables of verdicts, written by flatmin {version}. Use: \input{{this file}} in any document.
\providecommand{{\toprule}}{{\hline}}\providecommand{{\midrule}}{{\hline}}\providecommand{{\bottomrule}}{{\hline}}
"""

# Of the columns, over that of a line.
_WIDTHS = (0.19, 0.34, 0.15, 0.21)


def latex_tables(result: Result) -> str:
    """One table for each study: claim, prediction, measurement, error, verdict, rivals refuted.

    Parameters
    ----------
    result : Result
    """
    parts = [_HEAD.format(version=_text(result.flatmin))]
    for study, claims in groupby(result.claims, key=lambda c: c.study or result.study):
        parts.append(_table(study, list(claims), result))
    return "\n".join(parts)


def _table(study: str, claims: list[ClaimEntry], result: Result) -> str:
    margins = sorted({c.margin for c in claims})
    levels = sorted({c.confidence for c in claims})
    caption = (
        f"{_text(study)}: claims and verdicts; errors in percent at confidence {_list(levels)}, "
        rf"margin {_list([100 * m for m in margins])}\,\%, seed {result.seed}."
    )
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{caption}}}",
        r"\begin{tabular}{llll}",
        r"\toprule",
        r"Claim & Prediction and measurement & Error, \% & Verdict; rivals refuted \\",
        r"\midrule",
    ]
    lines += [_row(claim) for claim in claims]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _row(claim: ClaimEntry) -> str:
    values = [
        rf"${_symbol(name)}$: {_text(predicted)}; {_text(measured)}" for name, predicted, measured in figure_of(claim)
    ]
    refuted = [r.theory for r in claim.rivals if r.verdict == "refuted" and r.distinguishable]
    verdict = _text(claim.verdict) + (f"; {_text(', '.join(refuted))}" if refuted else "")
    cells = ([_text(claim.name)], values or ["--"], [_interval(claim)], [verdict])
    return " & ".join(_wrapped(lines, width) for lines, width in zip(cells, _WIDTHS)) + r" \\"


def _wrapped(lines: list[str], width: float) -> str:
    inner = r"\newline ".join(lines)
    return rf"\parbox[t]{{{width}\linewidth}}{{\raggedright {inner}\strut}}"


def _interval(claim: ClaimEntry) -> str:
    if claim.interval is None:
        return "--"
    low, high = (100 * v for v in claim.interval)
    digits = max(0, min(4, 2 - math.floor(math.log10(max(abs(low), abs(high), 1e-3)))))
    return f"${low:+.{digits}f}$ to ${high:+.{digits}f}$"


def _symbol(name: str) -> str:
    return latex.symbol(name) if name.isascii() and name.isidentifier() else rf"\mbox{{{_text(name)}}}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _text(words: str) -> str:
    """Plain words: Greek and mathematical signs as such, and the names of letters that LaTeX does not know."""
    return "".join(_letter(c) for c in words)


def _letter(c: str) -> str:
    known = _SIGNS.get(c)
    if known:
        return rf"\ensuremath{{{known}}}"
    if c in _PLAIN:
        return _PLAIN[c]
    if c.isascii():
        return escape(c) if c.isprintable() else " "
    name = unicodedata.name(c, f"U+{ord(c):04X}")
    if name.startswith("GREEK SMALL LETTER ") and name.count(" ") == 3:
        return rf"\ensuremath{{\{_GREEK.get(name.split()[-1], name.split()[-1]).lower()}}}"
    if name.startswith("GREEK CAPITAL LETTER ") and name.count(" ") == 3:
        letter = name.split()[-1]
        return _LATIN.get(letter, rf"\ensuremath{{\{_GREEK.get(letter, letter).capitalize()}}}")
    if name.startswith("SUPERSCRIPT ") and c != "⁻":
        return rf"\ensuremath{{^{{{unicodedata.digit(c, 0)}}}}}"
    plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return escape(plain) if plain else f"[{escape(name.lower())}]"


_SIGNS = {"−": "-", "±": r"\pm", "×": r"\times", "⁻": "^{-}", "→": r"\to", "≥": r"\ge", "≤": r"\le"}
_PLAIN = {"–": "--", "—": "---"}
# Capital Greek letters that LaTeX lacks because they look like Latin ones.
_LATIN = dict(
    zip(
        ["ALPHA", "BETA", "EPSILON", "ZETA", "ETA", "IOTA", "KAPPA", "MU", "NU", "OMICRON", "RHO", "TAU", "CHI"],
        "ABEZHIKMNOPTX",
    )
)
# Names that LaTeX spells in its own way, or lacks.
_GREEK = {"LAMDA": "lambda", "OMICRON": "mathrm{o}", "FINAL": "varsigma"}
