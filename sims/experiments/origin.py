"""What a stored result depends on besides its setting: the texts and versions that made it, as one hash."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flatmin.theory

__all__ = ["digest", "library", "origin"]

# The numbers of flatmin and of these may change with their versions: streams of random numbers, orders of sums.
_PACKAGES = ("flatmin", "numpy", "scipy", "numba", "llvmlite")


def origin(run: Callable[..., Any]) -> str:
    """Hash of the script that holds `run` (a prompt has none), of every module of the library, and of the versions."""
    try:
        text = inspect.getsource(inspect.getmodule(run) or run)
    except (OSError, TypeError):
        text = ""
    return _hash(library(), text)


def digest(made: str, run: Callable[..., Any], setting: Mapping[str, Any]) -> str:
    """Name of the result of a function for a setting; `made` is its `origin`."""
    return _hash(made, run.__qualname__, json.dumps(dict(setting), sort_keys=True, allow_nan=False))


@cache
def library() -> str:
    """Hash of versions and of the text of every module: which of them a script uses shows when it runs only."""
    return _hash(*(f"{package} {version(package)}" for package in _PACKAGES), *_texts())


def _texts() -> Iterator[str]:
    for root in (Path(flatmin.theory.__file__).parent, Path(__file__).parent.parent):
        for path in sorted(root.rglob("*.py")):
            yield f"{root.name}/{path.relative_to(root)}\n{path.read_text('utf-8')}"


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
