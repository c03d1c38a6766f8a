"""Results with made-up numbers, of every shape that a report must take: nothing is simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
from flatmin.sims.detail import detail
from flatmin.sims.extrapolate import Estimate, Rung, extrapolate
from flatmin.sims.power_law import power_law

__all__ = ["HOSTILE", "STUDY", "claim", "document", "exponent_claim", "fraction_claim"]

LADDER = np.geomspace(1e-4, 1e-3, 4)
# Markup, a script, mathematics of matplotlib, signs of LaTeX, of a shell and of a spreadsheet.
HOSTILE = (
    "<script>alert('x')</script> <img src=http://evil.example/a.png onerror=alert(1)> $\\frac{a$ & 50 % #{_} ~^ =1+1 𝛌"
)

STUDY = """\
[about]
statement = "The mean drifts by -eta lambda P grad R per step."
source = "A source"
hypotheses = ["eta h_max < 2"]
[model]
parameters = ["u", "v"]
prediction = "u*v"
[data]
y = [1.0]
[algorithm]
lr = 0.2
batch_size = "full"
noise = {kind = "label", sigma = 0.1}
[start]
u = 2.0
v = 0.5
[[claim]]
kind = "drift"
theory = "paper"
"""


def claim(kind: str, predicted: Any, verdict: str = "supported", off: float = 0.0, **more: Any) -> dict[str, Any]:
    """One claim whose rungs lie on a line, `off` times the prediction away from it in the limit."""
    value = np.asarray(predicted, dtype=float)
    flat = value.ravel()
    scale = float(np.linalg.norm(flat)) or 1.0
    rng = np.random.default_rng(1)
    errors = np.full(flat.size, 1e-4 * scale)
    rungs = [
        Rung(float(s), flat * (1 + off + 20 * s) + errors * rng.standard_normal(flat.size), np.diag(errors**2), 200, 50)
        for s in LADDER
    ]
    estimate = extrapolate(rungs, 1)
    entry = {
        "name": f"{kind} claim",
        "kind": kind,
        "theory": "paper",
        "verdict": verdict,
        "predicted": value.tolist(),
        "measured": estimate.value.reshape(value.shape).tolist(),
        "standard_error": np.sqrt(np.diag(estimate.covariance)).reshape(value.shape).tolist(),
        "relative_error": abs(off),
        "interval": [off - 1e-3, off + 1e-3],
        "margin": 0.02,
        "confidence": 0.999,
        "assumptions": [{"name": "interpolation", "holds": True, "value": 1e-32, "rule": "min L = 0"}],
        "rivals": [
            {"theory": "small-lr", "predicted": (1.4 * value).tolist(), "verdict": "refuted", "distinguishable": True},
            {"theory": "lambda x 2", "predicted": (2 * value).tolist(), "verdict": "refuted", "distinguishable": True},
            {"theory": "derived", "predicted": None, "verdict": "not-applicable", "reason": "why not"},
        ],
        "replica_steps": 1e6,
        "seconds": 1.5,
        "strengths": LADDER.tolist(),
        "parameters": ["u", "v"],
        "scale": scale,
        "start": [2.0, 0.5],
        "detail": detail(estimate, value, scale, None),
    }
    return entry | more


def exponent_claim(power: float = 0.5, off: float = 0.0, **more: Any) -> dict[str, Any]:
    """A claim about a power of lambda, whose data follow the law with `off` added to its exponent."""
    strengths = np.geomspace(10**-4.5, 1e-3, 5)
    means = 3 * strengths ** (power + off) * np.exp(0.1 * strengths / strengths.max())
    estimate = power_law([Rung(float(s), np.array([m]), np.array([[(1e-4 * m) ** 2]]), 128, 9)
                          for s, m in zip(strengths, means)], 1.0)  # fmt: skip
    value = np.array([power])
    made = claim("coupling", [power], off=off / power, labels=["exponent"], detail=detail(estimate, value, power, None))
    return made | {"measured": estimate.value.tolist()} | more


def fraction_claim(**more: Any) -> dict[str, Any]:
    """A claim about a fraction of the runs: all of 400 are where they should be."""
    one, none = np.ones(1), np.zeros((1, 1))
    rung = Rung(1e-4, one, none, 400, 9000)
    estimate = Estimate(one, none, 0.0, 0, 1.0, 0.0, (1e-4,), 400, fraction=True, rungs=(rung,))
    made = claim("reaches", [1.0], labels=["fraction"], interval=[-0.01, 0.0], strengths=[1e-4], standard_error=[0.0])
    rivals = [{"theory": "stays at start", "predicted": [0.0], "verdict": "refuted", "distinguishable": True}]
    return made | {"measured": [1.0], "rivals": rivals, "detail": detail(estimate, one, 1.0, none[0])} | more


def document(claims: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A whole result: by default one claim of each shape, among them a kind that nobody knows yet."""
    if claims is None:
        not_applicable = {
            "predicted": None, "measured": None, "standard_error": None, "interval": None, "detail": None, "rivals": [],
            "strengths": [], "reason": "learning rate=21.2: lr*h_max must be below 2", "replica_steps": 0,
        }  # fmt: skip
        claims = [
            claim("drift", [-6e-4, 1.5e-4], labels=["u", "v"]),
            claim("covariance", [[2e-4, 1e-4], [1e-4, 3e-4]], "refuted", off=0.3),
            claim("trajectory", [[2 - t / 8, 0.5 + t / 20] for t in range(1, 9)], times=list(range(100, 900, 100))),
            claim("escape-rate", 0.25, "inconclusive", off=0.0205, reason="the interval crosses the margin"),
            exponent_claim(),
            fraction_claim(),
            claim("tensor", np.arange(1.0, 28.0).reshape(3, 3, 3).tolist()),
            claim("fixed-point", [1.0, 1.0], "not-applicable") | not_applicable,
        ]
    made = {
        "flatmin": "0.1.0", "study": "made.toml", "seed": 3, "seconds": 4.2, "claims": claims,
        "command": "flatmin verify made.toml", "machine": {"Python": "3.11"}, "commit": "0123abc",
        "studies": [{"name": "made", "text": STUDY}],
    }  # fmt: skip
    return made | more
