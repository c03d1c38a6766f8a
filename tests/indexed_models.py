"""Models over indexed parameters that tests of both wings share, with the same models written out entry by entry."""

from __future__ import annotations

import numpy as np
import sympy as sp
from flatmin.theory import Model
from flatmin.theory.indexed import IndexedModel

J, K = sp.symbols("j k", integer=True)


def based(**shapes):
    """An IndexedBase for each name."""
    return [sp.IndexedBase(name, shape=shape) for name, shape in shapes.items()]


def data(n, p, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.normal(size=n)


def difference_model(size=11, n=10):
    """f = sum_j (u_j^2 - v_j^2) x_j + v_j x_j^2: two vectors, and two features of the input."""
    u, v, x = based(u=(size,), v=(size,), x=(size,))
    f = sp.Sum((u[J] ** 2 - v[J] ** 2) * x[J] + v[J] * x[J] ** 2, (J, 0, size - 1))
    xs, y = data(n, size)
    return IndexedModel([u, v], f, inputs=x, x=xs, y=y)


def tanh_model(size=11, n=10):
    """f = sum_j u_j tanh(v_j x_j): no sum of products of parameters with inputs."""
    u, v, x = based(u=(size,), v=(size,), x=(size,))
    xs, y = data(n, size)
    return IndexedModel([u, v], sp.Sum(u[J] * sp.tanh(v[J] * x[J]), (J, 0, size - 1)), inputs=x, x=xs, y=y)


def net_model(hidden=35, p=6, n=10):
    """f = sum_k a_k tanh(sum_j W_kj x_j + b_k) / 2: more hidden units than fit into one tile, and no multiple of it."""
    a, w, b, x = based(a=(hidden,), W=(hidden, p), b=(hidden,), x=(p,))
    inner = sp.Sum(w[K, J] * x[J], (J, 0, p - 1))
    xs, y = data(n, p)
    f = sp.Sum(a[K] * sp.tanh(inner + b[K]), (K, 0, hidden - 1)) / 2
    return IndexedModel([a, w, b], f, inputs=x, x=xs, y=y)


def start(model, seed=1):
    """A point off the zero-loss set, of order 1."""
    return np.random.default_rng(seed).normal(size=model.d) * 0.5


def expanded(model):
    """The same model with a symbol for every entry; its parameters in the same order."""
    symbols = [sp.Symbol(f"{name}_{i}", real=True) for name, s in model.shapes.items() for i in range(int(np.prod(s)))]
    inputs = [sp.Symbol(f"in_{j}", real=True) for j in range(model.p)]
    entries = {s.name: symbols[model.offsets[s.name] :] for s in model.vectors}
    total = sp.S.Zero
    for k in range(model.size):
        known = {s: entries[s.name][k] for s in model.vectors}
        if model.matrix is None:
            known[model.argument] = inputs[k]
        else:
            row = symbols[model.offsets[model.matrix] + k * model.p :][: model.p]
            known[model.argument] = sum(w * x for w, x in zip(row, inputs))
        total += model.phi.subs(known)
    return Model(symbols, total, inputs=inputs, x=model.x, y=model.y)
