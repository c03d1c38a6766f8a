"""Results as files: the JSON of docs/results.md, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .result_keys import written
from .results import Verdict

__all__ = ["CannotWrite", "ResultFile", "check_writable", "finite", "json_bytes", "study_json", "write_whole"]


class CannotWrite(Exception):
    """A file that an option names cannot be written.

    Parameters
    ----------
    option : str
        As on the command line.
    path : Path
    problem : str or OSError
    """

    def __init__(self, option: str, path: Path, problem: str | OSError) -> None:
        self.option, self.path = option, path
        why = problem if isinstance(problem, str) else (problem.strerror or str(problem)).lower()
        super().__init__(f"{option}={str(path)!r} cannot be written: {why}")


def study_json(
    study: str,
    seed: int,
    seconds: float,
    rows: Sequence[tuple[str, Verdict]],
    several: bool,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document of docs/results.md; in a run of several studies each claim's `study` says whose it is.

    `more` are optional keys that come after it.
    """
    claims = [{**({"study": name} if several else {}), **verdict.as_json()} for name, verdict in rows]
    document = {
        "flatmin": version("flatmin"),
        "study": study,
        "seed": seed,
        "seconds": round(seconds, 3),
        "claims": claims,
        **(more or {}),
    }
    return written("", document)


def finite(document: Any) -> Any:
    """The same document with null for every number that is not finite, which JSON cannot hold."""
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def json_bytes(document: Any) -> bytes:
    """The text of a JSON file."""
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def check_writable(option: str, path: Path) -> None:
    """Raise `CannotWrite` when `path` cannot be written; what stands there stays."""
    if path.is_dir():
        raise CannotWrite(option, path, "it is a folder; name a file")
    # A rename would replace a device or a pipe, and a file that is protected.
    if path.exists() and not path.is_file():
        raise CannotWrite(option, path, "it is no regular file")
    if path.exists() and not os.access(path, os.W_OK):
        raise CannotWrite(option, path, "permission denied")
    if not path.parent.is_dir():
        raise CannotWrite(option, path, f"there is no folder {str(path.parent)!r}; make it first")
    try:
        handle, probe = tempfile.mkstemp(dir=_target(path).parent, prefix=".flatmin-")
        os.close(handle)
        os.unlink(probe)
    except (OSError, ValueError) as error:
        raise CannotWrite(option, path, error if isinstance(error, OSError) else str(error)) from None


def write_whole(option: str, path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    Raises
    ------
    CannotWrite
        The old file stands then.
    """
    target = _target(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".flatmin-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotWrite(option, path, error) from None


class ResultFile:
    """The file of `--json`, rewritten after every finished claim.

    Parameters
    ----------
    path : Path or None
        None writes nothing.
    study : str
    seed : int
    several : bool
        Whether it holds several studies.
    more : mapping, optional
        Optional keys of the document: where it comes from.
    option : str
        For messages.

    Attributes
    ----------
    error : CannotWrite or None
        Why the last attempt failed; the claims go on, and the next attempt writes all of them.

    Raises
    ------
    CannotWrite
        When the file cannot be written there; found out before anything runs.
    """

    def __init__(
        self,
        path: Path | None,
        study: str,
        seed: int,
        several: bool = False,
        more: Mapping[str, Any] | None = None,
        option: str = "--json",
    ) -> None:
        self.path, self.study, self.seed, self.several, self.more = path, study, seed, several, more
        self.option = option
        self.error: CannotWrite | None = None
        if path is not None:
            check_writable(option, path)

    def write(self, rows: Sequence[tuple[str, Verdict]], seconds: float) -> None:
        """Write all finished claims."""
        if self.path is None:
            return
        document = study_json(self.study, self.seed, seconds, rows, self.several, self.more)
        try:
            write_whole(self.option, self.path, json_bytes(document))
            self.error = None
        except CannotWrite as error:
            self.error = error


def _target(path: Path) -> Path:
    # The file that a symbolic link stands for, so that the link stays.
    return Path(os.path.realpath(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
