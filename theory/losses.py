"""Losses of a prediction and a label, and what label flips make of them.

A loss l(f, y) is given as a SymPy expression. With flips of probability p a sample's mean loss is
lbar(f) = (1-p) l(f, y) + p l(f, -y); for margin losses l(y f) it is least where y f = c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .cross_entropy import ClassFlipLaw, CrossEntropy
from .errors import InvalidInput, NotApplicable
from .numeric import numeric

__all__ = ["LOSSES", "FlipLaw", "Loss", "flip_law", "make_loss"]

Array = NDArray[np.float64]

_F, _Y = sp.symbols("f y", real=True)


@dataclass(frozen=True)
class Loss:
    """A loss of one sample.

    Attributes
    ----------
    name : str
    expression : sympy.Expr
        In the symbols `Loss.f` (prediction) and `Loss.y` (label).
    """

    name: str
    expression: sp.Expr

    f = _F
    y = _Y

    def __str__(self) -> str:
        return str(self.expression)

    def check_labels(self, y: Array) -> None:
        """Raise `InvalidInput` unless the labels are those of the loss: any targets for the square loss."""
        if self.name != "square" and np.any(np.abs(y) != 1):
            raise InvalidInput("data.y", f"={y.tolist()} must hold labels -1 or 1 for the {self.name} loss")

    @cached_property
    def slope(self) -> sp.Expr:
        """dl/df, simplified."""
        known = _SLOPES.get(self)
        return sp.simplify(self.expression.diff(_F)) if known is None else known

    def slope_at(self, f: sp.Expr, y: sp.Expr) -> sp.Expr:
        """dl/df at a prediction and a label."""
        return self.slope.subs({_F: f, _Y: y}, simultaneous=True)

    def drawn_slopes(
        self, f: Sequence[sp.Expr], y: sp.Expr, count: sp.Expr, flipped: Sequence[sp.Expr]
    ) -> list[sp.Expr]:
        """The slope summed over `count` draws of a sample, some of which have a flipped label; lists of length 1."""
        right, wrong = self.slope_at(f[0], y), self.slope_at(f[0], -y)
        return [count * right + flipped[0] * (wrong - right)]

    @cached_property
    def _numeric(self) -> list[Callable[[Array, Array], Array]]:
        derivatives = [self.expression.diff(_F, order) for order in range(3)]
        return [numeric((_F, _Y), e) for e in derivatives]

    def values(self, order: int, f: Array, y: Array) -> Array:
        """The loss (order 0) or a derivative in f (1, 2) at predictions and labels."""
        with np.errstate(over="ignore"):
            return np.asarray(self._numeric[order](f, y) + 0.0 * f, dtype=np.float64)

    @cached_property
    def margin(self) -> sp.Expr:
        """l as a function of the margin m = y f, in the symbol f."""
        return self.expression.subs(_Y, 1)


LOSSES = {
    "square": Loss("square", (_F - _Y) ** 2 / 2),
    "logistic": Loss("logistic", sp.log(1 + sp.exp(-_Y * _F))),
    "exponential": Loss("exponential", sp.exp(-_Y * _F)),
}

# What `simplify` makes of their slopes: it imports SymPy's physical units, for which a study would wait.
_SLOPES = {
    LOSSES["square"]: _F - _Y,
    LOSSES["logistic"]: -_Y / (sp.exp(_Y * _F) + 1),
    LOSSES["exponential"]: -_Y * sp.exp(-_Y * _F),
}


def make_loss(loss: str | sp.Expr, outputs: int = 1) -> Loss | CrossEntropy:
    """The loss of this name, or of the margin: an expression in one symbol m = y f.

    Parameters
    ----------
    loss : str or Expr
    outputs : int
        Of each sample: how many classes the cross-entropy has.

    Raises
    ------
    InvalidInput
    """
    if isinstance(loss, str):
        if loss == CrossEntropy.name:
            return CrossEntropy(outputs)
        if loss not in LOSSES:
            known = [*LOSSES, CrossEntropy.name]
            raise InvalidInput("model.loss", f"={loss!r} is not known; use one of {known} or an expression")
        return LOSSES[loss]
    if not isinstance(loss, sp.Expr) or len(loss.free_symbols) != 1:
        raise InvalidInput("model.loss", f"={loss!r} must be a SymPy expression in one symbol, the margin y f")
    (symbol,) = loss.free_symbols
    return Loss("user", loss.xreplace({symbol: _Y * _F}))


@dataclass(frozen=True)
class FlipLaw:
    """What label flips of probability p make of a margin loss l(y f).

    Attributes
    ----------
    loss : Loss
    flip : float

    References
    ----------
    Damian, Ma, Lee (2021), Section 3.3.
    """

    loss: Loss
    flip: float

    # Residuals of a sample in the equivalent problem.
    rows = 1

    @property
    def chance(self) -> float:
        """Probability that the label of a draw is flipped."""
        return self.flip

    @cached_property
    def center(self) -> float:
        """c: the margin that minimizes lbar."""
        m = _F
        l1 = self.loss.margin.diff(m)
        mean = sp.lambdify(m, (1 - self.flip) * l1 - self.flip * l1.subs(m, -m), modules="mpmath")
        slope = sp.lambdify(m, ((1 - self.flip) * l1 - self.flip * l1.subs(m, -m)).diff(m), modules="mpmath")
        grid = np.linspace(0.0, 60.0, 241)
        try:
            values = [float(mean(mpmath.mpf(g))) for g in grid]
        except (ArithmeticError, TypeError, ValueError):
            rule = f"the {self.loss.name} loss has no real slope at some margin from {-grid[-1]:g} to {grid[-1]:g}"
            raise NotApplicable("smooth loss", rule) from None
        for low, high, a, b in zip(grid, grid[1:], values, values[1:], strict=False):
            if a < 0 <= b:
                try:
                    found = mpmath.findroot(mean, (mpmath.mpf(low), mpmath.mpf(high)), solver="anderson", tol=1e-25)
                except (ArithmeticError, ValueError):
                    rule = f"the {self.loss.name} loss has a corner at its minimum, near the margin {low:g}"
                    raise NotApplicable("smooth loss", rule) from None
                if float(slope(found)) > 0:
                    return float(found)
        raise NotApplicable("interpolation", f"the {self.loss.name} loss has no minimum at flip={self.flip:g}")

    def _at_center(self, order: int) -> tuple[float, float]:
        """The order-th derivative in f of l(f, 1) at f = c, for a label as it is and for a flipped one."""
        right = self.loss.expression.subs(_Y, 1).diff(_F, order)
        wrong = self.loss.expression.subs(_Y, -1).diff(_F, order)
        value = sp.Float(self.center, 30)
        return float(right.subs(_F, value)), float(wrong.subs(_F, value))

    @cached_property
    def forces(self) -> tuple[float, float]:
        """dl/df at f = c of label 1, as it is and flipped; their mean is 0."""
        return self._at_center(1)

    @cached_property
    def _bends(self) -> tuple[float, float]:
        """d2l/df2 at f = c of label 1, as it is and flipped."""
        return self._at_center(2)

    @property
    def curvatures(self) -> tuple[float, float]:
        """Curvature of the loss over alpha, their mean, for a label as it is and for a flipped one."""
        right, wrong = self._bends
        return right / self.alpha, wrong / self.alpha

    @property
    def alpha(self) -> float:
        """lbar''(c)."""
        right, wrong = self._bends
        return (1 - self.flip) * right + self.flip * wrong

    @property
    def variance(self) -> float:
        """sigma^2: of dl/df at c."""
        right, wrong = self.forces
        return (1 - self.flip) * right**2 + self.flip * wrong**2

    @property
    def spread(self) -> float:
        """Var(d2l/df2)/alpha^2 at c: how much the curvature of a draw varies with its label."""
        right, wrong = self.curvatures
        return (1 - self.flip) * right**2 + self.flip * wrong**2 - 1

    def whitened(self, y: Array) -> tuple[Array, Array]:
        """Weight of the prediction and target in the equivalent problem, shapes (n, 1, 1) and (n, 1)."""
        root = np.sqrt(self.alpha)
        return np.full((len(y), 1, 1), root), root * self.center * y[:, None]

    def kicks(self, y: Array) -> Array:
        """Change of the residual of the equivalent problem by a flip, shape (n, 1, 1)."""
        right, wrong = self.forces
        return ((wrong - right) * y / np.sqrt(self.alpha))[:, None, None]

    def labels(self, count: sp.Expr, noise: Sequence[sp.Expr], y: float) -> list[sp.Expr]:
        """How many draws of a sample have a flipped label, by noise of mean zero."""
        return [sp.Float(self.flip, 17) * count + noise[0]]

    def label_variances(self, y: Array) -> Array:
        """Variance of the noise in `labels` for each draw, shape (n,)."""
        return np.full(len(y), self.flip * (1 - self.flip))


@lru_cache(maxsize=64)
def flip_law(loss: Loss | CrossEntropy, flip: float) -> FlipLaw | ClassFlipLaw:
    """The one law of a loss and a probability: its minimum is searched for once."""
    return ClassFlipLaw(loss, flip) if isinstance(loss, CrossEntropy) else FlipLaw(loss, flip)
