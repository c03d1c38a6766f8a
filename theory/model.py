"""`Model`: a small parametric model in SymPy, with its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .checks import real_array, real_number
from .errors import InvalidInput, NotApplicable, TooLarge
from .evaluate import SampleFunctions
from .losses import make_loss

__all__ = ["Model"]

Array = NDArray[np.float64]

_MAX_PARAMETERS = 64


class Model:
    """Predictions f(theta; x_i), i = 1..n, targets y_i and the loss L = (1/n) sum_i l(f_i, y_i), l = (f - y)^2/2.

    Parameters
    ----------
    parameters : sequence of sympy.Symbol
        theta; their order fixes the order of every vector and matrix.
    prediction : sympy.Expr or sequence of sympy.Expr
        f(theta; x), or a list of n expressions f_i(theta), one per sample (then without `inputs`).
    inputs : sequence of sympy.Symbol, optional
        The columns of `x`.
    x : array_like, shape (n, p), optional
        Data; needed when there are inputs.
    y : array_like, shape (n,)
        Targets.
    loss : {"square", "logistic", "exponential"} or sympy.Expr
        l(f, y); an expression in one symbol is a loss of the margin y f, with labels -1 or 1.

    Raises
    ------
    InvalidInput
        When a value breaks a rule; the message names it.
    TooLarge
        When the model has too many parameters to derive.

    References
    ----------
    Damian, Ma, Lee, *Label Noise SGD Provably Prefers Flat Global Minimizers*, NeurIPS 2021, Section 2.
    """

    def __init__(
        self,
        parameters: Sequence[sp.Symbol],
        prediction: sp.Expr | Sequence[sp.Expr],
        *,
        inputs: Sequence[sp.Symbol] = (),
        x: Any = None,
        y: Any,
        loss: str | sp.Expr = "square",
    ) -> None:
        given = _symbols("model.parameters", parameters), _symbols("model.inputs", inputs)
        self.parameters, self.inputs = (tuple(_real(s) for s in symbols) for symbols in given)
        if not self.parameters:
            raise InvalidInput("model.parameters", "=[] is empty; give at least one parameter")
        if len(self.parameters) > _MAX_PARAMETERS:
            raise TooLarge(
                "model.parameters", f" has {len(self.parameters)} entries; at most {_MAX_PARAMETERS} can be derived"
            )
        names = [s.name for s in (*self.parameters, *self.inputs)]
        if len(set(names)) < len(names):
            raise InvalidInput("model.parameters", f"={names} and inputs must all have different names")
        self.sample_loss = make_loss(loss)
        self.y = real_array("data.y", y, 1)
        if self.loss_name != "square" and np.any(np.abs(self.y) != 1):
            raise InvalidInput("data.y", f"={self.y.tolist()} must hold labels -1 or 1 for the {self.loss_name} loss")
        if not self.y.size:
            raise InvalidInput("data.y", "=[] is empty; give at least one sample")
        self.x = self._data(x)
        self.prediction = self._expressions(prediction)
        self._refuse_huge_powers()
        self.samples = SampleFunctions(self.parameters, self.inputs, self.prediction, self.x)

    def _data(self, x: Any) -> Array:
        n, p = len(self.y), len(self.inputs)
        if x is None:
            if p:
                raise InvalidInput("data.x", f" is missing; the model has inputs {[s.name for s in self.inputs]}")
            return np.empty((n, 0))
        if not p:
            raise InvalidInput("data.x", " is given, but the model declares no inputs")
        array = real_array("data.x", x, 2)
        if array.shape != (n, p):
            raise InvalidInput("data.x", f" has shape {array.shape}; {n} targets and {p} inputs ask for ({n}, {p})")
        return array

    def _expressions(self, prediction: Any) -> tuple[sp.Expr, ...]:
        single = isinstance(prediction, (sp.Basic, int, float))
        try:
            expressions = tuple(sp.sympify(e, strict=True) for e in ([prediction] if single else prediction))
        except (sp.SympifyError, TypeError):
            rule = f" must be a SymPy expression or a list of them, not {type(prediction).__name__}"
            raise InvalidInput("model.prediction", rule) from None
        for expression in expressions:
            if not isinstance(expression, sp.Expr) or expression.has(sp.I, sp.zoo, sp.nan, sp.oo, -sp.oo):
                raise InvalidInput("model.prediction", f"={expression} must be a finite real expression")
        # SymPy has no derivative of abs(u) for a u that may be complex.
        expressions = tuple(e.xreplace({s: _real(s) for s in e.free_symbols}) for e in expressions)
        if not single:
            if self.inputs:
                raise InvalidInput("model.prediction", " is a list, one expression per sample; it takes no inputs")
            if len(expressions) != len(self.y):
                raise InvalidInput("model.prediction", f" has {len(expressions)} expressions for {len(self.y)} targets")
        allowed = {*self.parameters, *self.inputs}
        for expression in expressions:
            unknown = sorted(s.name for s in expression.free_symbols - allowed)
            if unknown:
                raise InvalidInput("model.prediction", f"={expression} uses undeclared names {unknown}")
        if not any(e.free_symbols & set(self.parameters) for e in expressions):
            raise InvalidInput("model.prediction", f"={expressions[0]} depends on no parameter")
        return expressions

    def _refuse_huge_powers(self) -> None:
        # With the data put in, SymPy would compute 3**(10**9) to the last digit.
        known = set(self.inputs)
        for power in self.prediction[0].atoms(sp.Pow, sp.exp) if np.max(np.abs(self.x), initial=0.0) > 1e4 else ():
            base, exponent = power.as_base_exp()
            if exponent.free_symbols & known and (base.is_number or base.free_symbols & known):
                if base is sp.S.Exp1 and not exponent.has(sp.log):
                    continue
                raise TooLarge("data.x", f" has entries above 10**4, too large for {power}; rescale the inputs")

    @property
    def loss_name(self) -> str:
        """Name of the loss; "user" for an expression."""
        return self.sample_loss.name

    def _square_only(self) -> None:
        if self.loss_name != "square":
            raise NotApplicable("square loss", f"take the problem equivalent to the {self.loss_name} loss: `effective`")

    @property
    def d(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.y)

    @cached_property
    def sample_expressions(self) -> tuple[sp.Expr, ...]:
        """f_1..f_n with the data put in as exact rationals; meant for small n."""
        if not self.inputs:
            return self.prediction if len(self.prediction) == self.n else self.prediction * self.n
        (f,) = self.prediction
        return tuple(f.subs({s: sp.Rational(repr(float(v))) for s, v in zip(self.inputs, row)}) for row in self.x)

    def residuals(self, theta: Array) -> Array:
        """dl/df of each sample, shape (..., n) for theta of shape (..., d): f_i - y_i for the square loss."""
        f = self.samples.value(theta)
        return f - self.y if self.loss_name == "square" else self.sample_loss.values(1, f, self.y)

    def loss(self, theta: Array) -> Array:
        """L(theta), shape (...)."""
        if self.loss_name != "square":
            return np.asarray(np.mean(self.sample_loss.values(0, self.samples.value(theta), self.y), axis=-1))
        return 0.5 * np.mean(self.residuals(theta) ** 2, axis=-1)

    def gradient(self, theta: Array) -> Array:
        """grad L, shape (..., d)."""
        return np.einsum("...i,...ij->...j", self.residuals(theta), self.samples.jacobian(theta)) / self.n

    def hessian(self, theta: Array) -> Array:
        """hess L, shape (..., d, d)."""
        self._square_only()
        g = self.samples.jacobian(theta)
        residual_part = np.einsum("...i,...ijk->...jk", self.residuals(theta), self.samples.hessians(theta))
        return (np.einsum("...ij,...ik->...jk", g, g) + residual_part) / self.n

    def third_on(self, theta: Array, s: Array) -> Array:
        """D3L[S], the vector with entries sum_jk d_ijk L S_jk, on or off the zero-loss set; shape (d,)."""
        self._square_only()
        g, f = self.samples.jacobian(theta), self.samples.hessians(theta)
        twice = 2 * np.einsum("iab,bc,ic->a", f, s, g)
        trace = np.einsum("iab,ab->i", f, s) @ g
        residual = self.residuals(theta)
        # On the zero-loss set the third derivatives of f drop out and are not derived.
        scale = 1e-9 * (1 + np.max(np.abs(self.y)))
        rest = (
            np.zeros(self.d)
            if np.max(np.abs(residual)) < scale
            else np.einsum("i,iabc,bc->a", residual, self.samples.thirds(theta), s)
        )
        return (twice + trace + rest) / self.n

    def point(self, values: Any, field: str = "start") -> Array:
        """Return theta of shape (d,) from a mapping (by symbol or name) or a sequence."""
        if not isinstance(values, Mapping):
            theta = real_array(field, values, 1)
            if theta.shape != (self.d,):
                raise InvalidInput(field, f" has {theta.size} numbers for {self.d} parameters")
            return theta
        by_name = {str(k): v for k, v in values.items()}
        names = [p.name for p in self.parameters]
        unknown, missing = sorted(set(by_name) - set(names)), [m for m in names if m not in by_name]
        if unknown:
            raise InvalidInput(field, f" has unknown parameters {unknown}; the model has {names}")
        if missing:
            raise InvalidInput(field, f" lacks {missing}; give every parameter a value")
        return np.array([real_number(f"{field}.{m}", by_name[m]) for m in names])

    def __repr__(self) -> str:
        shown = str(self.prediction[0] if len(self.prediction) == 1 else list(self.prediction))
        return f"Model({', '.join(p.name for p in self.parameters)}: f = {shown}, n = {self.n})"

    def _repr_latex_(self) -> str:
        shown = self.prediction[0] if len(self.prediction) == 1 else sp.Matrix(self.prediction)
        return f"$f(\\theta) = {sp.latex(shown)}$"

    def _repr_html_(self) -> str:
        names = ", ".join(f"${escape(sp.latex(p))}$" for p in self.parameters)
        return (
            f"<p>{escape(self._repr_latex_())}</p><p>parameters {names}; n = {self.n} samples; "
            f"{escape(self.loss_name)} loss</p>"
        )


def _real(symbol: sp.Symbol) -> sp.Symbol:
    return symbol if symbol.is_real else sp.Symbol(symbol.name, real=True)


def _symbols(field: str, symbols: Sequence[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    if not isinstance(symbols, Iterable):
        raise InvalidInput(field, f"={symbols!r} must be a list of sympy.Symbol")
    for s in symbols:
        if not isinstance(s, sp.Symbol):
            raise InvalidInput(field, f"={s!r} must be a sympy.Symbol")
    return tuple(symbols)
