"""Noise along Gamma: drift and covariance by projection derivatives, averaging, enumeration, and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, GradientNoise, InvalidInput, LabelNoise, Model, NotApplicable
from flatmin.theory.averaging import UpdateMap, average
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry, noise_free_limit, retract
from flatmin.theory.prediction import predict
from flatmin.theory.rules import HeavyBall, Nesterov, Preconditioned, SharpnessAware
from flatmin.theory.tangent import DiffusionLimit, GradientFlowLimit, projection_derivatives

A, B, C, D = sp.symbols("a b c d", real=True)
MODEL = Model((A, B, C, D), [A * B + C**2 * D, C * D + A], y=[1.0, 0.5])
THETA = retract(MODEL, np.array([0.8, 0.9, 0.7, -0.4]))
HERE = LocalGeometry.at(MODEL, THETA)
LR = 0.9 / HERE.curvatures[0]
ROOT = sp.Matrix(4, 4, lambda i, j: sp.Rational((3 * i + 5 * j) % 7 - 3, 4))
# A full matrix that changes with theta.
NOISE = GradientNoise(ROOT * ROOT.T + sp.diag(A**2, 0, 1, B**2) / 3, 1e-3)
UV = Model((A, B), A * B, y=[1.0])
ISOTROPIC = GradientNoise(sp.eye(2), 1e-4)


def relative(one, other):
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def test_by_hand_on_the_hyperbola():
    """b = eta lambda [(v, u) - (u^2 - v^2)/(2 - eta h) (u, -v)]/h^2 and a = eta lambda t t', t = (u, -v)/sqrt(h)."""
    u, v, eta, lam = 1.6, 0.625, 0.4, 1e-4
    h = u**2 + v**2
    local, theory = LocalGeometry.at(UV, np.array([u, v])), DiffusionLimit(UV, Algorithm(eta, "full", ISOTROPIC))
    curved = np.array([v, u]) / h**2
    fast = -(u**2 - v**2) / (2 - eta * h) * np.array([u, -v]) / h**2
    np.testing.assert_allclose(theory.drift(local), eta * lam * (curved + fast), rtol=1e-12)
    along = np.array([u, -v]) / np.sqrt(h)
    np.testing.assert_allclose(theory.diffusion(local), eta * lam * np.outer(along, along), rtol=1e-12)


def test_projection_derivatives_against_averaging_and_enumeration():
    algorithm = Algorithm(LR, "full", NOISE)
    theory, averaged = DiffusionLimit(MODEL, algorithm), average(UpdateMap(MODEL, algorithm), THETA)
    added = LR * 1e-3 * NOISE.at(MODEL, THETA)
    first, second = projection_derivatives(HERE, LR)
    mean, covariance = 0.5 * np.einsum("cab,ab->c", second, added), first @ added @ first.T
    for drift, diffusion in ((averaged.drift, averaged.diffusion), (theory.drift(HERE), theory.diffusion(HERE))):
        assert relative(drift, mean) < 1e-11
        assert relative(diffusion, covariance) < 1e-11
    # One step, noise of this covariance by a cubature with mean zero, at falling strengths.
    values, vectors = np.linalg.eigh(added)
    columns = (vectors * np.sqrt(4 * values)).T
    rows = []
    for level in range(5):
        factor = 0.03 / np.max(np.abs(columns)) / 2**level
        moved = noise_free_limit(MODEL, LR, THETA + factor * np.vstack([columns, -columns])) - THETA
        rows.append(moved.mean(axis=0) / factor**2)
    for order in range(1, 5):
        rows = [b + (b - a) / (4**order - 1) for a, b in pairwise(rows)]
    assert relative(rows[0], mean) < 1e-7
    # No part may be left out: without what the noise along Gamma adds, or with it alone, the drift is another.
    assert relative(mean - averaged.ito, mean) > 0.05
    assert relative(averaged.ito, mean) > 0.05


