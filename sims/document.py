"""A result file as objects: what a report and its figures are made from, whatever kinds of claims it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from flatmin.theory.errors import InvalidInput
from flatmin.theory.files import read_text
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

__all__ = ["ClaimEntry", "Detail", "Result", "RivalEntry", "Rung", "claim_entry", "read_result", "result_of"]

Array = NDArray[np.float64]

# The square of a larger number may overflow.
_LARGEST = 1e150
# Control characters and lone surrogates: no font draws them, and no XML may hold them.
_UNPRINTABLE = re.compile(r"[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _array(value: Any) -> Array | None:
    if value is None or isinstance(value, np.ndarray):
        return value
    try:
        array = np.array(value, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        raise ValueError("must be a number or nested lists of numbers of one length") from None
    if array.size == 0 or array.ndim > 4:
        raise ValueError("must hold a number, and have at most four dimensions")
    if np.any(np.abs(array) > _LARGEST):
        raise ValueError(f"holds a number beyond {_LARGEST:g}")
    return array


def _sizes(array: Array | None) -> Array | None:
    if array is not None and np.any(array < 0):
        raise ValueError("must not be negative")
    return array


def _whole(array: Array | None) -> Array | None:
    if array is not None and np.any(np.isnan(array)):
        raise ValueError("holds a null")
    return array


def _steps(array: Array | None) -> Array | None:
    if array is not None and not (array.ndim == 1 and np.all(array >= 0) and np.all(np.diff(array) > 0)):
        raise ValueError("must be a list of increasing steps")
    return array


def _ordered(interval: tuple[float, float]) -> tuple[float, float]:
    if not interval[0] <= interval[1]:
        raise ValueError("its first number must not be above its second")
    return interval


def _shown(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)


Text = Annotated[str, AfterValidator(_shown)]
Numbers = Annotated[Any, BeforeValidator(_array)]
Whole = Annotated[Numbers, AfterValidator(_whole)]
Sizes = Annotated[Numbers, AfterValidator(_sizes)]
Steps = Annotated[Numbers, AfterValidator(_steps)]
Interval = Annotated[tuple[float, float], AfterValidator(_ordered)]
Size = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Entry(BaseModel):
    # Unknown keys are those of a later version; they are no error in a result.
    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class AssumptionEntry(_Entry):
    """A hypothesis with its checked value."""

    name: Text
    holds: bool
    value: float | None = None
    rule: Text = ""


class RivalEntry(_Entry):
    """Another prediction, held against the same data."""

    theory: Text
    verdict: Text
    predicted: Numbers = None
    distinguishable: bool = True
    reason: Text = ""
    scale: Size | None = None


class Rung(_Entry):
    """The statistic at one strength."""

    strength: Annotated[float, Field(gt=0)]
    replicas: int = 0
    steps: int = 0
    mean: Numbers = None
    standard_error: Sizes = None
    error: float | None = None
    error_standard_error: Size | None = None


class Limit(_Entry):
    """The signed error of the limit along the prediction."""

    error: float | None = None
    error_standard_error: Size | None = None


class Detail(_Entry):
    """How a limit was measured; see `flatmin.sims.detail`."""

    rungs: tuple[Rung, ...] = ()
    law: Text = "polynomial"
    correction_power: float | None = None
    degree: int = 0
    coefficients: Numbers = None
    error_coefficients: Numbers = None
    truncation: float | None = None
    fit_probability: float | None = None
    widening: float | None = None
    limit: Limit = Limit()

    @model_validator(mode="after")
    def _of_its_law(self) -> Detail:
        c, e = self.coefficients, self.error_coefficients
        if c is not None and self.law == "power" and c.size != 3:
            raise ValueError("coefficients of a power law are three")
        if c is not None and self.law == "polynomial" and (c.ndim != 2 or len(c) != self.degree + 1):
            raise ValueError("coefficients must have as many rows as the polynomial of this degree")
        if e is not None and e.ndim != 1:
            raise ValueError("error_coefficients must be a list of numbers")
        return self


class ClaimEntry(_Entry):
    """One claim with everything that was found."""

    name: Text
    kind: Text
    verdict: Text
    theory: Text = ""
    study: Text = ""
    predicted: Whole = None
    measured: Whole = None
    standard_error: Sizes = None
    relative_error: float | None = None
    interval: Interval | None = None
    margin: Fraction = 0.02
    confidence: Fraction = 0.999
    assumptions: tuple[AssumptionEntry, ...] = ()
    rivals: tuple[RivalEntry, ...] = ()
    replica_steps: float = 0.0
    seconds: float = 0.0
    strengths: tuple[float, ...] = ()
    times: Steps = None
    variance_reduction: float | None = None
    reason: Text = ""
    notes: tuple[Text, ...] = ()
    parameters: tuple[Text, ...] = ()
    labels: tuple[Text, ...] = ()
    scale: Size | None = None
    bound: bool = False
    start: Numbers = None
    detail: Detail | None = None

    @model_validator(mode="after")
    def _of_its_path(self) -> ClaimEntry:
        if self.is_path and len(self.times) != len(self.predicted):
            raise ValueError("times must be as many as rows are predicted")
        if self.is_path and self.start is not None and self.start.shape != self.predicted.shape[1:]:
            raise ValueError("start must be as long as a row that is predicted")
        return self

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Of the ladder; none where the result does not hold them."""
        return self.detail.rungs if self.detail else ()

    @property
    def is_path(self) -> bool:
        """Whether the statistic has rows at times."""
        return self.times is not None and self.predicted is not None and self.predicted.ndim == 2

    @property
    def is_matrix(self) -> bool:
        """Whether the statistic is a square matrix."""
        p = self.predicted
        return p is not None and p.ndim == 2 and p.shape[0] == p.shape[1] and not self.is_path

    def shaped(self, values: Any) -> Array | None:
        """Numbers of the statistic in its shape; None where there are none, or not as many."""
        if values is None or self.predicted is None or np.size(values) != self.predicted.size:
            return None
        return np.asarray(values, dtype=np.float64).reshape(self.predicted.shape)

    def distance(self, rival: RivalEntry | None = None) -> float | None:
        """Of the measurement from what the claim or a rival predicts, over what errors of that theory are relative to.

        Over the scale of the claim where a result has none of the rival; None where there is nothing to compare.
        """
        measured, predicted = self.shaped(self.measured), self.shaped(rival.predicted if rival else self.predicted)
        scale = rival.scale if rival and rival.scale else self.scale
        if measured is None or predicted is None or not scale:
            return None
        error = measured - predicted
        if self.bound and rival is None:
            error = np.minimum(error, 0.0)
        return float(np.linalg.norm(error)) / scale

    @property
    def has_own_scales(self) -> bool:
        """Whether the distance of every rival is over a scale of its own, as its verdict is."""
        return all(rival.scale for rival in self.rivals if rival.predicted is not None)

    def parameter(self, index: int) -> str:
        """Name of theta_index."""
        return self.parameters[index] if index < len(self.parameters) else f"θ{index + 1}"

    def component(self, flat: int) -> str:
        """Name of a component, by its place in the flattened statistic."""
        p = self.predicted
        if p is None or p.size == 1:
            return self.labels[0] if self.labels else self.kind
        place = np.unravel_index(flat, p.shape)
        if self.is_path:
            return f"{self.parameter(int(place[1]))} at step {self.times[place[0]]:.0f}"
        if p.ndim == 1:
            names = next((n for n in (self.labels, self.parameters) if len(n) == p.size), None)
            return names[flat] if names else f"{flat + 1}"
        return ", ".join(self.parameter(int(i)) if self.is_matrix else str(int(i) + 1) for i in place)


class Result(_Entry):
    """A whole result file."""

    flatmin: Text
    study: Text
    seed: int
    seconds: float = 0.0
    claims: tuple[ClaimEntry, ...]
    command: Text = ""
    commit: Text = ""
    machine: dict[Text, Text] = Field(default_factory=dict)
    studies: tuple[dict[str, Any], ...] = ()


def claim_entry(document: Mapping[str, Any]) -> ClaimEntry:
    """One claim of a result; raises `InvalidInput`."""
    return _checked(ClaimEntry, document)


def result_of(document: Any) -> Result:
    """A document, as `flatmin verify --json` writes it; raises `InvalidInput`."""
    return _checked(Result, document)


def read_result(path: Path) -> dict[str, Any]:
    """The document of a result file.

    Raises
    ------
    InvalidInput
        When it cannot be read or is no result.
    """
    text = read_text("result", path)
    try:
        document = json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("result", f"={str(path)!r} is not valid JSON: {error}") from None
    result_of(document)
    return dict(document)


def _checked(model: type[Any], document: Any) -> Any:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        rule = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"result.{place}", f": {rule}; is this a file of `flatmin verify --json`?") from None
