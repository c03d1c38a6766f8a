"""Large learning rates: the drift over that of the limit eta -> 0, at equal lambda, against eta h.

f = u v, y = 1, full batch: the limit R = tr(H)/4 gives the drift of small learning rates, and the closed form
R = -(1/(2 eta)) tr log(1 - eta H/2) multiplies it by 2/(2 - eta h), without bound as eta h comes to 2.
Damian, Ma, Lee (2021), Section 2 and its part on large step sizes.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model

from ..plots.style import DASHES, INK, RIVAL, THEORY, VERDICTS, below, finish, headed, new_figure, styled
from ..verification import verify
from .script import Drawn, script

# Seconds: enough on a machine with much else to do.
BUDGET = 600.0
START, SHARPNESS, PRODUCTS = {"u": 2.0, "v": 0.5}, 4.25, (0.1, 0.4, 0.8, 1.2, 1.5, 1.7)


def draw(seed: int) -> Drawn:
    """Measured drift over that of small learning rates."""
    u, v = sp.symbols("u v", real=True)
    model = Model((u, v), [u * v], y=[1.0])
    rows, words = [], set()
    for product in PRODUCTS:
        algorithm = Algorithm(lr=product / SHARPNESS, batch_size="full", noise=LabelNoise(0.1))
        claims = [Claim("drift", "paper"), Claim("drift", "small-lr")]
        exact, small = verify(model, algorithm, start=START, claims=claims, seed=seed, budget=BUDGET)
        words.add((exact.verdict, small.verdict))
        if exact.measured is None or small.predicted is None or exact.standard_error is None:
            raise RuntimeError(f"eta h={product}: {exact}")
        unit = small.predicted / np.linalg.norm(small.predicted)
        size = float(unit @ small.predicted)
        error = float(np.sqrt(np.sum((unit * exact.standard_error) ** 2))) / size
        rows.append(
            (product, float(unit @ exact.measured) / size, error, 2 / (2 - product), exact.verdict, small.verdict)
        )
    fine = np.linspace(0.01, 1.8, 200)
    with styled():
        figure = new_figure(3.4, 5.2)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        axes.plot(fine, 2 / (2 - fine), color=THEORY, lw=2, label="closed form, 2/(2 − ηh)")
        axes.axhline(1, color=RIVAL, ls=DASHES[0], label="small learning rates, R = tr(H)/4")
        products, ratios, errors = (np.array([r[k] for r in rows], dtype=float) for k in (0, 1, 2))
        axes.errorbar(products, ratios, errors, fmt="o", color=INK, capsize=2, label="measured, ± 1 s.e.")
        axes.set(xlabel="ηh, learning rate times curvature", ylabel="drift over its limit η → 0", ylim=(0, None))
        finish(axes)
        below(figure, axes)
        right = all(exact == "supported" for exact, _ in words)
        refuted = sum(r[5] == "refuted" for r in rows)
        said = "supported at every ηh" if right else "not supported at some ηh"
        line = f"closed form {said}; small learning rates refuted at {refuted} of {len(rows)}"
        headed(figure, "Large learning rates", line, VERDICTS["supported" if right else "inconclusive"])
    columns = ("eta_h", "ratio", "standard_error", "predicted_ratio", "verdict_paper", "verdict_small_lr")
    return Drawn(figure, "Drift at large learning rates over that of small ones.", columns, rows)


main = script("large_lr", draw, __doc__)

if __name__ == "__main__":
    main()
