"""The strategies for users: what they promise of a draw, and that nothing needs them."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from flatmin.theory import NotApplicable
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry
from flatmin.theory.stability import stability_limit
from flatmin.theory.testing import BUILT_IN_RULES, KINDS_OF_MODELS, cases, models_on_gamma, noises, update_rules
from hypothesis import Phase, find, given, settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("regime", ["inside", "edge"])
def test_a_case_is_what_it_says(regime):
    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(cases(regime=regime))
    def holds(case):
        case.algorithm.check(case.model)
        model, algorithm = case.square
        # theta is a zero-loss point to rounding of f, whose terms are of order one.
        assert np.abs(model.residuals(case.theta)).max() < 1e-12
        assert case.local.rank == model.n < model.d
        radius = Derived(model, algorithm).second_moment_radius(case.local)
        assert radius < 1
        above = Derived(model, _at(algorithm, 1.04 if regime == "edge" else 25.0))
        assert above.second_moment_radius(case.local) >= 1

    holds()


def _at(algorithm, factor):
    return type(algorithm)(
        algorithm.lr * factor, algorithm.batch_size, algorithm.noise, algorithm.sampling, rule=algorithm.rule
    )


def test_every_kind_is_drawn():
    """`find` fails where no draw of some hundred has the property."""
    wanted = settings(max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    for rule in BUILT_IN_RULES:
        find(update_rules(3), lambda drawn, rule=rule: type(drawn) is rule, settings=wanted)
    for kind in KINDS_OF_MODELS:
        model, _ = find(models_on_gamma([kind]), lambda drawn: drawn[0].n == 2, settings=wanted)
    for kind in ("label", "gradient"):
        find(noises(model), lambda drawn, kind=kind: drawn.kind == kind, settings=wanted)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(models_on_gamma(condition=5.0))
def test_the_condition_is_kept(drawn):
    local = LocalGeometry.at(*drawn)
    assert local.curvatures[0] < 5 * local.curvatures[-1]


def test_without_a_fast_direction_there_is_no_limit():
    case = find(
        cases(kinds=["label"]),
        lambda c: True,
        settings=settings(derandomize=True, database=None, phases=[Phase.generate]),
    )
    flat = LocalGeometry(case.theta, 0 * case.local.jacobian, case.local.second)
    with pytest.raises(NotApplicable, match="no direction is fast"):
        stability_limit(case.model, case.algorithm, flat)


def test_without_hypothesis_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "flatmin.theory.testing")
    with pytest.raises(ImportError, match=r"needs Hypothesis: pip install 'flatmin\[testing\]'"):
        importlib.import_module("flatmin.theory.testing")


def test_no_other_module_imports_it():
    modules = [p for folder in ("theory", "sims") for p in (ROOT / folder).rglob("*.py")]
    found = [
        p.name for p in modules if re.search(r"import .*hypothesis|from hypothesis|\btesting import", p.read_text())
    ]
    assert found == ["testing.py"]
