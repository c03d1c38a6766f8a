"""Models that are compiled once for all tests of the simulation engine."""

from __future__ import annotations

import pytest
from flatmin.sims.kernel import Kernel
from kernel_models import pair_model, tanh_model, uv_model


@pytest.fixture(scope="session")
def uv():
    return Kernel.for_model(uv_model())


@pytest.fixture(scope="session")
def pair():
    return Kernel.for_model(pair_model())


@pytest.fixture(scope="session")
def tanh():
    return Kernel.for_model(tanh_model())
