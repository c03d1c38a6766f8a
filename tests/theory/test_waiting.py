"""What the first step of a simulation need not wait for: slow imports, rivals, notes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model, basins
from flatmin.theory.flow import SlowFlow
from flatmin.theory.prediction import predict

U, V, W = sp.symbols("u v w", real=True)
UV = Model((U, V), U * V, y=[1.0])


@pytest.fixture
def asked(monkeypatch):
    """Whose flow was followed, and whether a curve was traced."""
    found = []
    followed, traced = SlowFlow.integrate, basins._Trace.__iter__

    def followed_by(flow, start):
        found.append(flow.theory.name)
        return followed(flow, start)

    def traced_by(trace):
        found.append("curve")
        return traced(trace)

    monkeypatch.setattr(SlowFlow, "integrate", followed_by)
    monkeypatch.setattr(basins._Trace, "__iter__", traced_by)
    return found


def test_rivals_and_notes_are_found_once_and_when_they_are_asked_for(asked):
    algorithm = Algorithm(0.123, 1, LabelNoise(0.1))  # no other test has this one, whose ends may be known
    prediction = predict(UV, algorithm, Claim("fixed-point"), [2.0, 0.5])
    assert prediction.value == pytest.approx([1.0, 1.0])
    assert asked == ["derived"]
    assert {r.theory for r in prediction.rivals} == {"lambda x 2", "stays at start"}
    assert "small-lr" in asked  # it ends there too, and so is no rival
    assert "curve" not in asked
    assert prediction.notes == ()
    assert asked.count("curve") == 2  # both sides
    before = list(asked)
    assert prediction.rivals is prediction.rivals
    assert prediction.notes is prediction.notes
    assert asked == before


TWO = Model((U, V, W), [U * sp.tanh(k * W) + k * V for k in (1, 3)], y=[1.0, 0.5])


@pytest.mark.parametrize(("batch", "followed"), [("full", ["paper"]), (1, ["paper", "derived"])])
@pytest.mark.parametrize("kind", ["fixed-point", "trajectory", "hitting-time"])
def test_one_flow_is_followed_where_two_theories_say_the_same_motion(kind, batch, followed, asked):
    """With minibatches of several samples the derived theory says how a run moves, and the paper's is the claim."""
    algorithm = Algorithm(0.09 + 1e-3 * len(kind), batch, LabelNoise(0.1))  # flows of the other kinds are known
    settings = {"gamma": 0.2} if kind == "hitting-time" else {}
    prediction = predict(TWO, algorithm, Claim(kind, "paper", settings=settings), [1.3, -0.27, 2.0])
    assert prediction.value is not None, prediction.failed
    assert asked == followed


def test_what_is_not_applicable_has_none(asked):
    prediction = predict(UV, Algorithm(2.0, 1, LabelNoise(0.1)), Claim("fixed-point"), [2.0, 0.5])
    assert prediction.value is None
    assert (prediction.rivals, prediction.notes, asked) == ((), (), [])


@pytest.mark.parametrize("name", ["uv", "local-coupling", "logistic-flips", "main-theorem"])
def test_a_simulation_begins_without_what_takes_half_a_second_to_import(name):
    code = f"""
import sys
from flatmin.sims import catalogue
from flatmin.sims.kernel import Kernel
from flatmin.sims.verification import verify_each

class Begun(BaseException):
    pass

def begun(*_, **__):
    raise Begun

Kernel.prepare = begun
try:
    study = catalogue.load({name!r})
    list(verify_each(study.model, study.algorithm, study.start, study.claims, study.run))
except Begun:
    slow = "scipy.integrate", "scipy.optimize", "scipy.special", "scipy.interpolate", "sympy.physics"
    print("begun", *(module for module in slow if module in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["begun"]
