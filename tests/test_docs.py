"""Code blocks and commands of README.md and docs/ run as they stand, but for those marked with why not.

A block may have a mark, an HTML comment on the line before it:
`file: NAME` writes it into the folder in which the page's later blocks run, `exit: N` is the status that its commands
must leave with (0 without it), `not run: WHY` leaves it out.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_runs import flatmin
from flatmin.sims import catalogue

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts),
]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
# The test command is run by .ci/run; the main command, of minutes, by whoever clones.
ELSEWHERE = ("main command", "test command")


class Block(NamedTuple):
    mark: str
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    for mark, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if mark not in ELSEWHERE and not mark.startswith("not run: "):
            yield Block(mark, language, text)


RUN = [page for page in PAGES if any(b.mark or b.language in ("python", "sh", "toml", "json") for b in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # One page is one session: later blocks use the names and the files of earlier ones.
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        key, _, value = block.mark.partition(": ")
        if key == "file":
            Path(value).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
        elif block.language == "sh":
            for line in block.text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "flatmin", f"{line}: only flatmin is run here; mark other commands `not run: WHY`"
                flatmin(*arguments, status=int(value) if key == "exit" else 0)
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "json":
            json.loads(block.text)
    if page.name == "README.md":
        assert capsys.readouterr().out.startswith("supported: w = 1.2572 predicted")


def test_a_block_that_fails_is_seen(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        test_blocks_run(page, tmp_path, monkeypatch, capsys)
    page.write_text("<!-- exit: 1 -->\n```sh\nflatmin --version\n```\n")
    with pytest.raises(AssertionError):
        test_blocks_run(page, tmp_path, monkeypatch, capsys)


def test_stored_results_are_those_of_the_catalogue():
    """They are shown on the pages of the claims; written by: flatmin verify --json docs/results.json."""
    stored = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    shown = [(c["study"], c["name"], c["kind"], c["theory"]) for c in stored["claims"]]
    studies = [catalogue.load(name) for name in catalogue.names()]
    assert shown == [(s.name, c.title, c.kind, c.theory) for s in studies for c in s.claims]
