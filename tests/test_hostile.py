"""Whatever a file holds, it is refused with the name of the bad value, at once, and nothing of it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from flatmin.theory import InvalidInput
from flatmin.theory.study import read_study
from hostile import GOOD_STUDY, HOSTILE_STUDIES

# A refusal takes milliseconds. One second is far above the noise of a busy machine and far below what any bomb
# in the list costs when it is evaluated (most would never end).
LIMIT = 1.0


def refused(path: Path, field: str) -> InvalidInput:
    began = time.perf_counter()
    with pytest.raises(InvalidInput) as caught:
        read_study(path)
    assert time.perf_counter() - began < LIMIT
    assert caught.value.field == field
    message = str(caught.value)
    assert message.startswith(field)
    assert len(message) < 2000
    assert all(c.isprintable() or c == "\n" for c in message)
    return caught.value


def test_the_good_study_is_accepted(tmp_path: Path) -> None:
    # Otherwise every refusal below could have another cause than the change that it makes.
    path = tmp_path / "study.toml"
    path.write_text(GOOD_STUDY)
    assert read_study(path).name == "study"


def test_ids_are_unique() -> None:
    assert len({name for name, _, _ in HOSTILE_STUDIES}) == len(HOSTILE_STUDIES)


@pytest.mark.parametrize(("text", "field"), [h[1:] for h in HOSTILE_STUDIES], ids=[h[0] for h in HOSTILE_STUDIES])
def test_hostile_study(text: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    refused(path, field)
    assert os.listdir(tmp_path) == ["study.toml"]  # no canary


@pytest.mark.parametrize(
    "content",
    [
        GOOD_STUDY.encode("utf-16"),
        b"\xef\xbb\xbf" + GOOD_STUDY.encode(),
        GOOD_STUDY.encode() + b"# \xff",
        bytes(range(256)),
    ],
    ids=["utf-16", "byte order mark", "latin-1", "binary"],
)
def test_bytes_that_are_no_text(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    refused(path, "study")


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "study")
    refused(tmp_path, "study")
    refused(tmp_path / "missing.toml", "study")
    refused(Path("/dev/zero"), "study")
    refused(Path("a\0b"), "study")


def test_file_above_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    with open(path, "wb") as file:
        file.truncate(60 * 10**6)
    refused(path, "study")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "is empty"),
        ("x,y\n", "no rows"),
        ("x\n1\n", "lacks"),
        ("x,y,z\n1,2,3\n", "extra"),
        ("x,y,y\n1,2,3\n", "twice"),
        ("x,y\n1,2,3\n", "3 cells"),
        ("x,y\n1\n", "1 cells"),
        ("x,y\n1,two\n", "line 2"),
        ("x,y\n1,nan\n", "number"),
        ("x,y\n1,inf\n", "number"),
        ("x,y\n1,1e999\n", "finite"),
        ("x,y\n1,\n", "number"),
        ("x,y\n1,1_0\n", "number"),
        ("x,y\n1,\u0661\n", "number"),
        ("x,y\n1,0x10\n", "number"),
        ("x,y\n1,\"=cmd|'/c calc'!A0\"\n", "number"),
        ('x,y\n1,"2\n', "comma-separated"),
        ("x,y\n1," + "9" * 200_000 + "\n", "comma-separated"),
        ("x,y\n1,\0\n", "line"),
        ("x;y\n1;2\n", "extra"),
        ("\ufeffx,y\n1,2\n", "byte order mark"),
    ],
)
def test_hostile_table(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(content, encoding="utf-8")
    path = tmp_path / "study.toml"
    path.write_text(GOOD_STUDY.replace("x = [[1.0], [3.0]]\ny = [1.0, 0.5]", 'file = "points.csv"'))
    assert part in refused(path, "data.file").problem


def test_table_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "points.csv")
    path = tmp_path / "study.toml"
    path.write_text(GOOD_STUDY.replace("x = [[1.0], [3.0]]\ny = [1.0, 0.5]", 'file = "points.csv"'))
    refused(path, "data.file")
