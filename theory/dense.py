"""Cholesky factors and inverses of large dense matrices in place, block by block.

The same as LAPACK's potrf and potri to rounding. It exists for matrices of thousands of rows that are wanted again and
again, from several threads: nothing of the size of the matrix is allocated, and NumPy's products let other threads run,
where SciPy's wrappers of LAPACK hold Python's lock.
Reference: Golub and Van Loan, *Matrix Computations* (2013), Section 4.2 (blocked Cholesky).
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["factorize", "invert", "scratch"]

Array = NDArray[np.float64]

# Rows of a block: products of three such are as fast as larger ones, and stay in a second-level cache.
_BLOCK = 192
_kept = threading.local()


def scratch(size: int) -> Array:
    """A matrix of this size that belongs to the calling thread, with anything in it; the next call takes it back."""
    matrix = getattr(_kept, "matrix", None)
    if matrix is None or len(matrix) != size:
        _kept.matrix = matrix = np.empty((size, size))
    return np.asarray(matrix)


def factorize(matrix: Array, block: int = _BLOCK) -> None:
    """Put the lower Cholesky factor in the place of a symmetric matrix, of which the lower triangle is read.

    What is above the diagonal is of no meaning afterwards.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the matrix is not positive definite.
    """
    for part in _parts(len(matrix), block):
        here, before, rest = slice(part.start, None), slice(0, part.start), slice(part.stop, None)
        matrix[here, part] -= matrix[here, before] @ matrix[part, before].T
        matrix[part, part] = np.linalg.cholesky(matrix[part, part])
        matrix[rest, part] = matrix[rest, part] @ np.linalg.inv(matrix[part, part]).T


def invert(factor: Array, block: int = _BLOCK) -> None:
    """Put the inverse of a matrix, its lower triangle with whole blocks, in the place of its lower Cholesky factor."""
    parts = _parts(len(factor), block)
    # The inverse X of the factor L, column by column: X_mp = -X_mm sum_q L_mq X_qp over p <= q < m; the columns to the
    # right still hold L.
    turns = [np.tril(np.linalg.inv(np.tril(factor[part, part]))) for part in parts]
    for k, part in enumerate(parts):
        factor[part, part] = turns[k]
        for row, turn in zip(parts[k + 1 :], turns[k + 1 :], strict=True):
            above = slice(part.start, row.start)
            factor[row, part] = -turn @ (factor[row, above] @ factor[above, part])
    # X^T X, row by row: a row needs those of X from its own on, so that earlier ones can hold results.
    for part in parts:
        rest = slice(part.start, None)
        factor[part, : part.stop] = factor[rest, part].T @ factor[rest, : part.stop]


def _parts(size: int, block: int) -> list[slice]:
    return [slice(first, min(first + block, size)) for first in range(0, size, block)]
