"""`IndexedModel`: a model over arrays of parameters, as a sum over an index; no entry of an array becomes a symbol.

Two forms are recognised, with phi any formula of numbers:

- f(theta; x) = sum_k phi(u[k], v[k], ..., x[k]), parameters in vectors as long as the input ("vector");
- f(theta; x) = sum_k phi(a[k], b[k], ..., z_k), z_k = sum_j W[k, j] x[j], a net with one hidden layer ("matrix").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .checks import real_array
from .errors import InvalidInput, TooLarge
from .indexed_form import IndexedForm
from .numeric import numeric

__all__ = ["IndexedFunctions", "IndexedModel"]

Array = NDArray[np.float64]

_MAX_PARAMETERS = 20_000


class IndexedModel:
    """Predictions f(theta; x_i), i = 1..n, that are sums over an index, and the square loss 1/(2n) sum_i (f_i - y_i)^2.

    Parameters
    ----------
    parameters : sequence of sympy.IndexedBase, or mapping from them to shapes
        Arrays of numbers, with their shapes. theta holds them one after the other, each row by row.
    prediction : sympy.Expr
        A `sympy.Sum` of one of the two forms that the module describes, or a multiple of it.
    inputs : sympy.IndexedBase
        x, with shape (p,).
    x : array_like, shape (n, p)
        Data.
    y : array_like, shape (n,)
        Targets.
    loss : str
        Only "square" so far.

    Attributes
    ----------
    form : {"vector", "matrix"}
    phi : sympy.Expr
        The formula of one term, in the symbols `vectors` and `argument`.
    vectors : tuple of sympy.Symbol
        An entry of each vector of parameters, in their order.
    argument : sympy.Symbol
        What else phi depends on: an entry of x, or z_k.
    size : int
        How many terms the sum has.
    offsets : mapping of str to int
        Where each array begins in theta.
    matrix : str or None
        Name of the matrix W.

    Raises
    ------
    InvalidInput
        When a value breaks a rule; the message names it.
    TooLarge
        When there are too many parameters.

    Examples
    --------
    >>> import sympy as sp
    >>> u, x, j = sp.IndexedBase("u", shape=(3,)), sp.IndexedBase("x", shape=(3,)), sp.Symbol("j", integer=True)
    >>> model = IndexedModel([u], sp.Sum(u[j] ** 2 * x[j], (j, 0, 2)), inputs=x, x=[[1.0, 2.0, 0.0]], y=[1.0])
    >>> model.residuals([1.0, 1.0, 5.0])
    array([2.])
    """

    def __init__(
        self,
        parameters: Sequence[sp.IndexedBase] | Mapping[sp.IndexedBase, tuple[int, ...]],
        prediction: sp.Expr,
        *,
        inputs: sp.IndexedBase,
        x: Any,
        y: Any,
        loss: str = "square",
    ) -> None:
        if loss != "square":
            raise InvalidInput("model.loss", f"={loss!r} is not supported; use 'square'")
        self.loss_name, self.outputs = loss, 1
        self.shapes = _shapes(parameters)
        self.parameters = tuple(self.shapes)
        (self.p,) = _shape("model.inputs", inputs, None, (1,))
        self.y = real_array("data.y", y, 1)
        if not self.y.size:
            raise InvalidInput("data.y", "=[] is empty; give at least one sample")
        self.x = real_array("data.x", x, 2)
        if self.x.shape != (self.n, self.p):
            rule = f" has shape {self.x.shape}; {self.n} targets and {self.p} inputs ask for ({self.n}, {self.p})"
            raise InvalidInput("data.x", rule)
        names = [*self.parameters, str(inputs)]
        if len(set(names)) < len(names):
            raise InvalidInput("model.parameters", f"={names} and inputs must all have different names")
        self.prediction = prediction
        found = IndexedForm(prediction, self.shapes, str(inputs), self.p)
        self.form, self.phi, self.vectors, self.argument = found.form, found.phi, found.vectors, found.argument
        self.size, self.matrix = found.size, found.matrix
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.offsets = dict(zip(self.shapes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self.d = sum(sizes)
        if self.d > _MAX_PARAMETERS:
            raise TooLarge("model.parameters", f" are {self.d} numbers; at most {_MAX_PARAMETERS} are supported")
        self.samples = IndexedFunctions(self)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.y)

    def residuals(self, theta: Any) -> Array:
        """f_i - y_i, shape (..., n) for theta of shape (..., d)."""
        return self.samples.value(theta) - self.y

    def loss(self, theta: Any) -> Array:
        """L(theta), shape (...)."""
        return 0.5 * np.mean(self.residuals(theta) ** 2, axis=-1)

    def gradient(self, theta: Any) -> Array:
        """grad L, shape (..., d), without the Jacobian in between."""
        return self.samples.combination(theta, self.residuals(theta)) / self.n

    def point(self, values: Any, field: str = "start") -> Array:
        """Return theta of shape (d,) from a mapping (by array or its name) or a flat sequence."""
        if not isinstance(values, Mapping):
            theta = real_array(field, values, 1)
            if theta.shape != (self.d,):
                raise InvalidInput(field, f" has {theta.size} numbers for {self.d} parameters")
            return theta
        by_name = {str(k): v for k, v in values.items()}
        unknown, missing = sorted(set(by_name) - set(self.shapes)), [m for m in self.shapes if m not in by_name]
        if unknown:
            raise InvalidInput(field, f" has unknown parameters {unknown}; the model has {list(self.shapes)}")
        if missing:
            raise InvalidInput(field, f" lacks {missing}; give every parameter a value")
        parts = []
        for name, shape in self.shapes.items():
            part = real_array(f"{field}.{name}", by_name[name], len(shape))
            if part.shape != shape:
                raise InvalidInput(f"{field}.{name}", f" has shape {part.shape}; it must have {shape}")
            parts.append(part.ravel())
        return np.concatenate(parts)

    def __repr__(self) -> str:
        return f"IndexedModel({', '.join(self.shapes)}: f = {self.prediction}, d = {self.d}, n = {self.n})"


class IndexedFunctions:
    """Predictions f_i(theta), i = 1..n, and their first derivatives, from phi and its derivatives alone."""

    def __init__(self, model: IndexedModel) -> None:
        self.model = model
        self.arguments = (*model.vectors, model.argument)

    @cached_property
    def _phi(self) -> Callable[..., Any]:
        return numeric(self.arguments, self.model.phi, cse=True, dummify=True)

    @property
    def names(self) -> list[str]:
        """The arrays of parameters in the order in which `slopes` and `curves` have them: vectors, then the matrix."""
        return [s.name for s in self.model.vectors] + ([self.model.matrix] if self.model.matrix else [])

    @cached_property
    def _derivatives(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        # Of a matrix, with respect to z.
        wanted = self.arguments[: len(self.names)]
        first = [self.model.phi.diff(s) for s in wanted]
        second = [slope.diff(s) for m, slope in enumerate(first) for s in wanted[: m + 1]]
        one, two = (numeric(self.arguments, e, cse=True, dummify=True) for e in (first, second))
        return one, two

    def value(self, theta: Any) -> Array:
        """f_i(theta), shape (..., n) for theta of shape (..., d)."""
        entries = self._entries(theta)
        with np.errstate(all="ignore"):  # a value that is not finite is reported by whoever asked for it
            return self._filled(self._phi(*entries), entries).sum(axis=-1)

    def jacobian(self, theta: Any) -> Array:
        """df_i/dtheta_j, shape (..., n, d)."""
        slopes, x = self.slopes(theta), self.model.x
        out = np.empty((*next(iter(slopes.values())).shape[:-1], self.model.d))
        for name, slope in slopes.items():
            if name == self.model.matrix:
                slope = (slope[..., None] * x[:, None, :]).reshape(*slope.shape[:-1], -1)
            out[..., self._place(name)] = slope
        return out

    def combination(self, theta: Any, weights: Array) -> Array:
        """sum_i weights_i df_i/dtheta_j, shape (..., d) for weights of shape (..., n)."""
        return self.gather({name: weights[..., None] * slope for name, slope in self.slopes(theta).items()})

    def gather(self, local: Mapping[str, Array]) -> Array:
        """Sum over the samples what stands beside the slopes of every term, shape (..., d)."""
        out = np.empty((*next(iter(local.values())).shape[:-2], self.model.d))
        for name, entries in local.items():
            if name == self.model.matrix:
                total = np.swapaxes(entries, -1, -2) @ self.model.x
                out[..., self._place(name)] = total.reshape(*total.shape[:-2], -1)
            else:
                out[..., self._place(name)] = entries.sum(axis=-2)
        return out

    def spread(self, direction: Any) -> dict[str, Array]:
        """What a change of theta, shape (..., d), changes in the arguments of every term, (..., n or 1, size)."""
        changes = self._arguments(np.asarray(direction, dtype=np.float64))
        return dict(zip(self.names, changes, strict=True))

    def _place(self, name: str) -> slice:
        first = self.model.offsets[name]
        return slice(first, first + int(np.prod(self.model.shapes[name])))

    def _entries(self, theta: Any) -> list[Array]:
        """The arguments of phi, each of shape (..., n or 1, size)."""
        arguments = self._arguments(np.asarray(theta, dtype=np.float64))
        return arguments if self.model.matrix else [*arguments, self.model.x]

    def _arguments(self, theta: Array) -> list[Array]:
        """Those that depend on theta, linearly."""
        model = self.model
        entries = [theta[..., None, self._place(s.name)] for s in model.vectors]
        if model.matrix is None:
            return entries
        w = theta[..., self._place(model.matrix)]
        with np.errstate(all="ignore"):
            z = w.reshape(*w.shape[:-1], model.size, model.p) @ model.x.T
        return [*entries, np.swapaxes(z, -1, -2)]

    def slopes(self, theta: Any) -> dict[str, Array]:
        """dphi/dtheta at every term, shape (..., n, size), by the name of the array; of a matrix dphi/dz."""
        entries = self._entries(theta)
        with np.errstate(all="ignore"):
            slopes = self._derivatives[0](*entries)
        return {name: self._filled(slope, entries) for name, slope in zip(self.names, slopes, strict=True)}

    def curves(self, theta: Any) -> dict[tuple[str, str], Array]:
        """Second derivatives of phi at every term, shape (..., n, size), by the names of two arrays in any order."""
        entries, names = self._entries(theta), self.names
        with np.errstate(all="ignore"):
            found = iter(self._derivatives[1](*entries))
        out: dict[tuple[str, str], Array] = {}
        for m, name in enumerate(names):
            for other in names[: m + 1]:
                out[name, other] = out[other, name] = self._filled(next(found), entries)
        return out

    def _filled(self, values: Any, entries: Sequence[Array]) -> Array:
        # What does not depend on all arguments has one entry where others have many.
        shape = np.broadcast_shapes(*(e.shape for e in entries))
        return np.broadcast_to(np.asarray(values, dtype=np.float64), shape)


def _shapes(parameters: Any) -> dict[str, tuple[int, ...]]:
    given = parameters.items() if isinstance(parameters, Mapping) else ((b, None) for b in _list(parameters))
    shapes: dict[str, tuple[int, ...]] = {}
    for base, shape in given:
        if str(base) in shapes:
            raise InvalidInput("model.parameters", f" has {base} twice")
        shapes[str(base)] = _shape("model.parameters", base, shape, (1, 2))
    if not shapes:
        raise InvalidInput("model.parameters", "=[] is empty; give at least one array")
    return shapes


def _list(parameters: Any) -> Iterable[Any]:
    if not isinstance(parameters, Iterable):
        raise InvalidInput("model.parameters", f"={parameters!r} must be a list of sympy.IndexedBase")
    return parameters


def _shape(field: str, base: Any, shape: Any, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(base, sp.IndexedBase):
        raise InvalidInput(field, f"={base!r} must be a sympy.IndexedBase")
    sizes = tuple(base.shape or ()) if shape is None else tuple(shape)
    whole = all(isinstance(s, (int, np.integer, sp.Integer)) and s > 0 for s in sizes)
    if len(sizes) not in dimensions or not whole:
        wanted = " or ".join(str(k) for k in dimensions)
        rule = f"give it {wanted} dimensions: IndexedBase({str(base)!r}, shape=...)"
        raise InvalidInput(field, f"={base} has shape {sizes}; {rule}")
    return tuple(int(s) for s in sizes)
