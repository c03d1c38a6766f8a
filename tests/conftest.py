"""What all tests share: a kernel cache of their own, so that nothing compiled before can hide a fault."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    # The processes of one run share it.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATMIN_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _first_draw():
    """Hypothesis reads the sources of all modules when it first draws; no test is to be charged with that second."""

    @settings(max_examples=1, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.floats())
    def draw(_):
        pass

    draw()
