"""Whether the drift is a gradient on the zero-loss set near a start: the answer that `flatmin derive` prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .circulation import Curl, SlowForm, small_loop
from .errors import NotApplicable
from .geometry import LocalGeometry, nearest_zero_loss_point
from .regularizers import known_regularizer
from .slow import SlowTheory

__all__ = ["GradientTest", "gradient_near", "gradient_test"]

Array = NDArray[np.float64]

# Radius of the loop around the start, in units of the size of theta, and points on it where the curl is taken too.
_RADIUS = 0.05
_AROUND = 4


@dataclass(frozen=True)
class GradientTest:
    """The curl at the start and around it, and R by integration.

    Attributes
    ----------
    dimension : int
        Of Gamma at the start.
    curls : tuple of Curl
        At the start, and at points on a loop around it; empty on a curve, where every field is a gradient.
    paths_differ : float or None
        The integral of -v from the start half way round the loop and back the other way, over the integral of |v|.
    closed_form_differs : float or None
        The change of the closed form of R on half of the loop less that integral, over the same; None where no closed
        form is known.
    reason : str
        Why nothing was tested, or "".
    """

    dimension: int
    curls: tuple[Curl, ...] = ()
    paths_differ: float | None = None
    closed_form_differs: float | None = None
    reason: str = ""

    @property
    def gradient(self) -> bool | None:
        """True: near the start the drift is a gradient; False: it is not; None: not tested, or not to be told."""
        if self.reason:
            return None
        answers = [c.vanishes for c in self.curls]
        if False in answers:
            return False
        return None if None in answers else True

    def lines(self) -> Iterator[str]:
        """The section's text."""
        if self.reason:
            yield f"Not tested: {self.reason}."
            return
        if self.dimension < 2:
            what = "a curve" if self.dimension else "a point"
            yield f"The drift is a gradient: yes: the zero-loss set is {what} at the start."
            if self.dimension:
                yield "(Around a closed curve it may have a circulation all the same.)"
            return
        worst = max(self.curls, key=lambda c: c.size / c.scale)
        here, word = self.curls[0], {True: "yes", False: "no", None: "not decided"}[self.gradient]
        yield (
            f"The drift is a gradient: {word}: curl = {here.size:.4g} +- {here.error:.1g} at the start, per unit of"
            f" slow time; the largest at it and {len(self.curls) - 1} points around is {worst.size / worst.scale:.2g}"
            " of the derivative of the drift."
        )
        yield f"R by integration on two ways round a loop differs by {self.paths_differ:.2g} of the whole."
        if self.closed_form_differs is not None:
            yield f"It differs from the closed form of R by {self.closed_form_differs:.2g} of the whole."

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "dimension": self.dimension,
            "gradient": self.gradient,
            "curl": [[float(v) for v in row] for row in self.curls[0].matrix] if self.curls else None,
            "error": self.curls[0].error if self.curls else None,
            "relative_curls": [c.size / c.scale for c in self.curls],
            "paths_differ": self.paths_differ,
            "closed_form_differs": self.closed_form_differs,
            "reason": self.reason,
        }


def gradient_test(theory: SlowTheory, theta: Array) -> GradientTest:
    """Test whether the drift of `theory` is a gradient near the zero-loss point `theta`, shape (d,).

    Raises
    ------
    NotApplicable
        Where the theory has no drift.
    """
    model, local = theory.model, LocalGeometry.at(theory.model, theta)
    dimension = local.tangent.shape[1]
    if dimension < 2:
        return GradientTest(dimension)
    form = SlowForm.of(theory)
    loop = small_loop(model, theta, _RADIUS * (1 + float(np.linalg.norm(theta))))
    begin, first, end, second = (loop(0.5 * np.pi * k) for k in range(4))
    curls = [form.curl(p) for p in (theta, *(loop(2 * np.pi * k / _AROUND) for k in range(_AROUND)))]
    one, other = form.regularizer(begin, first, end), form.regularizer(begin, second, end)
    known, differs = known_regularizer(model, theory.algorithm, local), None
    if known is not None:
        change = known(LocalGeometry.at(model, end)) - known(LocalGeometry.at(model, begin))
        differs = abs(change - one.value) / one.scale
    return GradientTest(dimension, tuple(curls), abs(one.value - other.value) / one.scale, differs)


def gradient_near(theory: SlowTheory, start: Array) -> GradientTest:
    """The same at the zero-loss point nearest to `start`; a failed assumption is recorded, not raised."""
    try:
        return gradient_test(theory, nearest_zero_loss_point(theory.model, start))
    except NotApplicable as error:
        return GradientTest(0, reason=str(error))
