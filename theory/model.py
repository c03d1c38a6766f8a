"""`Model`: a small parametric model in SymPy, with its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .checks import nearest, real_array, real_number
from .cross_entropy import CrossEntropy
from .errors import InvalidInput, NotApplicable, TooLarge
from .evaluate import SampleFunctions
from .losses import make_loss

__all__ = ["Model"]

Array = NDArray[np.float64]

_MAX_PARAMETERS = 64


class Model:
    """Predictions f(theta; x_i), i = 1..n, targets y_i and the loss L = (1/n) sum_i l(f_i, y_i), l = (f - y)^2/2.

    With the cross-entropy a sample has K outputs, the logits of its classes; then (n K) stands for n below.

    Parameters
    ----------
    parameters : sequence of sympy.Symbol
        theta; their order fixes the order of every vector and matrix.
    prediction : sympy.Expr, or sequence of sympy.Expr or of such sequences
        f(theta; x), or a list of n expressions f_i(theta), one per sample (then without `inputs`). Cross-entropy: a
        list of K expressions f_c(theta; x), or of n lists of K expressions.
    inputs : sequence of sympy.Symbol, optional
        The columns of `x`.
    x : array_like, shape (n, p), optional
        Data; needed when there are inputs.
    y : array_like, shape (n,)
        Targets; labels -1 or 1, or classes 0..K-1, where the loss is one of labels.
    loss : {"square", "logistic", "exponential", "cross-entropy"} or sympy.Expr
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
        self.y = real_array("data.y", y, 1)
        if not self.y.size:
            raise InvalidInput("data.y", "=[] is empty; give at least one sample")
        listed, self.outputs = self._listed(prediction) if loss == CrossEntropy.name else (prediction, 1)
        self.sample_loss = make_loss(loss, self.outputs)
        self.sample_loss.check_labels(self.y)
        self.x = self._data(x)
        self.prediction = self._expressions(listed)
        self._refuse_huge_powers()
        self.samples = SampleFunctions(
            self.parameters, self.inputs, self.prediction, self.x if self.shared else self.x[:1]
        )

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

    def _listed(self, prediction: Any) -> tuple[list[Any], int]:
        """The logits of all samples in one list, and how many a sample has."""
        field = "model.prediction"
        if isinstance(prediction, str) or not isinstance(prediction, Iterable):
            raise InvalidInput(field, " must be a list of logits, one for each class, for the cross-entropy loss")
        rows = [list(prediction)] if self.inputs else list(prediction)
        if not self.inputs and len(rows) != len(self.y):
            raise InvalidInput(field, f" has {len(rows)} lists of logits for {len(self.y)} labels; give one each")
        for i, row in enumerate(rows):
            where = field if self.inputs else f"{field}[{i}]"
            if isinstance(row, str) or not isinstance(row, Iterable):
                raise InvalidInput(
                    where, " must be a list of logits, one for each class: without inputs a list of lists"
                )
            rows[i] = list(row)
            if len(rows[i]) < 2:
                rule = 'needs at least 2; for two classes with one output use loss="logistic" and labels -1 or 1'
                raise InvalidInput(where, f" has {len(rows[i])} outputs; the cross-entropy {rule}")
            if len(rows[i]) != len(rows[0]):
                raise InvalidInput(
                    where, f" has {len(rows[i])} logits and the first list {len(rows[0])}; give one a class"
                )
        return [e for row in rows for e in row], len(rows[0])

    @property
    def shared(self) -> bool:
        """Whether all samples have the same expressions, of which the data are the inputs; else each has its own."""
        return bool(self.inputs) or len(self.prediction) == self.outputs

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
        if not single and self.outputs == 1:
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
        if np.max(np.abs(self.x), initial=0.0) <= 1e4:
            return
        for power in set().union(*(f.atoms(sp.Pow, sp.exp) for f in self.prediction)):
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
            return self.prediction * (self.n if self.shared else 1)
        rows = [{s: sp.Rational(repr(float(v))) for s, v in zip(self.inputs, row)} for row in self.x]
        return tuple(f.subs(row) for row in rows for f in self.prediction)

    def residuals(self, theta: Array) -> Array:
        """dl/df of each output, shape (..., n) for theta of shape (..., d): f_i - y_i for the square loss."""
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
            raise InvalidInput(
                field, f" has unknown parameters {unknown}; the model has {names}{nearest(unknown[0], names)}"
            )
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
