"""Local coupling: theta = Phi + xi + Delta, and how small the rest Delta is.

Phi: the slow flow; xi: the linear SGD on the same draws, around it. The largest |Delta| of a run falls as lambda^(1/2)
over 1/(eta lambda) steps and as lambda over a fixed number of steps. Mean over 64 runs of f = u v.
Damian, Ma, Lee (2021), Section 3.1 (coupling) and its proof.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.flow import SlowFlow

from ..control import LinearControl
from ..engine import simulate
from ..kernel import Kernel
from ..plots.style import DASHES, INK, MUTED, THEORY, below, finish, headed, log_ticks, new_figure, styled
from .script import Drawn, script

LR, START, STRENGTHS = 0.2, np.array([2.0, 0.5]), 1e-2 / 4.0 ** np.arange(5)
FIXED, SEGMENTS, REPLICAS = 100, 48, 64


def draw(seed: int) -> Drawn:
    """The largest |Delta| against lambda, over two horizons."""
    u, v = sp.symbols("u v", real=True)
    model = Model((u, v), [u * v], y=[1.0])
    base = Algorithm(lr=LR, batch_size="full", noise=LabelNoise(1.0))
    kernel = Kernel.for_algorithm(model, base)
    flow = SlowFlow(Derived(model, base))
    rows = []
    for lam in STRENGTHS:
        algorithm = base.at_strength(model, lam)
        for name, steps in (("1/(eta lambda) steps", round(1 / (LR * lam))), (f"{FIXED} steps", FIXED)):
            marks = np.unique(np.linspace(0, steps, min(steps, 300) + 1).astype(int))
            firsts = np.unique(np.arange(SEGMENTS) * steps // SEGMENTS)
            middle = flow.path(START, LR * lam * (firsts + steps / SEGMENTS / 2))
            control = LinearControl(model, algorithm, middle, firsts.tolist(), marks.tolist())
            run = simulate(kernel, algorithm, None, START, REPLICAS, marks, seed=seed, control=control)
            slow = flow.path(START, LR * lam * marks)
            assert run.linear is not None
            left = np.linalg.norm(run.points - slow[:, :, None] - run.linear, axis=1).max(axis=0)
            rows.append((name, lam, left.mean(), left.std(ddof=1) / np.sqrt(REPLICAS)))
    with styled():
        figure = new_figure(3.4, 5.2)
        (axes,) = figure.subplots(1, 1, squeeze=False)[0]
        told = []
        for name, marker, power in (("1/(eta lambda) steps", "o", 0.5), (f"{FIXED} steps", "s", 1.0)):
            lams, means, errors = np.array([r[1:] for r in rows if r[0] == name]).T
            x = np.log(lams[-4:])
            weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
            slope, spread = weights @ np.log(means[-4:]), np.linalg.norm(weights * errors[-4:] / means[-4:])
            told.append(f"{slope:.3f} ± {spread:.3f}")
            shown = name.replace("eta lambda", "ηλ")
            axes.errorbar(lams, means, errors, fmt=marker, color=INK, capsize=2, label=f"{shown}, ± 1 s.e.")
            guide = means[-1] * (lams / lams[-1]) ** power
            axes.plot(
                lams, guide, color=THEORY, ls="-" if power < 1 else DASHES[0], lw=1, label=f"λ to the power {power:g}"
            )
        axes.loglog()
        log_ticks(axes.xaxis)
        log_ticks(axes.yaxis)
        axes.set(xlabel="noise strength λ", ylabel="largest |θ − Φ − ξ| of a run, mean of 64")
        finish(axes)
        below(figure, axes)
        line = f"exponents {', '.join(told)} (fit to the four smallest λ)"
        headed(figure, "Local coupling: what slow flow and linear process leave", line, MUTED)
    columns = ("horizon", "lambda", "largest_residual", "standard_error")
    return Drawn(figure, "Largest distance of a run from slow flow and linear process.", columns, rows)


main = script("coupling", draw, __doc__)

if __name__ == "__main__":
    main()
