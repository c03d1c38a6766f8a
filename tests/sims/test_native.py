"""Machine code that is called without Numba: what it takes, what it refuses, what it needs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from flatmin.sims import cache, native
from flatmin.sims.templates import COMPILED, IMPORTS

ALL_KINDS = f"""\
{COMPILED}{IMPORTS}
@exported("void(f8[::1], f8[:, ::1], i8[::1], u8[::1], b1[::1], i8, f8)")
def fill(numbers, table, whole, words, flags, count, number):
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] = 10 * i + j
    numbers[:] = number
    whole[:] = -count
    words[:] = words.size
    for k in range(flags.size):
        flags[k] = not flags[k]
"""


def arguments():
    kinds = {"numbers": (3,), "table": (2, 5), "whole": (4,), "words": (2,), "flags": (3,)}
    types = {"whole": np.int64, "words": np.uint64, "flags": bool}
    return [np.ones(shape, dtype=types.get(name, np.float64)) for name, shape in kinds.items()] + [7, -2.5]


@pytest.fixture(scope="module")
def fill(tmp_path_factory):
    return cache.build_module(ALL_KINDS, tmp_path_factory.mktemp("native")).fill


def test_all_kinds_of_arguments_arrive(fill):
    given = arguments()
    given[4][0] = False
    assert fill(*given) is None
    numbers, table, whole, words, flags = given[:5]
    assert numbers.tolist() == [-2.5] * 3
    assert table.tolist() == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]
    assert (whole.tolist(), words.tolist(), flags.tolist()) == ([-7] * 4, [2, 2], [True, False, False])


def test_a_part_of_an_array_is_taken_as_it_is(fill):
    memory, given = np.zeros(9), arguments()
    given[0] = memory[2:5]
    fill(*given)
    assert memory.tolist() == [0, 0, -2.5, -2.5, -2.5, 0, 0, 0, 0]


def test_empty_arrays(fill):
    fill(np.zeros(0), np.zeros((0, 4)), *arguments()[2:])


WRONG = {
    "a list": (0, [1.0, 2.0]),
    "nothing": (0, None),
    "a number": (1, 3.0),
    "a subclass": (0, np.ma.zeros(3)),
    "single precision": (0, np.zeros(3, dtype=np.float32)),
    "numbers for words": (3, np.zeros(2)),
    "signed for unsigned": (3, np.zeros(2, dtype=np.int64)),
    "one dimension for two": (1, np.zeros(4)),
    "two dimensions for one": (0, np.zeros((3, 1))),
    "every second number": (0, np.zeros(6)[::2]),
    "columns first": (1, np.zeros((2, 5), order="F")),
    "not aligned": (0, np.zeros(25, dtype=np.uint8)[1:].view(np.float64)),
    "read-only": (0, np.frombuffer(b"\0" * 24)),
    "other byte order": (0, np.zeros(3, dtype=np.dtype(np.float64).newbyteorder())),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_arrays_that_do_not_fit_are_refused(fill, wrong):
    place, value = WRONG[wrong]
    given = arguments()
    given[place] = value
    before = [np.copy(a) for a in given if isinstance(a, np.ndarray)]
    with pytest.raises(TypeError, match=f"fill: argument {place + 1} must be"):
        fill(*given)
    after = [a for a in given if isinstance(a, np.ndarray)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "nothing was written"


def test_wrong_numbers_and_counts_are_refused(fill):
    *rest, count, number = arguments()
    for wrong in (1.5, None, "1", 2**63):
        with pytest.raises(TypeError, match="fill: a number among the arguments"):
            fill(*rest, wrong, number)
    with pytest.raises(TypeError, match="fill: a number among the arguments"):
        fill(*rest, count, "1")
    with pytest.raises(TypeError):
        fill(*rest, count)


def test_an_array_that_numpy_keeps_elsewhere_is_seen(monkeypatch):
    native._check_layout.__wrapped__()
    monkeypatch.setattr(native, "_TYPE", native._TYPE + 8)
    with pytest.raises(RuntimeError, match="another way"):
        native._check_layout.__wrapped__()


def test_no_function_is_made_before_that_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "_check_layout", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cache.build_module(FAILS, tmp_path)


FAILS = f"""\
{COMPILED}{IMPORTS}
@exported("void(f8[::1], i8)")
def fails(numbers, count):
    if count < 0:
        raise ValueError
    numbers[0] = count
"""


def test_a_function_that_fails_is_seen(tmp_path):
    fails, numbers = cache.build_module(FAILS, tmp_path).fails, np.zeros(1)
    fails(numbers, 3)
    assert numbers[0] == 3
    with pytest.raises(RuntimeError, match="fails failed"):
        fails(numbers, -1)


GAMMA = f"""\
import numpy as np


def f(x):
    out = np.zeros(1)
    put(out, x)
    return float(out[0])


{COMPILED}{IMPORTS}
@exported("void(f8[::1], f8)")
def put(out, x):
    out[0] = math.gamma(x) + math.sin(x)
"""


def in_a_process(root, code):
    environment = os.environ | {"FLATMIN_CACHE_DIR": str(root)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_what_only_numba_has_is_there(tmp_path):
    """The gamma function is Numba's; a process that lacked it would be ended by LLVM."""
    code = f"""\
import sys
from flatmin.sims.cache import load_module
f = load_module({GAMMA!r}).f
print(f(5.5), "numba" in sys.modules)
"""
    first, second = in_a_process(tmp_path, code), in_a_process(tmp_path, code)
    assert first == second
    assert float(first[0]) == pytest.approx(52.34277778455352 + np.sin(5.5), rel=1e-14)
    assert second[1] == "True"


def test_numba_that_may_not_compile_is_told_of(tmp_path):
    code = f"""\
from flatmin.sims.cache import load_module
from flatmin.theory import InvalidInput
try:
    load_module({GAMMA!r})
except InvalidInput as error:
    print("unset" in str(error))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"FLATMIN_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "1"},
    )
    assert run.stdout == "True\n", run.stderr


STUDY = """\
import sys
from flatmin.sims.cli import main
from flatmin.sims import cli, kernel
try:
    main(["verify", "uv", "--quiet", "--budget", "0.01"])
except SystemExit as end:
    print(end.code in (0, 3), "numba" in sys.modules)
"""


def test_a_study_whose_kernels_are_known_is_decided_without_numba(tmp_path):
    assert in_a_process(tmp_path, STUDY) == ["True", "True"], "they were compiled"
    assert in_a_process(tmp_path, STUDY) == ["True", "False"]
