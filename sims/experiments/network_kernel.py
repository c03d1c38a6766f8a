"""The loop of SGD on a two-layer network: five products of small matrices a step through BLAS, in single precision.

`steps` is plain Python with NumPy; `compiled` gives the same loop as machine code that does not hold Python's lock, so
that runs go side by side in threads. In double precision it gives the same curves: docs/experiments.md.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from ..cache import load_module

__all__ = ["compiled", "steps"]

_MATRIX, _WHOLE = "f4[:, ::1]", "i8[:, ::1]"
_ARGUMENTS = [_MATRIX, _WHOLE, _WHOLE, *[_MATRIX] * 7, "f4", "f4"]
_MODULE = """\
import numpy as np
from numba import njit

{source}

steps = njit({signature!r}, nogil=True, cache=True, error_model="numpy", fastmath={{"contract"}})(steps)
"""


@cache
def compiled(double: bool = False) -> Any:
    """`steps`, compiled or taken from the cache of kernels; in double precision its arrays are float64."""
    text = _MODULE.format(source=inspect.getsource(steps), signature=f"void({', '.join(_ARGUMENTS)})")
    return load_module(text.replace("float32", "float64").replace("f4", "f8") if double else text).steps


def steps(  # type: ignore[no-untyped-def]
    x, chosen, labels, targets, first, second, push_first, push_second, force_first, force_second, lr, momentum
):
    """Steps of SGD with heavy-ball momentum on the cross-entropy, in place.

    Parameters
    ----------
    x : ndarray of float32, shape (n, D + 1)
        Samples with a one.
    chosen, labels : ndarray of int64, shape (steps, B)
        The samples of each batch and their labels as drawn.
    targets : ndarray of float32, shape (K, K)
        What a label stands for: the identity, or the law of the label for each class.
    first, second : ndarray of float32, shapes (D + 1, m) and (m + 1, K)
        W1 and W2, changed in place.
    push_first, push_second : ndarray of float32
        theta - theta_prev of both, changed in place.
    force_first, force_second : ndarray of float32
        A constant part of the gradient.
    lr, momentum : float32
    """
    batch, width, classes = chosen.shape[1], first.shape[1], second.shape[1]
    inputs = np.empty((batch, x.shape[1]), np.float32)
    arguments = np.empty((batch, width), np.float32)
    slope = np.empty((batch, width), np.float32)
    activations = np.ones((batch, width + 1), np.float32)
    outputs = np.empty((batch, classes), np.float32)
    backward = np.empty((batch, width), np.float32)
    grad_first, grad_second = np.empty_like(first), np.empty_like(second)
    one, half, share = np.float32(1), np.float32(0.5), np.float32(lr / batch)
    for k in range(len(chosen)):
        for i in range(batch):
            inputs[i] = x[chosen[k, i]]
        np.dot(inputs, first, arguments)
        for i in range(batch):
            for j in range(width):
                z = arguments[i, j]
                root = np.sqrt(z * z + one)
                value = half * (z + root)
                activations[i, j] = value
                slope[i, j] = value / root
        np.dot(activations, second, outputs)
        # The slope of the cross-entropy in the outputs, softmax less the target, times lr/B.
        for i in range(batch):
            largest = outputs[i, 0]
            for c in range(1, classes):
                largest = max(largest, outputs[i, c])
            total = np.float32(0)
            for c in range(classes):
                outputs[i, c] = np.exp(outputs[i, c] - largest)
                total += outputs[i, c]
            for c in range(classes):
                outputs[i, c] = share * (outputs[i, c] / total - targets[labels[k, i], c])
        np.dot(outputs, second[:-1].T, backward)
        for i in range(batch):
            for j in range(width):
                backward[i, j] *= slope[i, j]
        np.dot(inputs.T, backward, grad_first)
        np.dot(activations.T, outputs, grad_second)
        for i in range(first.shape[0]):
            for j in range(width):
                push_first[i, j] = momentum * push_first[i, j] - grad_first[i, j] - lr * force_first[i, j]
                first[i, j] += push_first[i, j]
        for i in range(second.shape[0]):
            for j in range(classes):
                push_second[i, j] = momentum * push_second[i, j] - grad_second[i, j] - lr * force_second[i, j]
                second[i, j] += push_second[i, j]
