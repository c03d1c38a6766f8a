"""How often a verdict is wrong: hundreds of seeds on claims that are true, wrong by the margin, and wrong by twice it.

Slow (minutes). Prints the table that docs/calibration.md shows:
python -m pytest -m slow -s tests/test_calibration.py
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import sympy as sp
from flatmin.sims import verify
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from scipy import stats

pytestmark = pytest.mark.slow

SEEDS = 400
MARGIN = 0.02
U, V, W, X = sp.symbols("u v w x", real=True)
ETA, SIGMA, B, N, LAM = sp.symbols("eta sigma B n lam")

UV = Model((U, V), U * V, y=[1.0])
UV_R = -sp.log(1 - ETA * (U**2 + V**2) / 2) / (2 * ETA)
TANH = Model((W, U, V), U * sp.tanh(W * X) + V * X, inputs=(X,), x=[[1.0], [3.0]], y=[1.0, 0.5])
PAIR = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])


def wrong_by(error):
    """Prediction p with (truth - p)/p = error: the truth over 1 + error."""
    return 1 / (1 + sp.Rational(repr(error)))


def uv_claims(kind, errors):
    """Claims that are wrong by `errors`: a multiple of the exact R, or of the exact S."""
    claims = []
    for error in errors:
        if kind == "drift":
            strength = ETA * SIGMA**2 / B * wrong_by(error)
            claims.append(Claim("drift", "conjecture", f"{error:+.2f}", regularizer=UV_R, strength=strength))
        else:
            # S = lambda (2 - eta h)^-1 on the normal direction g = (v, u).
            h = U**2 + V**2
            s = LAM / (2 - ETA * h) / h * sp.Matrix([[V**2, U * V], [U * V, U**2]]) * wrong_by(error)
            claims.append(Claim("covariance", "conjecture", f"{error:+.2f}", covariance=s))
    return claims


def counted(model, algorithm, start, claims, confidence, seeds=SEEDS, budget=60.0, margin=MARGIN):
    """Verdicts over the seeds, by claim, the errors over their standard errors, and over the norm of the prediction."""
    table = {c.title: Counter() for c in claims}
    pulls, biases = ({c.title: [] for c in claims} for _ in range(2))
    for seed in range(seeds):
        options = {"confidence": confidence, "seed": seed, "budget": budget, "margin": margin}
        for verdict in verify(model, algorithm, start=start, claims=claims, **options):
            table[verdict.claim.title][verdict.verdict] += 1
            # One number a claim: the component that is known worst, relative to where it goes.
            error = (verdict.measured - verdict.predicted).ravel()
            worst = int(np.argmax(verdict.standard_error))
            pulls[verdict.claim.title].append(error[worst] / verdict.standard_error.ravel()[worst])
            biases[verdict.claim.title].append(abs(error[worst]) / np.linalg.norm(verdict.predicted))
    return table, pulls, biases


def upper_bound(count, total):
    """Upper 95 % bound of a frequency (Clopper and Pearson)."""
    return float(stats.beta.ppf(0.95, count + 1, total - count)) if count < total else 1.0


def report(title, table):
    print(f"\n{title}")
    for name, counts in table.items():
        total = sum(counts.values())
        kinds = ("supported", "refuted", "inconclusive")
        shown = [f"{k} {counts[k]} (upper 95 % bound {100 * upper_bound(counts[k], total):.2f} %)" for k in kinds]
        print(f"  {name}: {total} seeds: {', '.join(shown)}")


@pytest.mark.parametrize("kind", ["drift", "covariance"])
@pytest.mark.parametrize("confidence", [0.999, 0.9])
def test_error_rates_on_uv(kind, confidence):
    algorithm = Algorithm(0.2, 1, LabelNoise(0.1))
    claims = uv_claims(kind, (0.0, 2 * MARGIN, -2 * MARGIN))
    table, *_ = counted(UV, algorithm, [2.0, 0.5], claims, confidence)
    report(f"uv, {kind}, confidence {confidence}", table)
    # False verdicts: a true claim refuted, one wrong by twice the margin supported.
    allowed = stats.binom.isf(1e-3, SEEDS, 1 - confidence)
    assert table["+0.00"]["refuted"] <= allowed
    for name in ("+0.04", "-0.04"):
        assert table[name]["supported"] <= allowed
        decided = SEEDS - table[name]["inconclusive"]
        # Power where it is decided, and decided nearly always: the sample size is planned for it.
        assert table[name]["refuted"] >= 0.95 * decided
        assert decided >= 0.9 * SEEDS


def test_error_rate_at_the_margin():
    """Where a verdict is most likely to be wrong: decided no more often than the stated rate, all looks together."""
    algorithm, seeds, confidence = Algorithm(0.2, 1, LabelNoise(0.1)), 200, 0.9
    claims = uv_claims("drift", (MARGIN, -MARGIN))
    # Any budget is used up here; a second gives several looks.
    table, *_ = counted(UV, algorithm, [2.0, 0.5], claims, confidence, seeds, budget=1.0)
    report(f"uv, drift at the margin, confidence {confidence}", table)
    for counts in table.values():
        assert counts["supported"] + counts["refuted"] <= stats.binom.isf(1e-3, seeds, 1 - confidence)


@pytest.mark.parametrize(
    ("kinds", "seeds"), [(("drift", "covariance", "trajectory"), SEEDS), (("fixed-point",), 150)], ids=["fast", "end"]
)
@pytest.mark.parametrize(
    ("model", "algorithm", "start"),
    [
        (PAIR, Algorithm(0.3, 1, LabelNoise(0.1)), [2.0, 0.5, -0.25]),
        (TANH, Algorithm(0.27, "full", LabelNoise(0.1)), [2.0, 1.3, -0.27]),
    ],
    ids=["rank one, B = 1", "two tanh points"],
)
def test_true_claims_are_not_refuted(model, algorithm, start, kinds, seeds):
    claims = [Claim(k, "derived", k) for k in kinds]
    table, pulls, biases = counted(model, algorithm, start, claims, 0.999, seeds)
    report(f"{model}", table)
    for kind in kinds:
        assert table[kind]["refuted"] <= stats.binom.isf(1e-3, seeds, 1e-3)
        assert table[kind]["supported"] >= 0.9 * seeds
        # The stated standard errors are the real ones: mean 0 and standard deviation 1 to four of their errors. Where a
        # control leaves next to nothing to chance (covariance), the rest is what transients and truncation may take.
        mean, spread = float(np.mean(pulls[kind])), float(np.std(pulls[kind]))
        print(f"  {kind}: errors over standard errors have mean {mean:+.3f}, standard deviation {spread:.3f}")
        if kind == "covariance":
            assert max(biases[kind]) < 2e-5
            continue
        assert abs(mean) < 4 / np.sqrt(seeds)
        assert abs(spread - 1) < 4 / np.sqrt(2 * seeds)
