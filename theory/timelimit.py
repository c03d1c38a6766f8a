"""Wall-clock limits on symbolic work: SymPy may need seconds or years, and nothing tells which beforehand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from sympy.polys.polyerrors import BasePolynomialError

__all__ = ["Budget"]

# What SymPy raises where it has no method.
_NO_METHOD = (NotImplementedError, ValueError, TypeError, ArithmeticError, AttributeError, KeyError, IndexError,
              RecursionError, BasePolynomialError)  # fmt: skip


class _OutOfTime(BaseException):
    # Not an Exception: SymPy's own `except Exception` must not swallow it.
    pass


class Budget:
    """A total of seconds for several steps; a step that does not finish is noted in `skipped` and gives None.

    Parameters
    ----------
    seconds : float
        Wall time of all steps together.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.skipped: list[str] = []

    def note(self, text: str) -> None:
        """Add to `skipped`, once."""
        if text not in self.skipped:
            self.skipped.append(text)

    def attempt(self, what: str, limit: float, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args)``, or None (and a note that names `what`) when it is not done in `limit` seconds."""
        seconds = min(limit, self._deadline - time.monotonic())
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            self.note(f"{what}: not tried, a time limit needs the main thread of a POSIX system")
            return None
        if seconds < 0.05:
            self.note(f"{what}: not tried, the time for symbolic work was used up")
            return None
        try:
            return _limited(seconds, function, *args)
        except _OutOfTime:
            self.note(f"{what}: not finished in the time for it")
        except _NO_METHOD as error:
            self.note(f"{what}: SymPy has no method here ({type(error).__name__})")
        return None


def _limited(seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    def expire(*_: object) -> None:
        raise _OutOfTime

    began = time.monotonic()
    old_handler = signal.signal(signal.SIGALRM, expire)
    old_delay, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        if old_delay:  # somebody else's alarm (a test runner's) goes on
            signal.setitimer(signal.ITIMER_REAL, max(old_delay - (time.monotonic() - began), 1e-3))
