"""The built-in studies of the paper's main theorem: one TOML file each, in the format that users write."""

from __future__ import annotations

from importlib.resources import as_file, files

from flatmin.theory.study import Study, read_study

__all__ = ["load", "names"]


def names() -> tuple[str, ...]:
    """Names of the studies, in the order in which they run."""
    return tuple(sorted(entry.name[:-5] for entry in files(__name__).iterdir() if entry.name.endswith(".toml")))


def load(name: str) -> Study:
    """Read one study of the catalogue."""
    with as_file(files(__name__) / f"{name}.toml") as path:
        return read_study(path)
