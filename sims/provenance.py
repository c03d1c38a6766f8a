"""Where a result comes from: the study itself, the program's version and commit, and the machine."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from flatmin.theory.study import Study

from .result_keys import written

__all__ = ["commit", "machine", "origin"]

# Numbers of a data file that are kept in a result; a report of a larger study has no derivation.
_MOST_NUMBERS = 20_000


def origin(studies: Sequence[Study], label: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The optional keys of a result that say how it was made and how to make it again.

    Parameters
    ----------
    studies : sequence of Study
    label : str or None
        As on the command line; None for the catalogue.
    options : mapping
        Other options of `flatmin verify`, by name; those that are None or False were not given.
    """
    words = ["flatmin", "verify", *([label] if label else [])]
    for name, value in options.items():
        if value is not None and value is not False:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    made: dict[str, Any] = {"command": shlex.join(words), "machine": machine()}
    known = commit()
    return made | ({"commit": known} if known else {}) | {"studies": [_entry(study) for study in studies]}


def _entry(study: Study) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": study.name, "text": study.text}
    model = study.model
    if study.data_file and model.x.size + model.y.size <= _MOST_NUMBERS:
        entry["data"] = {"y": model.y.tolist()} | ({"x": model.x.tolist()} if model.inputs else {})
    return written("study", entry)


def machine() -> dict[str, str]:
    """Versions, processor and threads, by name."""
    from .doctor import environment

    return {finding.name: finding.value for finding in environment()}


def commit() -> str | None:
    """The commit that runs, with "-dirty" where files were changed since; None where nobody knows."""
    root = Path(__file__).resolve().parent.parent
    if (root / ".git").exists() and (root / "setup.cfg").is_file():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() or None
    try:
        # How pip records a package from a repository: PEP 610.
        recorded = distribution("flatmin").read_text("direct_url.json")
        return json.loads(recorded)["vcs_info"]["commit_id"] if recorded else None
    except (PackageNotFoundError, KeyError, ValueError):
        return None
