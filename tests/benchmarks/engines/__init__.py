"""The engines by name; each file is one engine, written as its docstring says."""

from __future__ import annotations

from importlib import import_module

from ..protocol import Engine, Unavailable

__all__ = ["ENGINES", "load"]

ENGINES = {
    "ours": "flatmin",
    "c": "C, intrinsics",
    "c_accurate": "C, tanh to 4 ulp",
    "jax_expert": "JAX, by an expert",
    "jax_batched": "JAX, batched scan",
    "jax_vmap": "JAX, jit(vmap(scan))",
    "torch_eager": "PyTorch, eager",
    "numba_plain": "Numba, plain loop",
    "numpy_arrays": "NumPy",
}


def load(name: str) -> type[Engine]:
    """Import the engine's module, which imports its library; raises `Unavailable` when there is none."""
    try:
        return import_module(f".{name}", __package__).Engine
    except ImportError as error:
        raise Unavailable(f"{name}: {error}") from None
