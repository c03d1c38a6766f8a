"""Seeds: which random numbers a block of replicas uses, whatever runs beside it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from flatmin.theory.errors import InvalidInput
from numpy.typing import NDArray

__all__ = ["block_words", "claim_key"]


def block_words(seed: int, key: tuple[int, ...], block: int, lanes: int, count: int = 1) -> NDArray[np.uint64]:
    """Initial xoshiro256++ states of a block of replicas and those that follow, shape (4, lanes * count).

    Each replica has a stream of its own, which depends on the number of the replica and not on the block it is in.
    Words of different replicas differ, because what is mixed differs and the mixing (SplitMix64) is one to one.

    Parameters
    ----------
    seed : int
        Of the whole study.
    key : tuple of int
        What the numbers are for: claim, place on the ladder of noise strengths, ...
    block : int
        Number of the block of replicas: it begins with replica block * lanes.
    lanes : int
        Replicas in a block.
    count : int
        Number of blocks.

    References
    ----------
    Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
    """
    if not all(0 <= part < 2**64 for part in (seed, *key, block)):
        raise InvalidInput("run.seed", f"={seed} and key={(*key, block)} must be whole numbers from 0 to 2**64 - 1")
    replica = np.uint64(block * lanes + 1) + np.arange(lanes * count, dtype=np.uint64)
    return _mixed(np.asarray(_base(seed, key)[:, None] + replica * np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64))


@lru_cache(maxsize=256)
def _base(seed: int, key: tuple[int, ...]) -> NDArray[np.uint64]:
    # Two words each, so that no two keys give the same sequence of words.
    words = [half for part in key for half in (part & 0xFFFFFFFF, part >> 32)]
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=tuple(words))
    return sequence.generate_state(4, np.uint64).astype(np.uint64)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def claim_key(text: str) -> int:
    """A number for a text, the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
