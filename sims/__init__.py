"""The random wing of flatmin: generated kernels, measurements, verdicts."""

from .engine import Kernel, simulate
from .ensemble import Ensemble
from .results import Verdict
from .verify import verify

__all__ = ["Ensemble", "Kernel", "Verdict", "simulate", "verify"]
