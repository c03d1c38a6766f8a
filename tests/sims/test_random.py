from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from flatmin.sims import kernel_random as kr
from flatmin.sims.lanes import GAUSSIAN, LANES, RADEMACHER, WITH_REPLACEMENT, WITHOUT_REPLACEMENT
from flatmin.sims.random import block_words, claim_key
from flatmin.sims.replay import Stream, draws
from flatmin.theory import InvalidInput
from scipy import stats

LANES = LANES


def drawn(n, batch, sampling, law, steps, key=(1,)):
    """Indices and noise of the compiled draws, shape (steps, B, lanes)."""
    words = block_words(0, key, 0, LANES)
    flat = np.concatenate([words.ravel(), np.zeros(LANES, dtype=np.uint64)])
    order = np.repeat(np.arange(n, dtype=np.uint64), LANES)
    index, noise = np.empty(LANES, dtype=np.uint64), np.empty(LANES)
    indices, noises = np.empty((steps, batch, LANES), dtype=np.int64), np.empty((steps, batch, LANES))
    for t in range(steps):
        for b in range(batch):
            kr.draw(flat, order, index, noise, np.ones(n), b, kr.turn_of(b, batch, t), sampling, law)
            indices[t, b], noises[t, b] = index, noise
    return indices, noises


def test_stream_is_xoshiro256plusplus():
    # First outputs of the reference implementation for the state 1, 2, 3, 4.
    stream = Stream(np.array([[1], [2], [3], [4]], dtype=np.uint64))
    got = [int(stream.next()[0]) for _ in range(4)]
    assert got == [41943041, 58720359, 3588806011781223, 3591011842654386]


@pytest.mark.parametrize("sampling", [WITH_REPLACEMENT, WITHOUT_REPLACEMENT])
@pytest.mark.parametrize("law", [RADEMACHER, GAUSSIAN])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_compiled_draws_equal_their_replay(sampling, law, batch):
    index, noise = drawn(7, batch, sampling, law, 20)
    words = block_words(0, (1,), 0, LANES)
    for t, (i, eps) in enumerate(draws(words, 7, batch, sampling, law, 20)):
        np.testing.assert_array_equal(index[t], i)
        # Signs are exact; a normal is a cosine right to 1e-15 times a radius below 9.
        np.testing.assert_allclose(noise[t], eps, rtol=0, atol=0 if law == RADEMACHER else 1e-14)


@pytest.mark.parametrize("sampling", [WITH_REPLACEMENT, WITHOUT_REPLACEMENT])
def test_indices_are_uniform_and_signs_fair(sampling):
    index, noise = drawn(7, 3, sampling, RADEMACHER, 2000)
    # 384,000 draws at a fixed seed; a test at level 1e-4 each, in 7 + 2 cells and for their joint law.
    for b in range(3):
        table = np.array([[np.sum((index[:, b] == i) & (noise[:, b] == s)) for i in range(7)] for s in (-1, 1)])
        assert stats.chisquare(table.ravel()).pvalue > 1e-4
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)


def test_without_replacement_visits_distinct_indices():
    index, _ = drawn(7, 5, WITHOUT_REPLACEMENT, RADEMACHER, 200)
    ordered = np.sort(index, axis=1)
    assert np.all(np.diff(ordered, axis=1) > 0)
    whole, _ = drawn(7, 7, WITHOUT_REPLACEMENT, RADEMACHER, 200)
    assert np.array_equal(np.sort(whole, axis=1), np.broadcast_to(np.arange(7)[:, None], whole.shape))


def test_draws_of_one_step_are_independent():
    _, noise = drawn(2, 2, WITH_REPLACEMENT, RADEMACHER, 2000)
    correlation = np.mean(noise[:, 0] * noise[:, 1])
    assert abs(correlation) < 4 / np.sqrt(noise[:, 0].size)
    assert abs(np.mean(noise[1:, 0] * noise[:-1, 0])) < 4 / np.sqrt(noise[1:, 0].size)


def pair_tail(batch):
    """Chi-square tail of the joint law of sample and sign of two draws that share a word, 36 cells."""
    index, noise = drawn(3, batch, WITH_REPLACEMENT, RADEMACHER, 4000)
    code = (2 * index + (noise < 0)).reshape(-1, 2, LANES)
    return stats.chisquare(np.bincount((6 * code[:, 0] + code[:, 1]).ravel(), minlength=36)).pvalue


@pytest.mark.parametrize("batch", [1, 2])
def test_two_draws_from_one_word_are_independent(batch, monkeypatch):
    # Batches of one share a word between two steps.
    assert pair_tail(batch) > 1e-4
    # A mutant: the lower half of the word is its upper half again.
    draw = kr.draw
    monkeypatch.setattr(kr, "draw", lambda words, *rest: draw(twice(words, rest[-3]), *rest))
    assert pair_tail(batch) < 1e-4


def twice(words, turn):
    """The generators, with the last words' upper halves in both halves where those were used."""
    if turn:
        last = words[4 * LANES :]
        last[:] = (last >> np.uint64(32)) * np.uint64(2**32 + 1)
    return words


def test_normals_are_normal():
    _, noise = drawn(2, 1, WITH_REPLACEMENT, GAUSSIAN, 2000)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    assert abs(np.mean(noise**4) - 3) < 4 * np.sqrt(96 / noise.size)


def test_streams_differ_by_seed_key_block_and_lane():
    words = [
        block_words(seed, key, block, 8)
        for seed in (0, 1)
        for key in ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**32,), (0, 2**32), (1 << 40,))
        for block in (0, 1)
    ]
    columns = np.concatenate(words, axis=1).T
    assert len({tuple(map(int, c)) for c in columns}) == len(columns)


def test_fixed_seed_gives_fixed_words():
    assert int(block_words(7, (1, 2), 3, 4)[0, 0]) == 16051059186777812050
    assert claim_key("drift (derived)") == 2271768812575144133


def test_claim_key_is_the_same_in_another_process():
    code = "from flatmin.sims.random import claim_key; print(claim_key('where label noise takes it'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) == claim_key("where label noise takes it")


@pytest.mark.parametrize(("seed", "key"), [(-1, ()), (0, (-1,)), (2**64, ()), (0, (2**64,))])
def test_seed_and_key_out_of_range_are_refused(seed, key):
    with pytest.raises(InvalidInput, match="whole numbers"):
        block_words(seed, key, 0, 4)
