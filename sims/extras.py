"""Optional packages: found, or refused with the name of the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from flatmin.theory.errors import InvalidInput

__all__ = ["require"]


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
