"""Optional packages: found, or refused with the name of the extra that installs them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from flatmin.theory.errors import InvalidInput

__all__ = ["load", "require"]


def require(extra: str, what: str, *modules: str) -> None:
    """Raise `InvalidInput` when a module of an extra is missing.

    Parameters
    ----------
    extra : str
        Of setup.cfg.
    what : str
        Who needs it: a command, an option or a method.
    *modules : str

    Raises
    ------
    InvalidInput
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        install = f"pip install 'flatmin[{extra}]'"
        raise InvalidInput(what, f" needs {', '.join(missing)}, which {are} not installed; {install}")


def load(extra: str, what: str, module: str) -> Any:
    """Import a module of a package of an extra, or raise as `require` does."""
    require(extra, what, module.partition(".")[0])
    return import_module(module)
