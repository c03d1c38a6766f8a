"""Study files: TOML to `Model`, `Algorithm`, start and `Claim`s.

What values may stand in it is decided by the classes that own them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .about import About
from .algorithm import Algorithm
from .checks import real_array, real_number
from .claim import CONJECTURE_NAMES, Claim, RunOptions
from .errors import InvalidInput, short
from .expressions import declared_symbols, parse_expression
from .files import read_table, read_text
from .model import Model
from .noise import GradientNoise, LabelFlip, LabelNoise, Noise
from .rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, UpdateRule, WeightDecay
from .schema import AlgorithmTable, ClaimTable, NoiseTable, RuleTable, StudyTable, checked
from .settings import SETTING_NAMES
from .syntax import quote

__all__ = ["Study", "parse_study", "read_study"]

# Python's TOML reader takes a time that grows as the square of the number of parts of a dotted key.
_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")
# The values that each kind of noise takes: all of them, and no others.
_NOISE_KEYS = {
    "none": (),
    "label": ("sigma",),
    "label-gaussian": ("sigma",),
    "flip": ("flip",),
    "gradient": ("covariance", "strength"),
}
_RULES: dict[str, type[UpdateRule]] = {
    "sgd": SGD,
    "heavy-ball": HeavyBall,
    "nesterov": Nesterov,
    "weight-decay": WeightDecay,
    "preconditioned": Preconditioned,
    "sharpness-aware": SharpnessAware,
}
# The same of each rule: the fields of its class.
_RULE_KEYS = {kind: tuple(field.name for field in fields(rule)) for kind, rule in _RULES.items()}  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Study:
    """One model, one algorithm, a start and the claims about them.

    Parameters
    ----------
    name : str
        File name, for reports.
    model : Model
        The model with its data.
    algorithm : Algorithm
        What runs on it.
    start : ndarray, shape (d,)
        Where it starts, as written in the file.
    claims : tuple of Claim
        What is to be tested.
    run : RunOptions
        How it is to be decided.
    about : About
        The statement in words; empty where the file says nothing.
    text : str
        The file itself.
    data_file : bool
        Whether the data stand in another file.
    """

    name: str
    model: Model
    algorithm: Algorithm
    start: NDArray[np.float64]
    claims: tuple[Claim, ...]
    run: RunOptions
    about: About = field(default_factory=About)
    text: str = ""
    data_file: bool = False


def read_study(path: str | PathLike[str]) -> Study:
    """Read a study file; the whole file is checked before anything is returned.

    Parameters
    ----------
    path : path-like
        A TOML file. A data file that it names is looked up beside it.

    Raises
    ------
    InvalidInput
        When the file cannot be read or a value breaks a rule; the message names the value as written in the file.
    """
    path = Path(path)
    return _parsed(read_text("study", path), path.stem, quote(str(path)), path.parent, None)


def parse_study(text: str, name: str, data: Mapping[str, Any] | None = None) -> Study:
    """Read a study from the text of its file; no file is opened.

    Parameters
    ----------
    text : str
    name : str
    data : mapping, optional
        `x` and `y` in place of the data file that the text names.

    Raises
    ------
    InvalidInput
        As by `read_study`; also for a data file without `data`.
    """
    return _parsed(text, name, quote(name), None, data)


def _parsed(text: str, name: str, shown: str, folder: Path | None, data: Mapping[str, Any] | None) -> Study:
    if _LONG_KEY.search(text):
        raise InvalidInput("study", f"={shown} holds a key of more than 64 parts; study files have at most 3")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of more digits than Python reads
        raise InvalidInput("study", f"={shown} is not valid TOML: {short(str(error))}") from None
    if data is not None:
        raw["data"] = dict(data)
    try:
        return _study(text, name, folder, checked(raw))
    except InvalidInput as error:
        raise type(error)(error.field, short(error.problem)) from None
    except RecursionError:
        raise InvalidInput("study", f"={shown} is nested too deeply; write it flatter") from None


def _study(text: str, name: str, folder: Path | None, table: StudyTable) -> Study:
    parameters = declared_symbols("model.parameters", table.model.parameters)
    model = _model(folder, table, parameters)
    algorithm = _algorithm(table.algorithm, parameters)
    algorithm.check(model)
    about = About(**dict(table.about))
    start = model.point(table.start)
    claims = []
    for i, entry in enumerate(table.claim):
        with _prefixed("claim", f"claim[{i}]"):
            claim = _claim(entry, parameters)
            claim.check(model)
            claims.append(claim)
    options = RunOptions(**dict(table.run))
    in_file = table.data.file is not None
    return Study(name, model, algorithm, start, tuple(claims), options, about, text, in_file)


def _model(folder: Path | None, table: StudyTable, parameters: Mapping[str, sp.Symbol]) -> Model:
    inputs = declared_symbols("model.inputs", table.model.inputs)
    names = {**inputs, **parameters}
    expressions = _expressions("model.prediction", table.model.prediction, names)
    data = table.data
    x, y = data.x, data.y
    if data.file is not None:
        if x is not None or y is not None:
            raise InvalidInput("data.file", f"={quote(data.file)} is given beside x or y; give either")
        if folder is None:
            raise InvalidInput("data.file", f"={quote(data.file)} is not at hand; give the data themselves")
        x, y = read_table("data.file", folder / data.file, list(inputs))
        x = x if inputs else None
    elif y is None:
        raise InvalidInput("data.y", " is missing; give y, or file")
    return Model(
        tuple(parameters.values()), expressions, inputs=tuple(inputs.values()), x=x, y=y, loss=table.model.loss
    )


def _expressions(field: str, value: Any, names: Mapping[str, sp.Symbol]) -> Any:
    """An expression, or a list of expressions, or of lists of them."""
    if not isinstance(value, list):
        return parse_expression(field, value, names)
    if not value:
        raise InvalidInput(field, "=[] is empty; give one expression per sample, or per class")
    return [_expressions(f"{field}[{i}]", entry, names) for i, entry in enumerate(value)]


def _algorithm(table: AlgorithmTable, parameters: Mapping[str, sp.Symbol]) -> Algorithm:
    given = _given("algorithm.noise", table.noise, _NOISE_KEYS)
    noise = _noise("algorithm.noise", table.noise.kind, given, parameters)
    rule = None if table.rule is None else _rule("algorithm.rule", table.rule)
    return Algorithm(table.lr, table.batch_size, noise, table.sampling, table.momentum, rule)


def _given(field: str, table: NoiseTable | RuleTable, keys: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The values of a table with a kind: all that its kind takes, and no others."""
    wanted, values = keys[table.kind], {}
    for key in type(table).model_fields:
        value = getattr(table, key)
        if key == "kind":
            continue
        if value is not None and key not in wanted:
            raise InvalidInput(f"{field}.{key}", f' is not for kind="{table.kind}"; remove it')
        if value is None and key in wanted:
            raise InvalidInput(f"{field}.{key}", f' is missing; kind="{table.kind}" needs it')
        if key in wanted:
            values[key] = value
    return values


