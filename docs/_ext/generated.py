"""What the pages take from the code: keys of study files, modules, public names, results of the catalogue."""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results.json"


class _Generated(SphinxDirective):
    """A directive whose content is MyST or reStructuredText from the code."""

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes of some lines of the page's own language."""
        return self.parse_text_to_nodes("\n".join(lines))


class StudyKeys(_Generated):
    """A table of everything that may stand in a study file."""

    def run(self) -> list[nodes.Node]:
        """See the class."""
        from flatmin.theory.file_schema import keys

        rows = ["| key | default | meaning |", "| --- | --- | --- |"]
        for key, meaning, default in keys():
            shown = f"`{default}`" if default and default != "needed" else default
            rows.append(f"| `{key}` | {shown} | {_cell(meaning)} |")
        return self.parsed(rows)


class ResultKeys(_Generated):
    """A table of everything that may stand in a result."""

    def run(self) -> list[nodes.Node]:
        """See the class."""
        from flatmin.sims.result_keys import keys

        rows = ["| key | always | meaning |", "| --- | --- | --- |"]
        rows += [f"| `{key}` | {'yes' if always else ''} | {_cell(meaning)} |" for key, meaning, always in keys()]
        return self.parsed(rows)


class Modules(_Generated):
    """One line per module of a folder: the first of its docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """See the class."""
        folder = self.arguments[0]
        rows = ["| module | what it is |", "| --- | --- |"]
        for path in sorted((ROOT / folder).rglob("*.py")):
            self.env.note_dependency(str(path))
            words = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
            rows.append(f"| `{path.relative_to(ROOT)}` | {_cell(' '.join(words.split()))} |")
        return self.parsed(rows)


class PublicNames(_Generated):
    """Everything in the `__all__` of a module, with its docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """See the class."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        lines = []
        for entry in sorted(module.__all__):
            value = getattr(module, entry)
            if isinstance(value, type):
                lines += [f".. autoclass:: {name}.{entry}", "   :members:", ""]
            elif callable(value):
                lines += [f".. autofunction:: {name}.{entry}", ""]
        # autodoc speaks reStructuredText.
        return self.parsed(["```{eval-rst}", *lines, "```"])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def add_result(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the stored result of a study of the catalogue at the end of its page."""
    folder, _, study = name.rpartition("/")
    if folder == "claims" and study != "index":
        source[0] += _result(study)


def _result(study: str) -> str:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = [
        "",
        "## Result",
        "",
        f"Of version {stored['flatmin']}, seed {stored['seed']}; repeat it with `flatmin verify {study}`.",
        "",
        "| claim | verdict | error, % | rivals refuted |",
        "| --- | --- | --- | --- |",
    ]
    for claim in (c for c in stored["claims"] if c["study"] == study):
        interval = claim["interval"]
        error = "-" if interval is None else f"{100 * interval[0]:+.3g} .. {100 * interval[1]:+.3g}"
        refuted = [r["theory"] for r in claim["rivals"] if r["verdict"] == "refuted" and r["distinguishable"]]
        rows.append(f"| {_cell(claim['name'])} | {claim['verdict']} | {error} | {', '.join(refuted) or '-'} |")
    return "\n".join(rows) + "\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("study-keys", StudyKeys)
    app.add_directive("result-keys", ResultKeys)
    app.add_directive("modules", Modules)
    app.add_directive("public-names", PublicNames)
    app.connect("source-read", add_result)
    return {"version": "1", "parallel_read_safe": True}
