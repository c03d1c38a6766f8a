"""Results as files: the JSON of spec.md, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .results import Verdict

__all__ = ["ResultFile", "check_writable", "study_json", "write_whole"]


def study_json(study: str, seed: int, seconds: float, rows: Sequence[tuple[str, Verdict]]) -> dict[str, Any]:
    """The document of spec.md; in a run of several studies each claim's `study` says whose it is."""
    several = len({name for name, _ in rows}) > 1
    claims = [{**({"study": name} if several else {}), **verdict.as_json()} for name, verdict in rows]
    return {
        "flatmin": version("flatmin"),
        "study": study,
        "seed": seed,
        "seconds": round(seconds, 3),
        "claims": claims,
    }


def check_writable(path: Path) -> None:
    """Raise `OSError` when `path` cannot be written; what stands there stays."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    handle, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    os.unlink(probe)


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class ResultFile:
    """The file of `--json`, rewritten after every finished claim.

    Parameters
    ----------
    path : Path or None
        None writes nothing.
    study : str
    seed : int

    Raises
    ------
    OSError
        When the file cannot be written there; found out before anything runs.
    """

    def __init__(self, path: Path | None, study: str, seed: int) -> None:
        self.path, self.study, self.seed = path, study, seed
        if path is not None:
            check_writable(path)

    def write(self, rows: Sequence[tuple[str, Verdict]], seconds: float) -> None:
        """Write all finished claims."""
        if self.path is not None:
            document = study_json(self.study, self.seed, seconds, rows)
            write_whole(self.path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