def _noise(field: str, kind: str, given: Mapping[str, Any], parameters: Mapping[str, sp.Symbol]) -> Noise:
    if kind == "flip":
        return LabelFlip(**given)
    if kind == "gradient":
        return GradientNoise(_matrix(f"{field}.covariance", given["covariance"], parameters), given["strength"])
    law: Literal["rademacher", "gaussian"] = "gaussian" if kind == "label-gaussian" else "rademacher"
    return LabelNoise(given.get("sigma", 0.0), law)


def _rule(field: str, table: RuleTable) -> UpdateRule:
    rule, values = _RULES[table.kind], _given(field, table, _RULE_KEYS)
    for constant in fields(rule):  # type: ignore[arg-type]
        name = f"{field}.{constant.name}"
        many = "tuple" in str(constant.type)
        value = values[constant.name]
        values[constant.name] = tuple(real_array(name, value, 1).tolist()) if many else real_number(name, value)
    return rule(**values)


def _matrix(field: str, rows: Any, names: Mapping[str, sp.Symbol]) -> sp.ImmutableMatrix:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise InvalidInput(field, f"={short(repr(rows), 60)} must be a list of rows, each a list of expressions")
    if not rows or len({len(row) for row in rows} | {len(rows)}) > 1:
        shown = short(repr(rows), 60)
        raise InvalidInput(field, f"={shown} has rows of {[len(row) for row in rows]} entries; it must be square")
    entries = [
        [parse_expression(f"{field}[{i}][{j}]", text, names) for j, text in enumerate(row)]
        for i, row in enumerate(rows)
    ]
    return sp.ImmutableMatrix(entries)


def _claim(table: ClaimTable, parameters: Mapping[str, sp.Symbol]) -> Claim:
    constants = {name: sp.Symbol(name, real=True) for name in CONJECTURE_NAMES}
    names = {**constants, **parameters}
    regularizer, strength, covariance = table.regularizer, table.strength, table.covariance
    return Claim(
        table.kind,
        table.theory,
        table.name,
        None if regularizer is None else parse_expression("claim.regularizer", regularizer, names),
        None if strength is None else parse_expression("claim.strength", strength, constants),
        None
        if covariance is None
        else _matrix("claim.covariance", covariance, {**names, "lam": sp.Symbol("lam", real=True)}),
        {name: value for name in SETTING_NAMES if (value := getattr(table, name)) is not None},
    )


@contextmanager
def _prefixed(old: str, new: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        if error.field != old and not error.field.startswith(f"{old}."):
            raise
        raise type(error)(new + error.field.removeprefix(old), error.problem) from None