@pytest.mark.parametrize("rule", [None, HeavyBall(0.5), Nesterov(0.4), Preconditioned((1.0, 0.5, 2.0, 0.7))])
@pytest.mark.parametrize("batch", ["full", 2])
def test_linear_rules_against_averaging_of_the_update_map(rule, batch):
    algorithm = Algorithm(0.5 * LR, batch, NOISE, rule=rule)
    theory, averaged = DiffusionLimit(MODEL, algorithm), average(UpdateMap(MODEL, algorithm), THETA)
    assert relative(theory.drift(HERE), averaged.drift) < 1e-9
    assert relative(theory.diffusion(HERE), averaged.diffusion) < 1e-9
    assert relative(theory.averaged(HERE).ito, averaged.ito) < 1e-9


def test_small_learning_rates():
    """The two theories meet as eta -> 0, linearly."""
    gaps = []
    for eta in (1e-2, 1e-3):
        algorithm = Algorithm(eta, "full", NOISE)
        gaps.append(relative(*(t(MODEL, algorithm).drift(HERE) for t in (DiffusionLimit, GradientFlowLimit))))
    assert gaps[0] == pytest.approx(10 * gaps[1], rel=0.05)
    with pytest.raises(NotApplicable, match="for plain SGD"):
        GradientFlowLimit(MODEL, Algorithm(0.1, "full", NOISE, momentum=0.5))


def test_normal_noise_has_the_drift_of_the_other_theories():
    normal = GradientNoise([[B**2, A * B], [A * B, A**2]], 1e-4)
    algorithm, local = Algorithm(0.4, "full", normal), LocalGeometry.at(UV, np.array([1.6, 0.625]))
    limit, derived = DiffusionLimit(UV, algorithm), Derived(UV, algorithm)
    np.testing.assert_allclose(limit.drift(local), derived.drift(local), rtol=1e-12)
    assert np.max(np.abs(limit.diffusion(local))) < 1e-15 * algorithm.lr
    with pytest.raises(NotApplicable, match="noise normal to Gamma"):
        Derived(UV, Algorithm(0.4, "full", ISOTROPIC)).drift(local)


def predicted(algorithm, moment, theory="derived", **given):
    claim = Claim("diffusion", theory, settings={"moment": moment}, **given)
    return predict(UV, algorithm, claim, np.array([1.6, 0.625]))


def test_predictions_and_their_rivals():
    algorithm = Algorithm(0.4, "full", ISOTROPIC)
    mean, covariance = (predicted(algorithm, moment) for moment in ("mean", "covariance"))
    assert mean.value.shape == (2,)
    assert covariance.value.shape == (2, 2)
    always = {"small-lr", "lambda x 2", "stays at start"}
    assert {r.theory for r in mean.rivals} == always | {"no Ito term", "noise-only drift"}
    # The covariance does not depend on the learning rate beyond its factor: small-lr is no rival of it.
    assert {r.theory for r in covariance.rivals} == always - {"small-lr"} | {"noise not projected"}
    assert all(r.distance > 0.1 for r in (*mean.rivals, *covariance.rivals))
    own = predicted(algorithm, "covariance", "conjecture", covariance=sp.eye(2) * sp.Symbol("lam"))
    np.testing.assert_allclose(own.value, 1e-4 * np.eye(2))


def test_where_it_does_not_apply():
    isotropic = Algorithm(0.4, "full", ISOTROPIC)
    labels = predicted(Algorithm(0.4, "full", LabelNoise(0.1)), "mean")
    assert labels.failed.name == "noise along Gamma"
    assert "claims of kind drift" in labels.failed.rule
    assert "no theorem" in predicted(isotropic, "mean", "paper").failed.rule
    assert predicted(Algorithm(2.0, "full", ISOTROPIC), "mean").failed.name == "learning rate"
    for moment in ("median", None):
        with pytest.raises(InvalidInput, match="moment"):
            Claim("diffusion", settings={} if moment is None else {"moment": moment})


def test_a_rule_that_asks_for_the_gradient_elsewhere():
    """Sharpness-aware: from the update map itself; at rho = 0 it is plain SGD."""
    local = LocalGeometry.at(UV, np.array([1.6, 0.625]))
    plain = DiffusionLimit(UV, Algorithm(0.3, "full", ISOTROPIC))
    drifts = [
        DiffusionLimit(UV, Algorithm(0.3, "full", ISOTROPIC, rule=SharpnessAware(rho))).drift(local)
        for rho in (0.0, 0.2)
    ]
    assert relative(drifts[0], plain.drift(local)) < 1e-11
    assert relative(drifts[1], plain.drift(local)) > 0.05
