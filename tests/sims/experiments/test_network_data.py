"""Samples from files: what is read, and every refusal with its message."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.sims import extras
from flatmin.sims.experiments.network_data import digits, read_samples
from flatmin.theory import InvalidInput

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 3


def npz(folder, **arrays):
    np.savez(folder / "file.npz", **arrays)
    return folder / "file.npz"


def table(folder, rows, header="a,b,c,y"):
    lines = [",".join(map(str, row)) for row in rows]
    (folder / "file.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder / "file.csv"


def test_npz_and_csv_give_the_same(tmp_path):
    one = read_samples(npz(tmp_path, X=X, y=Y))
    two = read_samples(table(tmp_path, [[label, *row] for row, label in zip(X.tolist(), Y, strict=True)], "y,a,b,c"))
    assert (one.x == two.x).all()
    assert (one.y == two.y).all()
    assert (one.classes, one.digest, one.name, two.name) == (3, two.digest, "file.npz", "file.csv")


def test_a_split_is_centred_scaled_disjoint_and_its_own_for_each_seed(tmp_path):
    samples = read_samples(npz(tmp_path, X=X, y=Y))
    split = samples.split(5, 20)
    assert (len(split.x), len(split.test_x)) == (20, 40)
    assert split.x.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    assert np.mean(np.sum(split.x**2, axis=1)) == pytest.approx(32.0)
    scale = np.ptp(np.concatenate([split.x, split.test_x]), axis=0) / np.ptp(X, axis=0)
    assert scale == pytest.approx(np.full(3, scale[0]))
    assert sorted(np.concatenate([split.y, split.test_y])) == sorted(Y)
    assert not np.allclose(split.x, samples.split(6, 20).x)
    assert len(samples.split(5, 300).x) == 30  # half at most


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, np.zeros(60), "one class 0"),
        (X, Y + 1, "holds 1, 2, 3; classes are 0, 1"),
        (X, np.where(Y == 1, 3, Y), "holds 0, 2, 3"),
        (X, Y - 0.5, "classes are"),
        (X, np.where(np.arange(60) == 7, np.nan, Y), r"data y\[7\]=nan must be finite"),
        (np.where(np.arange(180).reshape(60, 3) == 4, np.inf, X), Y, r"data X\[1\]\[1\]=inf must be finite"),
        (X[:20], Y[:20], "20 samples of 3 classes; give at least 40"),
        (X, Y[:30], "30 entries for 60 samples"),
        (X[:, 0], Y, "1 dimensions; it must have 2"),
        (X[:, :0], Y, "no columns"),
        (X, np.array(["a"] * 60), r"data y\[0\]='a' must be a number; classes are 0, .* return_inverse=True"),
        (X, Y == 1, r"data y\[0\]=False must be a number; classes are"),
        (X, np.array(["a"] * 60, dtype=object), "holds Python objects; save arrays of numbers"),
    ],
)
def test_arrays_that_are_refused(tmp_path, x, y, message):
    with pytest.raises(InvalidInput, match=message):
        read_samples(npz(tmp_path, X=x, y=y))


@pytest.mark.parametrize("kind", ["an array", "damaged", "encrypted", "another compression"])
def test_archives_that_cannot_be_read(tmp_path, kind):
    path = tmp_path / "file.npz"
    np.savez_compressed(path, X=X, y=Y)
    raw = bytearray(path.read_bytes())
    if kind == "an array":
        with path.open("wb") as file:
            np.save(file, X)
    elif kind == "damaged":
        raw[60:400] = bytes(340)
    else:
        # Flags and method in the first local header and in the central directory; method 99 is AES.
        offset, value = (0, 1) if kind == "encrypted" else (2, 99)
        raw[6 + offset] = raw[raw.index(b"PK\x01\x02") + 8 + offset] = value
    if kind != "an array":
        path.write_bytes(raw)
    with pytest.raises(InvalidInput, match=r"cannot be read as \.npz"):
        read_samples(path)


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="has no array y"):
        read_samples(npz(tmp_path, X=X))
    with pytest.raises(InvalidInput, match="is no file"):
        read_samples(tmp_path / "none.npz")
    for row, header, message in [
        ([1, 2, 3], "a,b,c,y", "line 2 has 3 cells"),
        ([1, 2, "x", 0], "a,b,c,y", '"x" must be a finite number'),
        ([1, 2, 3, 0], "a,b,c,d", "has no column y; the header must name one"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            read_samples(table(tmp_path, [row], header))
    for name, message in (("broken.npz", "cannot be read"), ("data.txt", "must end in .npz or .csv")):
        (tmp_path / name).write_text("no archive")
        with pytest.raises(InvalidInput, match=message):
            read_samples(tmp_path / name)


def test_samples_that_are_all_alike(tmp_path):
    with pytest.raises(InvalidInput, match="the same for all samples"):
        read_samples(npz(tmp_path, X=np.ones((60, 3)), y=Y)).split(0, 20)


def test_samples_whose_squares_overflow(tmp_path):
    with pytest.raises(InvalidInput, match="squares are too large"):
        read_samples(npz(tmp_path, X=1e200 * X, y=Y)).split(0, 20)


def test_the_digits_need_the_extra(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"sklearn, which is not installed; pip install 'flatmin\[experiments\]'"):
        digits()
