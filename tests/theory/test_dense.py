"""Blocked factors and inverses against LAPACK's, whatever the blocks; and what is no positive matrix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from flatmin.theory.dense import factorize, invert, scratch


def positive(size, seed=0):
    root = np.random.default_rng([seed, size]).normal(size=(size, size))
    return root @ root.T / size + np.eye(size)


@pytest.mark.parametrize("size", [1, 4, 5, 13])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_factor_and_inverse_are_those_of_lapack(size, block):
    matrix = positive(size)
    ours = np.tril(matrix) + np.triu(np.full((size, size), 7.0), 1)  # what is above the diagonal is not read
    factorize(ours, block)
    # Conditions of about 5: a few roundings of 2e-16 each.
    np.testing.assert_allclose(np.tril(ours), np.linalg.cholesky(matrix), rtol=0, atol=1e-13)
    invert(ours, block)
    np.testing.assert_allclose(np.tril(ours), np.tril(np.linalg.inv(matrix)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("block", [1, 4, 100])
def test_a_matrix_that_is_not_positive_has_no_factor(block):
    matrix = positive(9)
    matrix -= 1.001 * np.linalg.eigvalsh(matrix)[0] * np.eye(9)
    with pytest.raises(np.linalg.LinAlgError):
        factorize(matrix, block)


def test_scratch_belongs_to_a_thread():
    ours = scratch(6)
    assert scratch(6) is ours
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(scratch, 6).result()
    assert not np.shares_memory(ours, theirs)
    assert scratch(5).shape == (5, 5)
