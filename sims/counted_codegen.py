"""The parts of a generated module for noise, losses and rules that go over all samples in each step.

Sample i enters with how often it was drawn, count_i, and a number noise_i: the sum of its label noise, or how many of
its draws have a flipped label; with K classes K numbers, how many of its draws have each. Gradient noise is added to
the total gradient: L(theta) times normal numbers, L a Cholesky factor of the covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp
from flatmin.theory import Model
from flatmin.theory.errors import TooLarge
from flatmin.theory.losses import Loss

from . import counted_layouts as layouts
from .form import Form
from .kernel_frame import Layout
from .kernel_names import Names
from .kernel_text import fill, function_sources
from .program import Program, three_address

__all__ = ["MOST_TOGETHER", "CountedText"]

# Part of a diagonal entry of a covariance below which a pivot is rounding.
PIVOT = 1e-12
# Samples whose formulas are in one list, for rules that ask for gradients elsewhere than at theta.
MOST_TOGETHER = 32


class CountedText:
    """Lists and functions of a module with counts.

    Parameters
    ----------
    model : Model
    form : Form
    names : Names

    Attributes
    ----------
    lists : mapping of str to Program
    """

    def __init__(self, model: Model, form: Form, names: Names) -> None:
        self.model, self.form, self.names = model, form, names
        self.together = bool(names.counts)
        if self.together and model.inputs and model.n > MOST_TOGETHER:
            raise TooLarge(
                "algorithm.rule",
                f"={form.rule} takes gradients elsewhere than at theta: at most {MOST_TOGETHER} samples, not {model.n}",
            )
        self.amplitude = names.new("amplitude")
        self.kicks = [names.new(f"kick_{t}") for t in names.theta] if form.noise == "gradient" else []
        self.lists = self._together() if self.together else self._one_by_one()

    def _residuals(
        self, outputs: dict[str, sp.Expr], of: str, f: Sequence[sp.Expr], drawn: Sequence[sp.Symbol], y: sp.Symbol
    ) -> list[sp.Symbol]:
        """Slopes of the loss in the outputs f of a sample, summed over its draws; drawn: its count and its noise."""
        names, loss, (count, *noises) = self.names, self.model.sample_loss, drawn
        each = [f"{of}_{c}" for c in range(len(f))] if len(f) > 1 else [of]
        if len(f) > 1:
            logits = [names.new(f"logit{one}") for one in each]
            outputs |= {str(s): e for s, e in zip(logits, f, strict=True)}
            f = logits
        if self.form.noise == "flip":
            slopes = loss.drawn_slopes(f, y, count, noises)
        else:
            assert isinstance(loss, Loss)
            slopes = [count * loss.slope_at(f[0], y) - (noises[0] if self.form.noise == "label" else 0)]
        residuals = [names.new(f"residual{one}") for one in each]
        outputs |= {str(s): e for s, e in zip(residuals, slopes, strict=True)}
        return residuals

    def _kicks(self, outputs: dict[str, sp.Expr]) -> list[sp.Expr]:
        """The noise in the gradient: its covariance is that at theta, and all gradients of a step have the same one."""
        d = self.model.d
        if not self.kicks:
            return [sp.S.Zero] * d
        root = self._cholesky(outputs, self.names.rename(self.form.covariance))
        return [self.amplitude * sum(root[j, k] * self.kicks[k] for k in range(j + 1)) for j in range(d)]

    def _cholesky(self, outputs: dict[str, sp.Expr], covariance: sp.Matrix) -> sp.Matrix:
        """L with L L^T = covariance; a pivot that is zero, or below it by rounding, has a column of zeros."""

        def named(name: str, value: sp.Expr) -> sp.Expr:
            if value.is_number:
                return value
            symbol = self.names.new(name)
            outputs[str(symbol)] = value
            return symbol

        d = covariance.rows
        root = sp.zeros(d, d)
        for j in range(d):
            # A little less than the pivot, so that one that should be zero does not come out as the root of rounding.
            rest = (1 - PIVOT) * covariance[j, j] - sum(root[j, k] ** 2 for k in range(j))
            if rest.is_number:
                if float(rest) <= 0:
                    continue
                pivot = sp.Float(float(rest), 17)
            else:
                rest = named(f"rest_{j}", rest)
                pivot = named(f"pivot_{j}", (rest + sp.Abs(rest)) / 2)
            root[j, j] = named(f"root_{j}", sp.sqrt(pivot))
            slope = root[j, j] / pivot if pivot.is_number else named(f"slope_{j}", root[j, j] / (pivot + 1e-300))
            for i in range(j + 1, d):
                entry = covariance[i, j] - sum(root[i, k] * root[j, k] for k in range(j))
                root[i, j] = named(f"root_{i}_{j}", sp.sympify(entry) * slope)
        return root

    def _together(self) -> dict[str, Program]:
        """One list with the formulas of all samples, at every point where the rule takes a gradient."""
        names, model = self.names, self.model
        if model.inputs:
            self.columns = [[names.new(f"{x}_{i}") for x in names.inputs] for i in range(model.n)]
            known = [dict(zip(names.inputs, row, strict=True)) for row in self.columns]
            predictions = [[names.rename(f).xreplace(row) for f in model.prediction] for row in known]
        else:
            self.columns = [[] for _ in range(model.n)]
            predictions = in_groups([names.rename(e) for e in model.sample_expressions], model.outputs)
        noises = in_groups(names.noises, model.outputs)
        outputs: dict[str, sp.Expr] = {}
        kicks = self._kicks(outputs)
        for m, (point, totals) in enumerate(names.step.points):
            at = {}
            if point != names.theta:
                at = {t: names.new(f"point{m}_{t}") for t in names.theta}
                outputs |= {str(s): e for s, e in zip(at.values(), point, strict=True)}
            pushed: list[tuple[sp.Symbol, sp.Expr]] = []
            for i, (f, count, noise, target) in enumerate(
                zip(predictions, names.counts, noises, names.targets, strict=True)
            ):
                moved = [e.xreplace(at) for e in f]
                pushed += zip(self._residuals(outputs, f"{m}_{i}", moved, (count, *noise), target), f, strict=True)
            for total, t, kick in zip(totals, names.theta, kicks, strict=True):
                outputs[str(total)] = sp.Add(*(r * e.diff(t).xreplace(at) for r, e in pushed)) - kick
        new = {str(names.new(f"new_{r}")): e for r, e in zip(names.rows, self._new_rows(), strict=True)}
        drawn = zip(names.counts, noises, names.targets, self.columns, strict=True)
        samples = [s for count, noise, target, row in drawn for s in (count, *noise, target, *row)]
        inputs = [*names.rows, *samples, *self.kicks, self.amplitude, names.rate]
        return {"STEP": three_address(outputs | new, inputs, names.temporaries()).only(new)}

    def _one_by_one(self) -> dict[str, Program]:
        """One sample's part of the total, and the update by the total."""
        names = self.names
        f = [names.rename(e) for e in self.model.prediction]
        drawn = [names.new("drawn_count"), *(names.new("drawn_noise") for _ in f)]
        outputs: dict[str, sp.Expr] = {}
        residuals = self._residuals(outputs, "", f, drawn, names.target)
        parts = {
            str(names.new(f"part_{t}")): sp.Add(*(r * e.diff(t) for r, e in zip(residuals, f, strict=True)))
            for t in names.theta
        }
        inputs = [*names.rows, *names.inputs, names.target, *drawn]
        sample = three_address(outputs | parts, inputs, names.temporaries())
        kicked: dict[str, sp.Expr] = {}
        totals = {t: t - kick for t, kick in zip(names.total, self._kicks(kicked), strict=True)}
        new = {
            str(names.new(f"new_{r}")): e.xreplace(totals) for r, e in zip(names.rows, self._new_rows(), strict=True)
        }
        inputs = [*names.rows, *names.total, *self.kicks, self.amplitude, names.rate]
        update = three_address(kicked | new, inputs, names.temporaries())
        return {"SAMPLE": sample.only(parts), "UPDATE": update.only(new)}

    def _new_rows(self) -> list[sp.Expr]:
        names = self.names
        return [*names.step.new, *names.rows[len(names.step.state) :]]

    @property
    def sizes(self) -> dict[str, object]:
        """Constants of the module."""
        sizes: dict[str, object] = {"N": self.model.n} if self.together else {}
        return sizes | {"INPUTS": len(self.model.inputs), "KICKS": len(self.kicks), "OUTPUTS": self.model.outputs}

    def functions(self) -> list[str]:
        """The texts of functions for draws."""
        return [] if self.form.noise == "label" else list(function_sources("kernel_binomial").values())

    @property
    def layout(self) -> Layout:
        """What goes into the frame."""
        classes, draw = self.model.outputs > 1, layouts.DRAW["class" if self.model.outputs > 1 else self.form.noise]
        mean = "" if self.form.noise != "flip" else layouts.MEAN_CLASSES if classes else layouts.MEAN_FLIPS
        if self.together:
            step = "batch_pass(theta, count, noise, kick, x, y, amplitude, rate, <RAW>)"
        else:
            step = (
                "samples_pass(theta, total, count, noise, x, y, n)\n"
                "kicked_pass(theta, total, kick, amplitude, rate, <RAW>)"
            )
        return Layout(
            functions=layouts.COUNTS,
            arrays=layouts.ARRAYS,
            begin=layouts.BEGIN,
            steps=f"{draw}\n{step}",
            noiseless=fill(mean, FLIP=f"{len(self.names.rows) - 1} * LANES + k") + step,
        )


def in_groups(entries: list[Any], size: int) -> list[list[Any]]:
    """Slices of so many entries."""
    return [entries[i : i + size] for i in range(0, len(entries), size)]
