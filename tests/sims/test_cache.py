from __future__ import annotations

import subprocess
import sys
import warnings

import numba
import pytest
import sympy as sp
from flatmin.sims import cache
from flatmin.sims.codegen import generate
from flatmin.sims.kernel_ways import Way, way_text
from flatmin.sims.lanes import FULL, RADEMACHER
from flatmin.theory import Model
from numba.core.base import BaseContext
from numba.core.caching import Cache
from numba.core.cpu import CPUContext

TEXT = """\
from numba import njit


@njit("i8(i8)", cache=True)
def f(k):
    return k + {number}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATMIN_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    forget()


def forget():
    for name in [n for n in sys.modules if n.startswith("flatmin_kernel_") and hasattr(sys.modules[n], "f")]:
        del sys.modules[name]


def load(number=1):
    forget()
    return cache.load_module(TEXT.format(number=number))


def loaded_from_disk(module):
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
def test_second_load_compiles_nothing(root):
    assert not loaded_from_disk(load())
    module = load()
    assert loaded_from_disk(module)
    assert module.f(1) == 2
    assert [p.name for p in root.iterdir()] == [cache.module_key(TEXT.format(number=1))], "nothing is left behind"


@pytest.mark.usefixtures("no_warning")
@pytest.mark.skipif(not numba.__version__.startswith(cache._SEEN), reason="it is read Numba's own way")
@pytest.mark.usefixtures("no_warning")
def test_machine_code_is_read_without_what_numba_types_functions_with(root, monkeypatch):
    def read(fails):
        """How often the second of two loads refreshed Numba's tables."""
        refreshed, read_directly = [], Cache._load_overload
        load()
        with monkeypatch.context() as patch:
            patch.setattr(CPUContext, "refresh", lambda self: refreshed.append(1) or BaseContext.refresh(self))
            if fails:
                calls = iter([True])
                patch.setattr(Cache, "_load_overload", lambda *a: 1 / 0 if next(calls, False) else read_directly(*a))
            module = load()
        assert loaded_from_disk(module)
        assert module.f(1) == 2
        return len(refreshed)

    assert read(fails=False) == 0
    assert read(fails=True) == 1, "Numba's own way"


def test_numba_settings_do_not_move_the_machine_code(root, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path / "elsewhere"))
    load()
    assert loaded_from_disk(load())
    assert not (tmp_path / "elsewhere").exists()
    assert str(tmp_path / "elsewhere") == cache.config.CACHE_DIR


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
@pytest.mark.parametrize("pattern", ["kernel.py", "__pycache__/*.nbi", "__pycache__/*.nbc", "manifest.json"])
def test_damage_is_healed_with_one_warning(root, damage, pattern):
    load()
    (path,) = folder(root).glob(pattern)
    damage(path)
    with pytest.warns(cache.CacheWarning) as caught:
        module = load()
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert not loaded_from_disk(module)
    assert module.f(1) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded_from_disk(load())


def test_a_changed_module_is_not_executed(root, tmp_path):
    load()
    path = folder(root) / "kernel.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + path.read_text())
    with pytest.warns(cache.CacheWarning, match="damaged"):
        assert load().f(1) == 2
    assert not (tmp_path / "ran").exists()


def test_a_foreign_file_is_damage(root):
    load()
    (folder(root) / "__pycache__" / "other.nbi").write_bytes(b"x")
    with pytest.warns(cache.CacheWarning, match="damaged"):
        load()


def test_a_cache_that_is_a_file_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLATMIN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(cache.CacheWarning, match="cannot be used") as caught:
        assert load().f(1) == 2
    assert len(caught) == 1


def test_an_unwritable_cache_is_done_without(root, monkeypatch):
    load()

    temporary_file = cache.tempfile.TemporaryFile

    def refuse(*args, dir, **kwargs):
        if str(dir).startswith(str(root)):
            raise PermissionError(13, "Permission denied")
        return temporary_file(*args, dir=dir, **kwargs)

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", refuse)  # for root every mode is writable
    with pytest.warns(cache.CacheWarning, match="Permission denied") as caught:
        assert load().f(1) == 2
    assert len(caught) == 1


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("FLATMIN_CACHE_DIR", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert str(cache.cache_root()) == "/a"
    monkeypatch.delenv("FLATMIN_CACHE_DIR")
    assert str(cache.cache_root()) == "/b/flatmin"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert str(cache.cache_root()) == "/c/.cache/flatmin"


def test_processes_that_start_together(root):
    code = f"from flatmin.sims.cache import load_module; print(load_module({TEXT.format(number=5)!r}).f(1))"
    runs = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert (run.returncode, out) == (0, b"6\n"), err.decode()
    assert [p.name for p in root.iterdir()] == [cache.module_key(TEXT.format(number=5))]
    assert loaded_from_disk(load(5))


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
    """A tangent is a statement for one replica in a function of its own, which is linked where it is called."""
    bits = [subprocess.run([sys.executable, "-c", TANGENT], capture_output=True, check=True).stdout for _ in range(2)]
    assert len(list(root.iterdir())) == 1
    assert bits[0] == bits[1]


@pytest.mark.skipif(not numba.__version__.startswith(cache._SEEN), reason="functions are linked Numba's own way")
def test_what_a_function_calls_belongs_to_it(tmp_path, monkeypatch):
    u, v = sp.symbols("u v", real=True)
    text = way_text(generate(Model((u, v), [u * v + sp.tan(u) / 9], y=[0.3])), Way(FULL, RADEMACHER))

    def weak(folder):
        """Functions of the module that another copy may stand in for."""
        folder.mkdir()
        (assembly,) = cache.build_module(text, folder).run.inspect_asm().values()
        return [line for line in assembly.splitlines() if ".weak" in line and "step_signs" in line]

    assert not weak(tmp_path / "own")
    monkeypatch.setattr(cache, "_SEEN", ("none",))
    assert weak(tmp_path / "linked")
