"""Momentum: speed of the drift along the zero-loss set against beta, with the claims that it refutes.

f = a tanh(w x) + b x on two samples, heavy ball, full batch. lambda = eta sigma^2/(B (1-beta)) and
R = -((1+beta)/(2 eta)) tr log(1 - eta/(2(1+beta)) H). Damian, Ma, Lee (2021), Section 3.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model

from ..plots.style import DASHES, INK, RIVAL, THEORY, VERDICTS, below, finish, headed, new_figure, plain_log, styled
from ..verification import verify
from .script import Drawn, script

# Seconds: enough on a machine with much else to do.
BUDGET = 600.0
CLAIM = Claim("drift", "paper")
LR, SIGMA, BETAS = 0.3, 0.1, (0.0, 0.2, 0.4, 0.6, 0.8)
START = {"w": 2.0, "a": 1.3, "b": -0.27}


def draw(seed: int) -> Drawn:
    """Measured over predicted speed, and what the rivals say."""
    w, a, b, x = sp.symbols("w a b x", real=True)
    model = Model((w, a, b), a * sp.tanh(w * x) + b * x, inputs=(x,), x=[[1.0], [3.0]], y=[1.0, 0.5])
    rows: list[tuple[float, str, float, float | None]] = []
    verdicts = []
    for beta in BETAS:
        algorithm = Algorithm(lr=LR, batch_size="full", noise=LabelNoise(SIGMA), momentum=beta)
        (verdict,) = verify(model, algorithm, start=START, claims=[CLAIM], seed=seed, budget=BUDGET)
        verdicts.append(verdict)
        if verdict.predicted is None or verdict.measured is None or verdict.standard_error is None:
            raise RuntimeError(f"beta={beta}: {verdict}")
        unit = verdict.predicted / np.linalg.norm(verdict.predicted)
        error = float(np.sqrt(np.sum((unit * verdict.standard_error) ** 2)))
        rows.append((beta, "measured", float(unit @ verdict.measured), error))
        rows.append((beta, "closed form", float(unit @ verdict.predicted), None))
        for rival in verdict.rivals:
            if rival.predicted is not None and rival.theory not in ("derived", "stays at start"):
                rows.append((beta, rival.theory, float(unit @ rival.predicted), None))
    unit_speed = next(r[2] for r in rows if r[1] == "closed form")
    with styled():
        figure = new_figure(3.4, 5.2)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        names = [n for n in dict.fromkeys(r[1] for r in rows) if n not in ("measured", "closed form")]
        for name, dash in zip(names, DASHES):
            betas, speeds = zip(*[(r[0], r[2] / unit_speed) for r in rows if r[1] == name])
            axes.plot(betas, speeds, color=RIVAL, ls=dash, lw=1.1, label=name)
        known = [r for r in rows if r[1] == "closed form"]
        axes.plot([r[0] for r in known], [r[2] / unit_speed for r in known], color=THEORY, lw=2, label="closed form")
        seen = [r for r in rows if r[1] == "measured"]
        axes.errorbar(
            [r[0] for r in seen], [r[2] / unit_speed for r in seen], [(r[3] or 0.0) / unit_speed for r in seen],
            fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e.",
        )  # fmt: skip
        axes.set(xlabel="momentum β", ylabel="speed of the drift over that at β = 0", yscale="log")
        plain_log(axes.yaxis)
        finish(axes)
        below(figure, axes)
        words = {v.verdict for v in verdicts}
        colour = VERDICTS[verdicts[0].verdict] if len(words) == 1 else INK
        line = f"{' or '.join(sorted(words))} at every β, margin 2 %"
        headed(figure, "Momentum: speed along the zero-loss set", line, colour)
    columns = ("beta", "what", "speed", "standard_error")
    return Drawn(figure, "Drift of heavy-ball SGD against the closed form.", columns, rows)


main = script("momentum", draw, __doc__)

if __name__ == "__main__":
    main()
