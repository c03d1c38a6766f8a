"""Compiled kernels on disk: a folder for each generated text, complete from the moment when it appears.

A folder holds the module, the machine code beside it as Numba keeps it, and a manifest with a checksum of every
file. It is made under another name and renamed, so that processes that start together do not meet half of one. A
folder that does not match its manifest is made anew; where no folder can be written, a temporary one serves.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite.binding

from . import native
from .templates import COMPILED

__all__ = ["CacheWarning", "assembly", "build_module", "cache_root", "load_module", "module_key"]

_LOCK = threading.Lock()
_MANIFEST = "manifest.json"
_MODULE = "kernel.py"
_PREFIX = "flatmin_kernel_"
_CODE = "code.json"


class CacheWarning(UserWarning):
    """The cache of compiled kernels is damaged or cannot be used; results do not depend on it."""


def cache_root() -> Path:
    """FLATMIN_CACHE_DIR, or flatmin in XDG_CACHE_HOME or in ~/.cache."""
    if named := os.environ.get("FLATMIN_CACHE_DIR"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "flatmin"


def module_key(text: str) -> str:
    """Name of a text's folder: a hash of everything that its machine code depends on."""
    return hashlib.sha256("\0".join((*_surroundings(), text)).encode()).hexdigest()[:32]


def _surroundings() -> Iterator[str]:
    yield from _versions()
    yield from (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("NUMBA_") and k != "NUMBA_CACHE_DIR")
    with contextlib.suppress(OSError):
        yield Path(".numba_config.yaml").read_text(encoding="utf-8", errors="replace")
    if config := sys.modules.get("numba.core.config"):  # what a program has set there
        yield from (str(getattr(config, name)) for name in ("CPU_NAME", "CPU_FEATURES") if getattr(config, name, None))


@functools.cache
def _versions() -> tuple[str, ...]:
    machine = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    return (version("numba"), version("llvmlite"), sys.version, *machine)


def load_module(text: str) -> ModuleType:
    """Import a generated module, compiled now or taken from the cache; once in a process."""
    key = module_key(text)
    name = f"{_PREFIX}{key}"
    with _LOCK:
        if name not in sys.modules:
            _load(name, text, cache_root() / key)
        return sys.modules[name]


def build_module(text: str, folder: Path) -> ModuleType:
    """Compile a generated module in an empty folder, whatever the cache holds."""
    name = f"{_PREFIX}{module_key(text)}_{folder.name.replace('-', '_')}"
    try:
        _build(name, text, folder)
        return sys.modules[name]
    finally:
        sys.modules.pop(name, None)


def assembly(module: ModuleType) -> str:
    """The assembly language of what Python calls of a module that this process has compiled."""
    return "\n".join(text for _, compiled in module.EXPORTED.values() for text in compiled.inspect_asm().values())


def _load(name: str, text: str, folder: Path) -> None:
    try:
        if folder.exists():
            if _intact(folder, text) and _restored(name, text, folder):
                return
            _warn(f"{folder} is damaged; the kernel is compiled again")
            _remove(folder)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        _warn(f"{folder.parent} cannot be used ({error.strerror or error}); the kernel is compiled for this process")
        _build(name, text, _temporary())
        return
    try:
        _build(name, text, made)
        with contextlib.suppress(OSError):  # another process has been faster: the same folder is there
            made.rename(folder)
    except OSError as error:  # such as a full disk
        _warn(f"{folder.parent} cannot hold more ({error.strerror or error}); the kernel is compiled for this process")
        _build(name, text, _temporary())
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _restored(name: str, text: str, folder: Path) -> bool:
    """Whether a folder could be taken; else nothing is left of it in the process."""
    if not (folder / _CODE).exists():
        _probe(folder / "__pycache__")
        with _forgotten(name):
            _execute(name, text, folder)
        return True
    try:
        known = json.loads((folder / _CODE).read_text(encoding="utf-8"))
        complete = len(known) == len(re.findall(r"^@exported\(", text, re.MULTILINE))
        if not complete or not all(one["lasting"] for one in known.values()):
            return False
        with _forgotten(name):
            module = _execute(name, text.split(COMPILED)[0], folder)
            module.__dict__.update(native.functions(known, folder))
    except MemoryError:
        raise
    except Exception:  # whatever is wrong with it, it can be made anew
        return False
    return True


def _build(name: str, text: str, folder: Path) -> None:
    (folder / _MODULE).write_text(text, encoding="utf-8")
    with _forgotten(name):
        module = _execute(name, text, folder)
        if hasattr(module, "EXPORTED"):
            known = native.written(module.EXPORTED, folder)
            (folder / _CODE).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
            module.__dict__.update(native.functions(known, folder))  # what is read later: the same machine code
        (folder / _MANIFEST).write_text(json.dumps(_checksums(folder), indent=1, sort_keys=True), encoding="utf-8")


def _intact(folder: Path, text: str) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return manifest == _checksums(folder) and (folder / _MODULE).read_bytes() == text.encode()
    except (OSError, ValueError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    files = [p for p in (folder, folder / "__pycache__") if p.is_dir() for p in p.iterdir() if p.is_file()]
    # Numba leaves no other file: a name that is not in the manifest is a foreign one.
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(files)
        if p.name != _MANIFEST
    }


def _execute(name: str, text: str, folder: Path) -> ModuleType:
    # The text in hand is executed, not the file: what runs is what was generated, whatever happens to the file.
    path = folder / _MODULE
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Numba looks functions up there while it compiles
    with _cached_beside() if "numba" in text else contextlib.nullcontext():
        exec(compile(text, str(path), "exec"), module.__dict__)
    return module


@contextlib.contextmanager
def _forgotten(name: str) -> Iterator[None]:
    """Leave no module that is not complete, whatever happens."""
    try:
        yield
    except BaseException:
        sys.modules.pop(name, None)
        raise


@contextlib.contextmanager
def _cached_beside() -> Iterator[None]:
    """Let Numba keep machine code beside the module, where the manifest covers it, and not in NUMBA_CACHE_DIR."""
    from numba.core import config as numba_config

    config: Any = numba_config  # its attributes are made at run time
    before = config.CACHE_DIR
    config.CACHE_DIR = ""
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _probe(folder: Path) -> None:
    # Numba does not read a cache that it cannot write.
    with tempfile.TemporaryFile(dir=folder):
        pass


def _remove(folder: Path) -> None:
    doomed = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    with contextlib.suppress(FileNotFoundError):  # another process removes it too
        folder.rename(doomed / "old")
    shutil.rmtree(doomed, ignore_errors=True)


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="flatmin-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _warn(message: str) -> None:
    warnings.warn(f"kernel cache: {message}", CacheWarning, stacklevel=2)
