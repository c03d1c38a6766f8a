"""Escape: from two bad zero-loss points, label noise goes to a flat one that is right on new data; plain SGD stays.

Sparse regression: f = sum_j (u_j^2 - v_j^2) x_j, 8 weights of which one is not zero, 5 samples. The starts: the
zero-loss points nearest to u = v = 1, and to a fit of random labels on other inputs. Error: distance of u^2 - v^2 from
the truth, of a run with its noise. A small model for Damian, Ma, Lee (2021), Section 4; that what is flat is sparse
here is of HaoChen et al. (2021).
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.geometry import nearest_zero_loss_point

from ..engine import simulate
from ..kernel import Kernel
from ..plots.style import DASHES, INK, RIVAL, THEORY, below, finish, headed, new_figure, styled
from .script import Drawn, script

LR, SIGMA, STEPS, REPLICAS = 0.01, 0.8, 100_000, 64
TRUTH = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])


def draw(seed: int) -> Drawn:
    """Error and sharpness from both starts, with label noise and without."""
    rng = np.random.default_rng(seed + 1)
    x, other = rng.standard_normal((2, 5, len(TRUTH)))
    u, v, inputs = (sp.symbols(f"{name}1:9", real=True) for name in "uvx")
    prediction = sum((a**2 - b**2) * s for a, b, s in zip(u, v, inputs))
    model, false = (
        Model((*u, *v), prediction, inputs=inputs, x=rows, y=y)
        for rows, y in ((x, x @ TRUTH), (other, 2 * rng.standard_normal(5)))
    )
    equal = np.ones(2 * len(TRUTH))
    starts = {
        "near equal weights": nearest_zero_loss_point(model, equal),
        "near a fit of random labels": nearest_zero_loss_point(model, nearest_zero_loss_point(false, equal)),
    }
    noisy = Algorithm(lr=LR, batch_size=1, noise=LabelNoise(SIGMA))
    kernel = Kernel.for_algorithm(model, noisy)
    steps = np.unique(np.rint(np.linspace(0, STEPS, 121)).astype(int))
    rows = []
    with styled():
        figure = new_figure(3.2, 7.2)
        panels = figure.subplots(1, 2)
        for (name, start), dash in zip(starts.items(), ("-", DASHES[0])):
            for sigma, colour, lw, said in ((SIGMA, THEORY, 2.0, "label noise"), (0.0, RIVAL, 0.9, "no label noise")):
                run = simulate(kernel, noisy, np.full(5, sigma), start, REPLICAS, steps, seed=seed)
                points = run.points[:, :, ~run.failed]
                squares = points**2
                weights = squares[:, :8] - squares[:, 8:]
                errors = np.linalg.norm(weights - TRUTH[None, :, None], axis=1)
                sharp = 4 / 5 * np.einsum("nd,mdr->mr", x**2, squares[:, :8] + squares[:, 8:])
                for axes, values in zip(panels, (errors, sharp)):
                    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
                    axes.plot(steps, middle, color=colour, ls=dash, lw=lw, label=f"{said}, {name}")
                    axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
                rows += [(name, sigma, k, e, s) for k, e, s in zip(steps, np.median(errors, 1), np.median(sharp, 1))]
        for axes, name in zip(panels, ("distance |weights − truth|", "tr hess L")):
            axes.set(xlabel="step", ylabel=name, ylim=(0, None))
            finish(axes)
        below(figure, panels[0])
        headed(figure, "Escape from two bad zero-loss points", f"medians of {REPLICAS} runs; shaded: 10 to 90 %", INK)
    columns = ("start", "sigma", "step", "median_error", "median_tr_hess")
    return Drawn(figure, "Label noise leaves two bad zero-loss points of a sparse regression.", columns, rows)


main = script("escape", draw, __doc__)

if __name__ == "__main__":
    main()
