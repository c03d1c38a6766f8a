from __future__ import annotations

import json
import subprocess
import sys
import warnings

import pytest
from flatmin.sims import cache, native
from flatmin.sims.templates import COMPILED, IMPORTS
from numba.core import config

# What flatmin generates, and any other module with machine code that Numba keeps.
GENERATED = f"""\
import numpy as np


def f(k):
    out = np.zeros(1, dtype=np.int64)
    add(out, k)
    return int(out[0])


{COMPILED}{IMPORTS}
@exported("void(i8[::1], i8)")
def add(out, k):
    out[0] = k + 1
"""
OTHER = """\
from numba import njit


@njit("i8(i8)", cache=True)
def f(k):
    return k + 1
"""


@pytest.fixture(params=[GENERATED, OTHER], ids=["generated", "other"])
def text(request):
    return request.param


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATMIN_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    forget()


def forget():
    for name in [n for n in sys.modules if n.startswith("flatmin_kernel_") and hasattr(sys.modules[n], "f")]:
        del sys.modules[name]


def load(text):
    forget()
    return cache.load_module(text)


def loaded_from_disk(module):
    if hasattr(module, "add"):
        return not hasattr(module, "EXPORTED")
    return sum(module.f.stats.cache_hits.values()) == 1


def folder(root):
    (found,) = [p for p in root.iterdir() if not p.name.startswith(".")]
    return found


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warning")
def test_second_load_compiles_nothing(root, text):
    assert not loaded_from_disk(load(text))
    module = load(text)
    assert loaded_from_disk(module)
    assert module.f(1) == 2
    assert [p.name for p in root.iterdir()] == [cache.module_key(text)], "nothing is left behind"


def test_numba_settings_do_not_move_the_machine_code(root, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "elsewhere"))
    load(OTHER)
    assert loaded_from_disk(load(OTHER))
    assert not (tmp_path / "elsewhere").exists()
    assert str(tmp_path / "elsewhere") == config.CACHE_DIR


def test_what_changes_machine_code_changes_the_key(monkeypatch):
    key = cache.module_key(OTHER)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere")
    assert cache.module_key(OTHER) == key
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert cache.module_key(OTHER) != key


@pytest.mark.usefixtures("no_warning")
def test_so_do_other_settings_of_numba(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    key = cache.module_key(OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(config, "CPU_NAME", "generic")
        assert cache.module_key(OTHER) != key
    assert cache.module_key(OTHER) == key
    (tmp_path / ".numba_config.yaml").write_text("cpu_name: generic\n")
    assert cache.module_key(OTHER) != key


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("known", "name"), [(False, "written"), (False, "functions"), (True, "functions")])
def test_an_interrupted_load_leaves_nothing_half_made(root, monkeypatch, error, known, name):
    """A module without machine code that Python can call would end the process."""
    if known:
        load(GENERATED)

    def interrupt(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(native, name, interrupt)
        with pytest.raises(error):
            load(GENERATED)
    assert cache.load_module(GENERATED).f(1) == 2
    assert [p.name for p in root.iterdir()] == [cache.module_key(GENERATED)]


def test_a_full_disk_is_done_without(root, monkeypatch):
    calls, written = iter([True]), native.written

    def full(*args):
        if next(calls, False):
            raise OSError(28, "No space left on device")
        return written(*args)

    monkeypatch.setattr(native, "written", full)
    with pytest.warns(cache.CacheWarning, match="No space left") as caught:
        assert load(GENERATED).f(1) == 2
    assert len(caught) == 1
    assert not list(root.iterdir())


@pytest.mark.parametrize(
    "code",
    [
        "{}",
        "[]",
        "{",
        '{"add": {}}',
        '{"add": {"outside": [], "lasting": true, "signature": "i8("}}',
        '{"add": {"outside": ["no_such_symbol"], "lasting": true, "signature": "void(i8[::1], i8)"}}',
        '{"add": {"outside": [], "lasting": false, "signature": "void(i8[::1], i8)"}}',
    ],
)
def test_a_folder_that_was_changed_with_its_manifest_is_made_anew(root, code):
    load(GENERATED)
    (folder(root) / "code.json").write_text(code)
    (folder(root) / "manifest.json").write_text(json.dumps(cache._checksums(folder(root))))
    with pytest.warns(cache.CacheWarning, match="damaged"):
        assert load(GENERATED).f(1) == 2


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(b"\x80\x04garbage." * 9)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(bytes(data))


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, garbage, flip_a_bit, remove])
@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (GENERATED, "kernel.py"),
        (GENERATED, "add.o"),
        (GENERATED, "add-entry.o"),
        (GENERATED, "code.json"),
        (GENERATED, "manifest.json"),
        (OTHER, "__pycache__/*.nbi"),
        (OTHER, "__pycache__/*.nbc"),
    ],
    ids=["text", "code", "entry", "signature", "manifest", "index of numba", "code of numba"],
)
def test_damage_is_healed_with_one_warning(root, damage, text, pattern):
    load(text)
    (path,) = folder(root).glob(pattern)
    damage(path)
    with pytest.warns(cache.CacheWarning) as caught:
        module = load(text)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert not loaded_from_disk(module)
    assert module.f(1) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded_from_disk(load(text))


