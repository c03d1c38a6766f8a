"""Names in the lists of a generated module: real symbols in place of a model's own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import sympy as sp
from flatmin.theory import Model

from .form import Form, RuleStep

__all__ = ["Names"]


class Names:
    """Real symbols, with names of letters, digits and underscores that nothing else in a list has."""

    def __init__(self, model: Model, form: Form | None = None) -> None:
        form = form or Form()
        self.taken: set[str] = set()
        # What is named here comes first, so that it has these names; the rest gives way.
        self.rate, self.target = (self.new(s) for s in ("rate", "target"))
        together = len(model.prediction) == model.n * model.outputs or not form.linear(model.d)
        n = model.n if together else 0
        # One symbol per sample, of noise one per output.
        sizes = {"count": n, "noise": n * model.outputs, "target": n}
        self.counts, self.noises, self.targets = (
            [self.new(f"{s}_{i}") for i in range(size)] for s, size in sizes.items()
        )
        self.theta = [self.new(p.name) for p in model.parameters]
        self.inputs = [self.new(p.name) for p in model.inputs]
        self.total = [self.new(f"total_{p.name}") for p in self.theta]
        self.step = RuleStep(form.rule, self.theta, self.total, self.rate, self.new)
        self.flip = [self.new("flip")] if form.noise == "flip" else []
        # All rows of a replica: theta, the memory of the rule, constants.
        self.rows = [*self.step.state, *self.step.constants, *self.flip]
        self._map = dict(zip((*model.parameters, *model.inputs), (*self.theta, *self.inputs), strict=True))

    def new(self, name: str) -> sp.Symbol:
        """A symbol of this name, or of one like it that is free."""
        clean = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
        clean = clean if clean[:1].isalpha() else f"v{clean}"
        while clean in self.taken:
            clean += "_"
        self.taken.add(clean)
        return sp.Symbol(clean, real=True)

    def rename(self, expression: sp.Expr) -> sp.Expr:
        """The expression in these symbols."""
        return expression.xreplace(self._map)

    def temporaries(self) -> Iterator[str]:
        """Free names t0, t1, ..."""
        return (f"t{k}" for k in count() if f"t{k}" not in self.taken)
