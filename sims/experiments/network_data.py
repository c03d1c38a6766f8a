"""Data of the network experiments: the digits of scikit-learn, or a file of the user's; a split for each seed."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flatmin.theory.checks import real_array
from flatmin.theory.errors import InvalidInput
from flatmin.theory.files import read_table
from numpy.typing import NDArray

from ..extras import load

__all__ = ["Samples", "Split", "digits", "read_samples"]

Array = NDArray[np.float64]

# Mean squared length of a sample after scaling: that of the digits, for which starts and learning rates were chosen.
_SQUARED_LENGTH = 32.0
_FEWEST = 40
_NUMBERED = "classes are 0, 1, ..., K-1, as numpy.unique(y, return_inverse=True)[1] numbers them"


@dataclass(frozen=True)
class Split:
    """Training and test samples, centred and scaled by the training samples.

    Attributes
    ----------
    x, test_x : ndarray, shapes (n, D) and (N - n, D)
    y, test_y : ndarray of int
    """

    x: Array
    y: NDArray[np.int64]
    test_x: Array
    test_y: NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """A set of samples with classes.

    Attributes
    ----------
    name : str
    x : ndarray, shape (N, D)
    y : ndarray of int, shape (N,)
        Classes 0 to K - 1, each there.
    """

    name: str
    x: Array
    y: NDArray[np.int64]

    @property
    def classes(self) -> int:
        """K."""
        return int(self.y.max()) + 1

    @property
    def digest(self) -> str:
        """What tells these samples from others."""
        return hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()[:16]

    def split(self, seed: int, training: int) -> Split:
        """Draw `training` samples to learn from; the rest, half of all at least, are for the test."""
        order = np.random.default_rng([seed, 1]).permutation(len(self.y))
        count = min(training, len(self.y) // 2)
        train, test = order[:count], order[count:]
        x = self.x - self.x[train].mean(axis=0)
        with np.errstate(over="ignore"):
            size = float(np.mean(np.sum(x[train] ** 2, axis=1)))
        if not size > 0:
            raise InvalidInput("data X", " is the same for all samples; nothing can be learned from it")
        if not np.isfinite(size):
            raise InvalidInput("data X", " holds numbers whose squares are too large; give them in another unit")
        x *= np.sqrt(_SQUARED_LENGTH / size)
        return Split(x[train], self.y[train], x[test], self.y[test])


def digits() -> Samples:
    """The 1797 images of 8 x 8 pixels that come with scikit-learn.

    Raises
    ------
    InvalidInput
        When scikit-learn is not installed.
    """
    x, y = load("experiments", "an experiment", "sklearn.datasets").load_digits(return_X_y=True)
    return Samples("digits", np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64))


def read_samples(path: Path) -> Samples:
    """Samples of an .npz file with arrays X and y, or of a CSV file with a header, whose column y is the class.

    Raises
    ------
    InvalidInput
        When it cannot be read, a number is not finite, labels are not 0 to K - 1 with two at least, or samples are few.
    """
    if not path.is_file():
        raise InvalidInput("--data", f"={str(path)!r} is no file")
    kind = path.suffix.lower()
    if kind not in (".npz", ".csv"):
        raise InvalidInput("--data", f"={str(path)!r} must end in .npz or .csv")
    x, y = _read_npz(path) if kind == ".npz" else read_table("--data", path)
    x = real_array("data X", x, 2)
    try:
        labels = real_array("data y", y, 1)
    except InvalidInput as error:
        raise InvalidInput(error.field, f"{error.problem}; {_NUMBERED}") from None
    if len(x) != len(labels):
        raise InvalidInput("data y", f" has {len(labels)} entries for {len(x)} samples; give one for each")
    if x.shape[1] == 0:
        raise InvalidInput("data X", " has no columns; give at least one number for each sample")
    return Samples(path.name, x, _classes(labels))


def _classes(labels: Array) -> NDArray[np.int64]:
    found = np.unique(labels)
    shown = ", ".join(f"{v:g}" for v in found[:12]) + (", ..." if len(found) > 12 else "")
    if len(found) < 2:
        raise InvalidInput("data y", f" holds the one class {shown}; at least two are needed")
    if not np.array_equal(found, np.arange(len(found))):
        raise InvalidInput("data y", f" holds {shown}; {_NUMBERED}")
    if len(labels) < max(_FEWEST, 4 * len(found)):
        least = max(_FEWEST, 4 * len(found))
        raise InvalidInput("data", f": {len(labels)} samples of {len(found)} classes; give at least {least}")
    return labels.astype(np.int64)


def _read_npz(path: Path) -> tuple[Any, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = {"X", "y"} - set(file.files)
            if missing:
                raise InvalidInput("--data", f"={str(path)!r} has no array {min(missing)}; it must hold X and y")
            return file["X"], file["y"]
    except InvalidInput:
        raise
    # TypeError: one array, which is no archive; the last three: a compressed archive that is damaged or encrypted.
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        NotImplementedError,
    ) as error:
        if "Object arrays" in str(error):
            raise InvalidInput("--data", f"={str(path)!r} holds Python objects; save arrays of numbers") from None
        raise InvalidInput("--data", f"={str(path)!r} cannot be read as .npz: {error}") from None
