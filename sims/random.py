"""Seeds: which random numbers a block of replicas uses, whatever runs beside it."""

from __future__ import annotations

import hashlib

import numpy as np
from flatmin.theory.errors import InvalidInput
from numpy.typing import NDArray

__all__ = ["block_words", "claim_key"]


def block_words(seed: int, key: tuple[int, ...], block: int, lanes: int) -> NDArray[np.uint64]:
    """Initial xoshiro256++ states of one block of replicas, shape (4, lanes).

    Parameters
    ----------
    seed : int
        Of the whole study.
    key : tuple of int
        What the numbers are for: claim, place on the ladder of noise strengths, ...
    block : int
        Number of the block of replicas.
    lanes : int
        Replicas in a block.
    """
    parts = (*key, block)
    if not all(0 <= part < 2**64 for part in (seed, *parts)):
        raise InvalidInput("run.seed", f"={seed} and key={parts} must be whole numbers from 0 to 2**64 - 1")
    # Two words each, so that no two keys give the same sequence of words.
    words = [half for part in parts for half in (part & 0xFFFFFFFF, part >> 32)]
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=tuple(words))
    return sequence.generate_state(4 * lanes, np.uint64).astype(np.uint64).reshape(4, lanes)


def claim_key(text: str) -> int:
    """A number for a text, the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
