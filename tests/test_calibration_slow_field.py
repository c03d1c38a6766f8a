"""How often verdicts about diffusions and circulations are wrong: claims that are true, and wrong by twice the margin.

Slow (minutes). Prints the rows that docs/calibration.md shows:
python -m pytest -m slow -s tests/test_calibration_slow_field.py
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import study_verdicts
from flatmin.theory import Algorithm, Claim, GradientNoise, Model
from test_calibration import counted, report
from turning import E_P, E_Q, START, circle, turned_by

pytestmark = pytest.mark.slow

SEEDS = 40
U, V, W = sp.symbols("u v w", real=True)
FORK = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
UNEVEN = GradientNoise([[1 + U**2, V, 0], [V, 2, W], [0, W, 1]], 1e-4)


@pytest.fixture(autouse=True)
def one_prediction_for_all_seeds(monkeypatch):
    """It does not depend on the seed, and takes longer than the data."""
    predict = study_verdicts.predict
    kept = {}

    def once(model, algorithm, claim, start):
        if claim.title not in kept:
            kept[claim.title] = predict(model, algorithm, claim, start)
        return kept[claim.title]

    monkeypatch.setattr(study_verdicts, "predict", once)


def decided(table, true, wrong):
    """No true claim is refuted, no wrong one supported, and nearly all are decided."""
    for name, counts in table.items():
        right = name in true
        assert counts["refuted" if right else "supported"] == 0, (name, counts)
        assert counts["supported" if right else "refuted"] >= 0.9 * SEEDS, (name, counts)
    assert set(table) == {*true, *wrong}


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_diffusion(momentum):
    """Drift and covariance per step of noise whose covariance changes with theta; wrong by +-4 % at a margin of 2 %."""
    algorithm = Algorithm(0.25, "full", UNEVEN, momentum=momentum)
    claims = [Claim("diffusion", name=m, settings={"moment": m}) for m in ("mean", "covariance")]
    truth = study_verdicts.predict(FORK, algorithm, claims[1], np.array([1.3, 0.77, -0.385])).value
    for error in (0.04, -0.04):
        conjecture = {"covariance": sp.Matrix(truth / (1 + error)), "settings": {"moment": "covariance"}}
        claims.append(Claim("diffusion", "conjecture", f"covariance {error:+}", **conjecture))
    table, pulls, _ = counted(FORK, algorithm, [1.3, 0.77, -0.385], claims, 0.999, SEEDS, budget=600.0)
    report(f"diffusion, momentum {momentum}", table)
    print({k: (float(np.mean(v)), float(np.std(v))) for k, v in pulls.items()})
    decided(table, {"mean", "covariance"}, {"covariance +0.04", "covariance -0.04"})


def test_diffusion_at_another_learning_rate():
    """The limit of small learning rates as a wrong theory of the mean: off by twice the margin or more."""
    algorithm = Algorithm(0.05, "full", GradientNoise(sp.eye(2), 1e-4))
    model, start = Model((U, V), U * V, y=[1.0]), [1.7, 0.6]
    claims = [Claim("diffusion", t, t, settings={"moment": "mean"}) for t in ("derived", "small-lr")]
    right, wrong = (study_verdicts.predict(model, algorithm, c, np.array(start)).value for c in claims)
    assert 0.04 < np.linalg.norm(right - wrong) / np.linalg.norm(wrong) < 0.1
    table, pulls, _ = counted(model, algorithm, start, claims, 0.999, SEEDS, budget=600.0)
    report("diffusion, mean", table)
    print({k: (float(np.mean(v)), float(np.std(v))) for k, v in pulls.items()})
    decided(table, {"derived"}, {"small-lr"})


def test_circulation():
    """S in the frame that turns, times 1.1 and 0.9: twice the margin of 5 %."""
    model, algorithm = circle(), turned_by([[1.0, 1.0], [1.0, 1.0]])
    h, k, eta, lam = 3.05**2 / 3, 1.6**2 / 3, 0.5, sp.Symbol("lam")
    frame = sp.Matrix.hstack(E_P, E_Q)
    entries = [[1 / (h * (2 - eta * h)), 1 / (h + k - eta * h * k)], [0, 1 / (k * (2 - eta * k))]]
    entries[1][0] = entries[0][1]
    own = lam * frame * sp.Matrix(entries) * frame.T
    settings = {"plane": ["x", "y"], "time": 1.0}
    claims = [Claim("circulation", name="true", settings=settings)]
    for factor in (1.1, 0.9):
        claims.append(Claim("circulation", "conjecture", f"x {factor}", covariance=factor * own, settings=settings))
    table, pulls, _ = counted(model, algorithm, START, claims, 0.999, SEEDS, budget=600.0, margin=0.05)
    report("circulation", table)
    print({k: (float(np.mean(v)), float(np.std(v))) for k, v in pulls.items()})
    decided(table, {"true"}, {"x 1.1", "x 0.9"})
