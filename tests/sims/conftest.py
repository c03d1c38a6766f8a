"""Models that are compiled once for all tests of the simulation engine."""

from __future__ import annotations

import pytest
from kernel_models import WholeKernel, pair_model, tanh_model, uv_model


@pytest.fixture(scope="session")
def uv():
    return WholeKernel.for_model(uv_model())


@pytest.fixture(scope="session")
def pair():
    return WholeKernel.for_model(pair_model())


@pytest.fixture(scope="session")
def tanh():
    return WholeKernel.for_model(tanh_model())
