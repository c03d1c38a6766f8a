"""Models that are compiled once for all tests of the simulation engine."""

from __future__ import annotations

import os

import pytest
from flatmin.sims.kernel import Kernel
from kernel_models import pair_model, tanh_model, uv_model


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    before = os.environ.get("FLATMIN_CACHE_DIR")
    os.environ["FLATMIN_CACHE_DIR"] = str(tmp_path_factory.mktemp("kernels"))
    yield
    if before is None:
        del os.environ["FLATMIN_CACHE_DIR"]
    else:
        os.environ["FLATMIN_CACHE_DIR"] = before


@pytest.fixture(scope="session")
def uv():
    return Kernel.for_model(uv_model())


@pytest.fixture(scope="session")
def pair():
    return Kernel.for_model(pair_model())


@pytest.fixture(scope="session")
def tanh():
    return Kernel.for_model(tanh_model())
