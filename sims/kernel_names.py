"""Names of a generated module: real symbols in place of a model's own, and what they may not be called."""

from __future__ import annotations

import builtins
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import count

import sympy as sp
from flatmin.theory import Model
from sympy.printing.pycode import PythonCodePrinter

from . import lanes, layouts, templates
from .form import Form, RuleStep
from .kernel_text import function_sources

__all__ = ["Names"]


@cache
def _reserved() -> frozenset[str]:
    """All names that a function with the model's names in it may use for something else.

    The other functions are scopes of their own: what is local there is free here.
    """
    functions = {*function_sources("kernel_math"), *function_sources("kernel_random")}
    fixed = functions | set(lanes.CONSTANTS) | _words(templates.IMPORTS)
    texts = (layouts.INDEXED.functions, layouts.STEP_ROWS, layouts.SIGNS, layouts.SCATTER)
    for text in texts:
        for function in text.split("\n\n\n"):
            # Only what fills <THETA> and <TOTAL> are names from the model.
            filled = "<THETA>" in function or "<TOTAL>" in function
            fixed |= _words(function if filled else function[: function.index("(")])
    return frozenset(fixed) | set(dir(builtins)) | set(keyword.kwlist) | PythonCodePrinter.reserved_words


def _words(text: str) -> set[str]:
    """The names in a piece of a template, without those in strings and comments."""
    # A place for whole lines stands at the beginning of a line, where Python sees another block.
    lines = re.sub(r"^<\w+>\n", "", text, flags=re.MULTILINE)
    tokens = tokenize.generate_tokens(io.StringIO(lines).readline)
    return {t.string for t in tokens if t.type == tokenize.NAME}


class Names:
    """Real symbols, with names that Python accepts and that nothing else has, in place of the model's own."""

    def __init__(self, model: Model, form: Form | None = None) -> None:
        form = form or Form()
        self.taken: set[str] = set()
        # What is printed here comes first, so that it has these names; the rest gives way.
        self.rate, self.target = (self.new(s) for s in ("rate", "target"))
        self.arrays = [self.new(s) for s in ("count", "noise")] + [self.target]
        together = len(model.prediction) == model.n * model.outputs or not form.linear(model.d)
        n = model.n if together else 0
        # One symbol per sample, of noise one per output: entries of the three arrays.
        sizes = {"count": n, "noise": n * model.outputs, "target": n}
        self.counts, self.noises, self.targets = (
            [self.new(f"{s}_{i}") for i in range(size)] for s, size in sizes.items()
        )
        self.taken |= _reserved()
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
