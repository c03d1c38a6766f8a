"""The random wing of flatmin: generated kernels, measurements, verdicts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assertions import assert_supported
    from .engine import simulate
    from .ensemble import Ensemble
    from .kernel import Kernel
    from .moments import Moments, average
    from .results import Verdict
    from .verification import verify
    from .xarrays import ensemble_to_xarray, verdict_to_xarray

__all__ = [
    "Ensemble",
    "Kernel",
    "Moments",
    "Verdict",
    "assert_supported",
    "average",
    "ensemble_to_xarray",
    "simulate",
    "verdict_to_xarray",
    "verify",
]

# Imported at first use: Numba and SciPy take a second, which `flatmin --help` need not wait for.
_HOMES = {
    "Ensemble": "ensemble",
    "Kernel": "kernel",
    "Moments": "moments",
    "average": "moments",
    "Verdict": "results",
    "assert_supported": "assertions",
    "ensemble_to_xarray": "xarrays",
    "simulate": "engine",
    "verdict_to_xarray": "xarrays",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
