"""Mechanism: label noise takes SGD along the valley of zero loss to its flattest point; without it SGD stays.

f = u v, one sample y = 1: the valley is the hyperbola u v = 1, and tr hess L = u^2 + v^2 on it. One run and the mean of
512 from (3, 1/3), against the slow flow -P grad R; the closed form of the theorem. Damian, Ma, Lee (2021), Section 2.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.flow import SlowFlow
from flatmin.theory.slow import Paper

from ..engine import simulate
from ..kernel import Kernel
from ..plots.style import INK, MUTED, RULE, THEORY, below, finish, headed, new_figure, styled
from .script import Drawn, script

LR, SIGMA, START, SLOW_TIME = 0.1, 0.5, np.array([3.0, 1 / 3]), 6.0


def draw(seed: int) -> Drawn:
    """The valley with the run, and the sharpness along it."""
    u, v = sp.symbols("u v", real=True)
    model = Model((u, v), [u * v], y=[1.0])
    algorithm = Algorithm(lr=LR, batch_size="full", noise=LabelNoise(SIGMA))
    lam = algorithm.strength(model)
    steps = np.unique(np.rint(np.linspace(0, SLOW_TIME / (LR * lam), 241)).astype(int))
    kernel = Kernel.for_algorithm(model, algorithm)
    points = simulate(kernel, algorithm, None, START, 512, steps, seed=seed).points
    valley = simulate(kernel, algorithm, None, START, 512, steps, seed=seed, settle=True).points.mean(axis=2)
    plain = simulate(kernel, algorithm, [0.0], START, 64, steps, seed=seed).points.mean(axis=2)
    flow = SlowFlow(Paper(model, algorithm)).path(START, LR * lam * steps)
    with styled():
        figure = new_figure(3.2, 7.2)
        left, right = figure.subplots(1, 2)
        grid = np.meshgrid(np.linspace(0.1, 3.4, 200), np.linspace(0.05, 1.6, 200))
        left.contour(*grid, np.sqrt((grid[0] * grid[1] - 1) ** 2), levels=[0.2, 0.5, 1, 2], colors=RULE, linewidths=0.7)
        left.plot(*points[:, :, 0].T, color=MUTED, lw=0.4, label="one run")
        left.plot(*flow.T, color=THEORY, lw=2.4, label="slow flow, closed form")
        left.plot(*valley.T, color=INK, lw=0.9, label="mean of 512, on the valley")
        left.plot(*START, "s", color=INK, mfc="none", label="start, where plain SGD stays")
        left.set(xlabel="u", ylabel="v", xlim=(0.6, 3.4), ylim=(0.05, 1.6))
        for path, look in ((points[:, :, 0], (MUTED, 0.4)), (flow, (THEORY, 2.4)), (valley, (INK, 0.9))):
            right.plot(steps, np.sum(path**2, axis=1), color=look[0], lw=look[1])
        right.plot(steps, np.sum(plain**2, axis=1), color=INK, ls=":", label="without label noise")
        right.axhline(2, color=MUTED, ls="--", lw=0.8, label="flattest point of the valley")
        right.set(xlabel="step", ylabel="tr hess L = u² + v²")
        finish(right)
        below(figure, left, right)
        apart = float(np.max(np.linalg.norm(valley - flow, axis=1)))
        line = f"largest distance of mean and slow flow {apart:.2g}"
        headed(figure, "Mechanism: along the valley of zero loss", line)
    rows = [(k, *a, *b, *c) for k, a, b, c in zip(steps, valley, flow, plain)]
    columns = ("step", "mean_u", "mean_v", "flow_u", "flow_v", "plain_u", "plain_v")
    return Drawn(figure, "Label noise SGD in the valley u v = 1 against the slow flow.", columns, rows)


main = script("mechanism", draw, __doc__)

if __name__ == "__main__":
    main()
