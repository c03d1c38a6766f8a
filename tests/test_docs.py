"""The Python in README.md and docs/ runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "python.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_run(page, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    # One page is one session: later blocks use the names of earlier ones.
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    printed = capsys.readouterr().out
    assert printed
    if page.name == "README.md":
        assert printed.startswith("supported: w = 1.2572 predicted")


def test_the_study_of_the_readme_is_read(tmp_path):
    from flatmin.theory.study import read_study

    (text,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    path = tmp_path / "study.toml"
    path.write_text(text)
    assert len(read_study(path).claims) == 3
