"""Every study of the catalogue, decided: all claims supported, with rivals that the same data refute.

Some minutes in all: python -m pytest -m slow tests/test_catalogue.py
"""

from __future__ import annotations

import pytest
from flatmin.sims import assert_supported, catalogue

# At a margin of 2 % the limit of small learning rates has no rival that differs by more.
WITHOUT_RIVALS = {"linear-scaling"}


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names())
def test_every_claim_is_supported(name):
    for verdict in assert_supported(catalogue.load(name)):
        refuted = [r for r in verdict.rivals if r.verdict == "refuted" and r.distinguishable]
        assert refuted or name in WITHOUT_RIVALS, verdict
