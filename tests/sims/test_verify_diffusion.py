"""Verdicts about noise along the zero-loss set: the derived diffusion is supported, wrong ones are refuted."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import verify
from flatmin.sims.control import LinearControl
from flatmin.theory import Algorithm, Claim, GradientNoise, Model
from flatmin.theory.geometry import LocalGeometry, retract
from flatmin.theory.rules import HeavyBall, Nesterov, Preconditioned
from flatmin.theory.tangent import DiffusionLimit

U, V, W = sp.symbols("u v w", real=True)
UV = Model((U, V), U * V, y=[1.0])
FORK = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
START = [1.3, 0.77, -0.385]
UNEVEN = GradientNoise([[1 + U**2, V, 0], [V, 2, W], [0, W, 1]], 1e-4)


def claims(theory="derived"):
    return [Claim("diffusion", theory, settings={"moment": moment}) for moment in ("mean", "covariance")]


def test_isotropic_noise_and_its_rivals():
    algorithm = Algorithm(0.4, "full", GradientNoise(sp.eye(2), 1e-4))
    off = Claim("diffusion", "small-lr", settings={"moment": "mean"})
    # Noise in all directions, as if it were not brought back to the hyperbola.
    own = {"covariance": sp.eye(2) * sp.Symbol("lam") * sp.Symbol("eta"), "settings": {"moment": "covariance"}}
    asked = [*claims(), off, Claim("diffusion", "conjecture", **own)]
    verdicts = verify(UV, algorithm, start=[1.7, 0.6], claims=asked, seed=3, budget=600)
    assert [v.verdict for v in verdicts] == ["supported", "supported", "refuted", "refuted"]
    always = {"lambda x 2", "stays at start"}
    refuted = [{r.theory for r in v.rivals if r.verdict == "refuted"} for v in verdicts[:2]]
    assert refuted[0] == always | {"small-lr", "no Ito term", "noise-only drift"}
    assert refuted[1] == always | {"noise not projected"}


def test_noise_along_the_set_alone():
    """Off it nothing fluctuates: strengths are those that the walk allows."""
    noise = GradientNoise([[U**2, -U * V], [-U * V, V**2]], 1e-3)
    (verdict, _) = verify(UV, Algorithm(0.4, "full", noise), start=[1.1, 0.9], claims=claims(), seed=1, budget=600)
    assert verdict.verdict == "supported"
    assert min(verdict.strengths) > 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rule", [None, Nesterov(0.5), Preconditioned((1.0, 0.5, 2.0))])
@pytest.mark.parametrize("batch", ["full", 1])
def test_other_rules_and_batches(rule, batch, seed):
    """A covariance that changes with theta; memory; minibatch noise with its burn-in."""
    algorithm = Algorithm(0.25, batch, UNEVEN, rule=rule)
    for verdict in verify(FORK, algorithm, start=START, claims=claims(), seed=seed, budget=600):
        assert verdict.verdict == "supported", (verdict.claim.title, verdict.reason)


@pytest.mark.parametrize("rule", [None, HeavyBall(0.5), Nesterov(0.5), Preconditioned((1.0, 0.5, 2.0))])
def test_the_exact_mean_of_the_control_is_the_diffusion(rule):
    """What the linear process and its second order give in the mean is the theory's drift and covariance per step."""
    algorithm, steps = Algorithm(0.25, "full", UNEVEN, rule=rule), 4000
    start = retract(FORK, np.array(START))
    control = LinearControl(FORK, algorithm, start[None], [0], [steps // 2, steps], walks=True)
    assert control.usable
    assert not LinearControl(FORK, algorithm, start[None], [0], [steps]).usable
    covariance, increments, ends = control.moments(np.zeros(2))
    theory, local = DiffusionLimit(FORK, algorithm), LocalGeometry.at(FORK, start)
    walked = (covariance[1] - covariance[0]) / (steps // 2)
    np.testing.assert_allclose(walked, theory.diffusion(local), rtol=1e-9, atol=1e-9 * np.max(np.abs(walked)))
    moved = (increments[1] + ends[1] - ends[0]) / (steps // 2)
    # Differences change the noise's factor by 1e-10 of it; it has mean zero anyhow.
    np.testing.assert_allclose(moved, theory.drift(local), rtol=1e-8)
