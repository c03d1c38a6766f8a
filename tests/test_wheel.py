"""The wheel holds every module of both folders and nothing else, and works where the repository is not."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("theory", "sims")

IMPORT_ALL = """
import importlib, sys
unpacked, names = sys.argv[1], sys.argv[2:]
sys.path.insert(0, unpacked)
# An editable installation answers for the same names through a finder of its own; only paths count here.
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in f"{getattr(f, '__name__', '')}{f!r}".lower()]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(unpacked), module.__file__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A copy: building leaves files behind, and old ones of the working tree could enter the wheel.
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    if _can_build_here():
        command.insert(4, "--no-build-isolation")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def _can_build_here() -> bool:
    try:
        # From this version on, setuptools builds wheels without another package.
        return tuple(map(int, importlib.metadata.version("setuptools").split(".")[:2])) >= (70, 1)
    except importlib.metadata.PackageNotFoundError:
        return False


def expected_files() -> set[str]:
    found = {f"flatmin/{folder}/py.typed" for folder in FOLDERS}
    for folder in FOLDERS:
        found |= {f"flatmin/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / folder).rglob("*.py")}
    data = [*(ROOT / "sims").glob("catalogue/*.toml"), *(ROOT / "sims").glob("report/templates/*")]
    return found | {f"flatmin/{p.relative_to(ROOT).as_posix()}" for p in data}


def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
    assert names == expected_files()


def test_every_module_imports_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
        modules = [n.removesuffix(".py").replace("/", ".") for n in archive.namelist() if n.endswith(".py")]
    names = sorted(m.removesuffix(".__init__") for m in modules)
    assert {"flatmin.theory.model", "flatmin.sims"} <= set(names)
    command = [sys.executable, "-I", "-c", IMPORT_ALL, str(unpacked), *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
