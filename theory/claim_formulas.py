"""What each kind of claim says of its statistic, in LaTeX, with the equations of its theory: for pages."""

from __future__ import annotations

from collections.abc import Callable

from .algorithm import Algorithm
from .claim import Claim
from .formulas import Formula, strength_formula, theory_formulas

__all__ = ["claim_formulas", "stated"]

Formulas = tuple[Formula, ...]

_MET = (
    r"T = \min \left\{ k : |\Phi(\theta_{k}) - \theta^{*}| \le \gamma \right\}",
    "Phi: where the noise-free iteration from theta ends; theta*: where the slow flow ends",
)
_THETA = r"\theta"
_MOVED = r"\Phi(\theta_{k+1}) - \Phi(\theta_{k})"


def stated(claim: Claim, algorithm: Algorithm) -> Formulas:
    """Everything that a claim says: of its statistic, of S and R by its theory, and of lambda.

    Parameters
    ----------
    claim : Claim
    algorithm : Algorithm
    """
    told = claim_formulas(claim, algorithm)
    if claim.kind == "stays":  # by every theory, and there is no noise
        return told
    if claim.kind != "diffusion":  # S is that of noise normal to the zero-loss set
        told = (*told, *theory_formulas(claim.theory, algorithm, claim))
    named = any(tex.startswith(r"\lambda") for tex, _ in told)
    return told if named else (*told, strength_formula(algorithm))


def claim_formulas(claim: Claim, algorithm: Algorithm) -> Formulas:
    """What a claim says of its statistic, in the S or R of its theory.

    Parameters
    ----------
    claim : Claim
    algorithm : Algorithm
    """
    return _KINDS[claim.kind](claim, r"\frac{\eta}{1 - \beta}" if algorithm.beta else r"\eta")


def _velocity(claim: Claim, at: str) -> str:
    """By the theory of the claim, per unit of slow time."""
    if claim.regularizer is not None:
        return rf"-P \, \nabla R{f'({at})' if at else ''}"
    return rf"-\frac{{1}}{{2 \lambda}} P \, D^{{3}}L[S{f'({at})' if at else ''}]"


def _flow(claim: Claim, rate: str) -> Formulas:
    slow = "the slow flow on the zero-loss set, from the start"
    return (
        (rf"\frac{{d Y}}{{d t}} = {_velocity(claim, 'Y')}", f"{slow}; P: projection on the tangent space"),
        (rf"t = {rate} \lambda k", "slow time after k steps"),
    )


def _covariance(claim: Claim, rate: str) -> Formulas:
    return ((r"\operatorname{Cov}(\theta_{k} - \Phi(\theta_{k})) = S", "when the fast motion is stationary"),)


def _drift(claim: Claim, rate: str) -> Formulas:
    moved = rf"\operatorname{{E}}\left[{_MOVED}\right]"
    return (
        (rf"{moved} = {rate} \lambda V, \quad V = {_velocity(claim, '')}",
         "per step; P: projection on the tangent space of the zero-loss set"),
    )  # fmt: skip


def _trajectory(claim: Claim, rate: str) -> Formulas:
    return (r"\operatorname{E} \, \theta_{k} \to Y(t)", "as lambda -> 0"), *_flow(claim, rate)


def _fixed_point(claim: Claim, rate: str) -> Formulas:
    at_rest = rf"{_velocity(claim, _THETA)} = 0"
    return ((at_rest, "on the zero-loss set, where the slow flow from the start ends"),)


def _stays(claim: Claim, rate: str) -> Formulas:
    time, distance = (f"{claim.settings[name]:g}" for name in ("time", "distance"))
    return (
        (rf"\theta_{{0}} = \theta^{{*}} + {distance} \, \sqrt{{\lambda}} \, n",
         "beside the zero-loss set, as far as label noise of strength lambda would take it; n: a unit normal"),
        (rf"\Phi(\theta_{{K}}) - \Phi(\theta_{{0}}) \to 0, \quad K = \frac{{{time}}}{{{rate} \lambda}}",
         "as lambda -> 0; label noise of strength lambda would move it by the slow flow, whatever lambda"),
    )  # fmt: skip


def _escape(claim: Claim, rate: str) -> Formulas:
    return (
        (r"d x = \mu x \, d t + O(\sqrt{\lambda}) \, d W, \quad x = w \cdot (\Phi(\theta) - \theta^{*})",
         "near a stationary point theta* of the slow flow, in slow time"),
        (rf"w^{{T}} D V(\theta^{{*}}) = \mu \, w^{{T}}, \quad V = {_velocity(claim, '')}",
         "mu: the leading rate of the linearised slow flow"),
        (rf"{rate} \lambda \mu", "what is claimed: the growth rate per step"),
    )  # fmt: skip


