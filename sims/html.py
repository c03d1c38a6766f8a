"""A verdict as a small HTML table, for notebooks; it needs no optional package."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .results import Verdict

__all__ = ["verdict_html"]

_MOST = 12
# A mark says the same as the colour.
_SHOWN = {
    "supported": ("✓", "#1a7a48"),
    "refuted": ("✗", "#c4372c"),
    "inconclusive": ("?", "#9a7200"),
    "not-applicable": ("–", "#777777"),
}


def verdict_html(verdict: Verdict, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Title, verdict, and a row for each component: predicted, measured and its standard error.

    Parameters
    ----------
    verdict : Verdict
    rows : sequence of (str, float, float, float)
    """
    mark, colour = _SHOWN[verdict.verdict]
    lines = [
        f'<p><b>{escape(verdict.claim.title)}</b> <b style="color:{colour}">{mark} {verdict.verdict}</b>'
        f"{_error(verdict)}{escape(f'; {verdict.reason}') if verdict.reason else ''}</p>"
    ]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in ("", "predicted", "measured", "standard error"))
        body = "".join(
            f"<tr><th>{escape(name)}</th><td>{p:.5g}</td><td>{m:.5g}</td><td>{e:.1g}</td></tr>"
            for name, p, m, e in rows[:_MOST]
        )
        more = len(rows) - _MOST
        rest = f'<tr><td colspan="4">and {more} more</td></tr>' if more > 0 else ""
        lines.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}{rest}</tbody></table>")
    return "".join(lines)


def _error(verdict: Verdict) -> str:
    if verdict.interval is None:
        return ""
    low, high = (100 * v for v in verdict.interval)
    return f" error {low:+.3g} to {high:+.3g} % at confidence {verdict.confidence:g}, margin {100 * verdict.margin:g} %"
