"""Reading what a user names: text files and tables of numbers, never a device and never more than a limit."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from .checks import real_number
from .errors import InvalidInput
from .syntax import quote

__all__ = ["read_table", "read_text"]

_MAX_BYTES = 50 * 10**6
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)


def read_text(field: str, path: Path) -> str:
    """Return the text of a regular UTF-8 file of at most 50 MB; anything else raises `InvalidInput`."""
    shown = quote(str(path))
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(field, f"={shown} cannot be read: {reason.lower()}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(field, f"={shown} must be a regular file")
    with open(descriptor, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InvalidInput(field, f"={shown} is larger than {_MAX_BYTES // 10**6} MB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(field, f"={shown} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise InvalidInput(field, f"={shown} starts with a byte order mark; save it as UTF-8 without one")
    return text


def read_table(field: str, path: Path, inputs: Sequence[str] | None = None) -> tuple[list[list[float]], list[float]]:
    """Return the columns `inputs` (rows of x) and ``y`` of a CSV file whose header names exactly these.

    Without `inputs` every column but ``y`` is one.
    """
    shown = quote(str(path))
    rows = csv.reader(io.StringIO(read_text(field, path)), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if not header:
            raise InvalidInput(field, f"={shown} is empty; its first line must name the columns")
        if inputs is None:
            if "y" not in header:
                raise InvalidInput(
                    field, f"={shown} has no column y; the header must name one for the targets or classes"
                )
            inputs = list(dict.fromkeys(name for name in header if name != "y"))
        _check_header(field, shown, header, [*inputs, "y"])
        columns = [header.index(name) for name in inputs]
        x: list[list[float]] = []
        y: list[float] = []
        for row in rows:
            if not row:
                continue
            where = f"={shown} line {rows.line_num}"
            if len(row) != len(header):
                raise InvalidInput(field, f"{where} has {len(row)} cells; the header names {len(header)}")
            values = [_cell(field, f"{where}, column {quote(h)}", cell) for h, cell in zip(header, row, strict=True)]
            x.append([values[c] for c in columns])
            y.append(values[header.index("y")])
    except csv.Error as error:
        raise InvalidInput(field, f"={shown} line {rows.line_num} is no comma-separated line: {error}") from None
    if not y:
        raise InvalidInput(field, f"={shown} has no rows; give at least one sample")
    return x, y


def _check_header(field: str, shown: str, header: Sequence[str], wanted: Sequence[str]) -> None:
    names = f"the columns must be {list(wanted)}"
    for column in header:
        if column not in wanted:
            raise InvalidInput(field, f"={shown} has an extra column {quote(column)}; {names}")
        if header.count(column) > 1:
            raise InvalidInput(field, f"={shown} has the column {quote(column)} twice; {names}")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InvalidInput(field, f"={shown} lacks the columns {missing}; {names}")


def _cell(field: str, where: str, cell: str) -> float:
    if not _NUMBER.fullmatch(cell):
        raise InvalidInput(field, f"{where}: {quote(cell)} must be a finite number")
    try:
        return real_number(field, float(cell))
    except InvalidInput:
        raise InvalidInput(field, f"{where}: {quote(cell)} must be finite") from None
