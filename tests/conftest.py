"""What all tests share: a kernel cache of their own, so that nothing compiled before can hide a fault."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# No test is one of speed: the first draw reads the sources of all modules, first calls import and compile.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    # The processes of one run share it.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATMIN_CACHE_DIR", str(folder))
        yield