def test_a_changed_module_is_not_executed(root, tmp_path, text):
    load(text)
    path = folder(root) / "kernel.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + path.read_text())
    with pytest.warns(cache.CacheWarning, match="damaged"):
        assert load(text).f(1) == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("text", "name"), [(GENERATED, "other.o"), (OTHER, "__pycache__/other.nbi")])
def test_a_foreign_file_is_damage(root, text, name):
    load(text)
    (folder(root) / name).write_bytes(b"x")
    with pytest.warns(cache.CacheWarning, match="damaged"):
        load(text)


def test_a_cache_that_is_a_file_is_done_without(tmp_path, monkeypatch, text):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLATMIN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(cache.CacheWarning, match="cannot be used") as caught:
        assert load(text).f(1) == 2
    assert len(caught) == 1


def test_an_unwritable_cache_is_done_without(root, monkeypatch):
    """Numba does not read what it cannot write; flatmin does."""
    for text in (OTHER, GENERATED):
        load(text)

    temporary_file = cache.tempfile.TemporaryFile

    def refuse(*args, dir, **kwargs):
        if str(dir).startswith(str(root)):
            raise PermissionError(13, "Permission denied")
        return temporary_file(*args, dir=dir, **kwargs)

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", refuse)  # for root every mode is writable
    with pytest.warns(cache.CacheWarning, match="Permission denied") as caught:
        assert load(OTHER).f(1) == 2
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded_from_disk(load(GENERATED))


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("FLATMIN_CACHE_DIR", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert str(cache.cache_root()) == "/a"
    monkeypatch.delenv("FLATMIN_CACHE_DIR")
    assert str(cache.cache_root()) == "/b/flatmin"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert str(cache.cache_root()) == "/c/.cache/flatmin"


def test_processes_that_start_together(root, text):
    code = f"from flatmin.sims.cache import load_module; print(load_module({text!r}).f(1))"
    runs = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert (run.returncode, out) == (0, b"2\n"), err.decode()
    assert [p.name for p in root.iterdir()] == [cache.module_key(text)]
    assert loaded_from_disk(load(text))


TANGENT = """\
import hashlib
import sympy as sp
from flatmin.sims import simulate
from flatmin.sims.kernel import Kernel
from flatmin.theory import Algorithm, LabelNoise, Model

u, v = sp.symbols("u v", real=True)
algorithm = Algorithm(lr=0.05, batch_size="full", noise=LabelNoise(0.1))
kernel = Kernel.for_algorithm(Model((u, v), [u * v + sp.tan(u) / 9], y=[0.3]), algorithm)
points = simulate(kernel, algorithm, None, [0.4, 0.8], 64, [50], seed=1, threads=1).points
print(hashlib.sha256(points.tobytes()).hexdigest())
"""


def test_the_process_that_compiles_finds_the_same_bits(root):
    """A tangent is a function of a library, which is linked where it is called."""
    bits = [subprocess.run([sys.executable, "-c", TANGENT], capture_output=True, check=True).stdout for _ in range(2)]
    assert len(list(root.iterdir())) == 1
    assert bits[0] == bits[1]
