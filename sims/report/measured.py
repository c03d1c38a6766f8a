"""How the statistic of each kind of claim is measured, in words."""

from __future__ import annotations

from ..document import ClaimEntry

__all__ = ["measured"]

_PHI = "Φ(θ): the zero-loss point in which the iteration without noise ends."
_KINDS = {
    "fixed-point": f"Mean of Φ(θ) over the runs, at 13 times once the slow flow has settled. {_PHI}",
    "drift": f"Mean over the runs of how far Φ(θ) moves along the zero-loss set in a window of steps, per step. {_PHI}",
    "covariance": "Mean over the runs of (θ − θ*)(θ − θ*)ᵀ, at 12 steps after the fast motion has become stationary.",
    "trajectory": "Mean of θ over the runs, at eight slow times up to one.",
    "stays": f"Mean over the runs of Φ(θ) at the end less Φ(θ) at the beginning, beside the zero-loss set. {_PHI}",
    "escape": (
        "With x the distance along the leading direction at the slow times t and 2t, the rate is "
        "log(E[x(2t) x(t)] / E[x(t)²]) / t: the size of the noise drops out."
    ),
    "scaling": (
        "The drifts of both algorithms, each with random numbers of its own, over the rate of slow time and λ; their "
        "difference. The strengths are those of the study's own algorithm."
    ),
    "diffusion": f"Mean or covariance over the runs of the change of Φ(θ) in a window of steps, per step. {_PHI}",
    "circulation": "Mean over the runs of the angle that θ has turned, counted between 64 recorded times.",
    "coupling": (
        "The largest |Δ| of each run, over every step of a short window and 256 of a longer one; the linear process "
        "runs beside it on the same draws."
    ),
    "hitting-time": f"The first time at which Φ(θ) is within γ, on the cubic through four of 64 recorded steps. {_PHI}",
    "hitting-exponent": f"The number of steps until Φ(θ) is within γ, at fixed γ. {_PHI}",
    "reaches": f"The fraction of the runs whose Φ(θ) is within γ of the point once the flow has settled. {_PHI}",
}


def measured(claim: ClaimEntry) -> str:
    """In one or two sentences; nothing of a kind that is not known here."""
    return _KINDS.get(claim.kind, "")
