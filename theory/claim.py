"""`Claim`: what a study states about one model and one algorithm, and `RunOptions`: how it is to be decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import sympy as sp

from .checks import one_of, real_number
from .errors import InvalidInput
from .model import Model
from .settings import NO_CONJECTURE, SETTINGS

__all__ = ["CONJECTURE_NAMES", "KINDS", "THEORIES", "Claim", "RunOptions", "TheoryName"]

TheoryName = Literal["derived", "paper", "small-lr", "conjecture"]
KINDS: tuple[str, ...] = tuple(SETTINGS)
THEORIES: tuple[TheoryName, ...] = get_args(TheoryName)

# What a conjecture may use beside the parameters: learning rate, standard deviation of the label noise (root
# mean square when there is one per sample), batch size, momentum, number of samples; S(theta) also lambda.
CONJECTURE_NAMES = ("eta", "sigma", "B", "beta", "n")


@dataclass(frozen=True)
class Claim:
    """A statement about where, how fast or how widely label noise SGD moves.

    Parameters
    ----------
    kind : str
        The statistic that is predicted and measured, one of `KINDS`.
    theory : {"derived", "paper", "small-lr", "conjecture"}
        Who predicts it.
    name : str, optional
        A title for tables.
    regularizer : sympy.Expr, optional
        Conjecture: R(theta); may use `CONJECTURE_NAMES`.
    strength : sympy.Expr, optional
        Conjecture: lambda, in `CONJECTURE_NAMES`; the paper's eta sigma^2/B by default.
    covariance : sympy.Matrix, optional
        Conjecture: S(theta), d x d; may use `CONJECTURE_NAMES` and `lam`.
    settings : mapping, optional
        What the kind takes beside its theory, by name; see `flatmin.theory.settings.SETTINGS`.

    Raises
    ------
    InvalidInput
        When a value breaks a rule.
    """

    kind: str
    theory: TheoryName = "derived"
    name: str = ""
    regularizer: sp.Expr | None = None
    strength: sp.Expr | None = None
    covariance: sp.ImmutableMatrix | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        one_of("claim.kind", self.kind, KINDS)
        object.__setattr__(self, "settings", MappingProxyType(self._checked_settings()))
        one_of("claim.theory", self.theory, THEORIES)
        own = {k: getattr(self, k) for k in ("regularizer", "strength", "covariance")}
        given = [k for k, v in own.items() if v is not None]
        if self.theory != "conjecture":
            if given:
                raise InvalidInput(f"claim.{given[0]}", f" is for theory='conjecture', not for {self.theory!r}")
            return
        if self.kind in NO_CONJECTURE:
            raise InvalidInput("claim.theory", f"='conjecture' is not for kind={self.kind!r}: it predicts zero")
        if (self.regularizer is None) == (self.covariance is None):
            raise InvalidInput("claim", "theory='conjecture' takes exactly one of `regularizer` and `covariance`")
        if self.covariance is not None and self.strength is not None:
            raise InvalidInput("claim.strength", " goes with `regularizer`; write the strength into `covariance`")
        if self.kind == "covariance" and self.covariance is None:
            raise InvalidInput("claim.covariance", " is missing: a regularizer alone predicts no covariance")
        if self.regularizer is not None:
            object.__setattr__(self, "regularizer", sp.sympify(self.regularizer, strict=True))
        if self.strength is not None:
            object.__setattr__(self, "strength", sp.sympify(self.strength, strict=True))
        if self.covariance is not None:
            object.__setattr__(self, "covariance", sp.ImmutableMatrix(self.covariance))

    def _checked_settings(self) -> dict[str, Any]:
        known = SETTINGS[self.kind]
        for name in self.settings:
            if name not in known:
                taken = f"it takes {list(known)}" if known else "it takes none"
                raise InvalidInput(f"claim.{name}", f" is not for kind={self.kind!r}; {taken}")
        values = {}
        for name, setting in known.items():
            value = self.settings.get(name, setting.default)
            if value is None and not setting.needed:
                continue
            if value is None:
                raise InvalidInput(f"claim.{name}", f" is missing; kind={self.kind!r} needs it")
            values[name] = setting.check(f"claim.{name}", value)
        return values

    @property
    def author(self) -> str:
        """Theory, and what a conjecture says, in a line."""
        own = (self.regularizer, self.strength, self.covariance)
        return " ".join([self.theory, *(str(e) for e in own if e is not None)])

    @property
    def title(self) -> str:
        """`name`, or kind and theory."""
        return self.name or f"{self.kind} ({self.theory})"

    def check(self, model: Model) -> None:
        """Raise `InvalidInput` when the conjecture or a setting does not fit the model."""
        for name, value in self.settings.items():
            SETTINGS[self.kind][name].fits(f"claim.{name}", value, model)
        if self.theory != "conjecture":
            return
        parameters = {p.name for p in model.parameters}
        clash = sorted(parameters & {*CONJECTURE_NAMES, "lam"})
        if clash:
            raise InvalidInput(
                "model.parameters", f"={clash} have a fixed meaning in a conjecture; rename these parameters"
            )
        if self.covariance is not None:
            if self.covariance.shape != (model.d, model.d):
                raise InvalidInput(
                    "claim.covariance", f" has shape {self.covariance.shape}; it must be ({model.d}, {model.d})"
                )
            _names("claim.covariance", self.covariance, parameters | {*CONJECTURE_NAMES, "lam"})
        if self.regularizer is not None:
            _names("claim.regularizer", self.regularizer, parameters | set(CONJECTURE_NAMES))
        if self.strength is not None:
            _names("claim.strength", self.strength, set(CONJECTURE_NAMES))


@dataclass(frozen=True)
class RunOptions:
    """How a study is decided.

    Parameters
    ----------
    margin : float
        Equivalence margin of the relative error.
    confidence : float
        Of each verdict, after correction for how many the study holds.
    budget : float
        Seconds of wall time a claim may use.
    seed : int
        Of all random numbers.
    """

    margin: float = 0.02
    confidence: float = 0.999
    budget: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("margin", 0.0, 1.0), ("confidence", 0.5, 1.0), ("budget", 0.0, float("inf"))):
            value = real_number(f"run.{name}", getattr(self, name))
            if not low < value < high:
                rule = f"between {low} and {high}, both excluded" if high < float("inf") else "positive"
                raise InvalidInput(f"run.{name}", f"={value} must be {rule}")
            object.__setattr__(self, name, value)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InvalidInput("run.seed", f"={self.seed!r} must be a whole number from 0 to 2**63 - 1")


def _names(field: str, expression: Any, allowed: Iterable[str]) -> None:
    unknown = sorted({s.name for s in expression.free_symbols} - set(allowed))
    if unknown:
        raise InvalidInput(field, f"={expression} uses unknown names {unknown}; it may use {sorted(allowed)}")