def _scaling(claim: Claim, rate: str) -> Formulas:
    size = claim.settings["batch_size"]
    other = {"same": "B", "full": "n"}.get(str(size), str(size))
    return (
        (rf"V({claim.settings['lr']:g}, {other}) - V(\eta, B), \quad V = {_velocity(claim, '')}",
         "slow velocity of the other algorithm less that of the study's own, at the same lambda"),
    )  # fmt: skip


def _diffusion(claim: Claim, rate: str) -> Formulas:
    mean = rf"\operatorname{{E}}\left[{_MOVED}\right] = \frac{{1}}{{2}} D^{{2}}\Phi[C]"
    spread = rf"\operatorname{{Cov}}\left[{_MOVED}\right] = D\Phi \, C \, D\Phi^{{T}}"
    step = "to leading order in lambda; C: second moments of what a step adds, where the fast motion is stationary"
    if claim.settings["moment"] == "covariance":
        return ((spread, step), (r"D\Phi = P", "for plain SGD"))
    return (
        (mean, step),
        (r"D^{2}\Phi[u, v] = -\frac{P \, D^{3}L[u, v]}{h_{u} + h_{v} - \eta h_{u} h_{v}}",
         "plain SGD; H u = h u, and u or v is normal to the zero-loss set"),
        (r"D^{2}\Phi[s, t] = -J^{+} (s^{T} F_{i} t)_{i}", "both tangent; F_i = hess f_i, J: the Jacobian of f"),
    )  # fmt: skip


def _circulation(claim: Claim, rate: str) -> Formulas:
    (x, y), time = claim.settings["plane"], claim.settings["time"]
    return (
        (r"\frac{1}{\tau} \int_{0}^{\tau} \frac{(Y - c) \times \dot{Y}}{|Y - c|^{2}} \, d t",
         f"mean angular speed about c in the plane of {x} and {y}; tau = {time:g}"),
        *_flow(claim, rate),
    )  # fmt: skip


def _power(claim: Claim, left: str, own: str) -> str:
    """That something goes as a power of lambda, or is at most of its order."""
    given = claim.settings.get("exponent")
    power = own if given is None else f"{given:g}"
    return (
        rf"{left} = O(\lambda^{{{power}}})" if claim.settings["bound"] else rf"{left} \; \sim \; A \lambda^{{{power}}}"
    )


def _coupling(claim: Claim, rate: str) -> Formulas:
    own, above, below = {
        "long": ("1/2", "1", rf"{rate} \lambda"),
        "middle": ("3/4", "1", rf"{rate} \sqrt{{\lambda}}"),
        "short": ("1", "50", rate),
    }[claim.settings["window"]]
    said = _power(claim, r"\operatorname{E} \, \sup_{k \le K} |\Delta_{k}|", own)
    return (
        (r"\theta_{k} = Y_{k} + \xi_{k} + \Delta_{k}", "all on the same noise"),
        (r"\xi_{k+1} = A_{k} \xi_{k} + \epsilon_{k}", "the update linearised around Y, on the draws of the run"),
        (rf"{said}, \quad K = \frac{{{above}}}{{{below}}}", "as lambda -> 0"),
        *_flow(claim, rate),
    )


def _hitting_time(claim: Claim, rate: str) -> Formulas:
    met = rf"{rate} \lambda \, \operatorname{{E}} \, T \to \tau, \quad |Y(\tau) - \theta^{{*}}| = \gamma"
    return _MET, (met, f"as lambda -> 0; gamma = {claim.settings['gamma']:g}"), *_flow(claim, rate)


def _hitting_exponent(claim: Claim, rate: str) -> Formulas:
    said = (_power(claim, r"\operatorname{E} \, T", "-1"), f"as lambda -> 0; gamma = {claim.settings['gamma']:g}")
    return _MET, said, *_flow(claim, rate)


def _reaches(claim: Claim, rate: str) -> Formulas:
    return (
        (r"\mathrm{Pr}\left(|\Phi(\theta_{K}) - \theta^{*}| \le \gamma\right) \to 1",
         f"as lambda -> 0, when the flow has settled; gamma = {claim.settings['gamma']:g}"),
        (r"Y(t) \to \theta^{*}", "where the flow of this theory ends"),
        *_flow(claim, rate),
    )  # fmt: skip


_KINDS: dict[str, Callable[[Claim, str], Formulas]] = {
    "fixed-point": _fixed_point,
    "drift": _drift,
    "covariance": _covariance,
    "trajectory": _trajectory,
    "stays": _stays,
    "escape": _escape,
    "scaling": _scaling,
    "diffusion": _diffusion,
    "circulation": _circulation,
    "coupling": _coupling,
    "hitting-time": _hitting_time,
    "hitting-exponent": _hitting_exponent,
    "reaches": _reaches,
}
