"""Each closed form with one term of its source changed disagrees with averaging of the update map: no simulation."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, GradientNoise, LabelFlip, LabelNoise, Model
from flatmin.theory import derived as derived_module
from flatmin.theory.derived import Derived
from flatmin.theory.effective import effective
from flatmin.theory.geometry import retract
from flatmin.theory.regularizers import known_regularizer
from flatmin.theory.rules import HeavyBall, Nesterov, Preconditioned, SharpnessAware, WeightDecay
from flatmin.theory.slow import Paper
from flatmin.theory.testing import Case
from routes import disagreements, from_the_update_map, regularizer_disagreement, sharpness_aware_by_hand

# As in test_properties: rounding leaves 1e-11.
AGREE = 1e-8

U, V, W = sp.symbols("u v w", real=True)
FORK, AT_FORK = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5]), np.array([1.3, 1 / 1.3, -0.5 / 1.3])
LABELS = Model((U, V, W), [U * V, U * W], y=[1.0, -1.0], loss="logistic")
LABEL_NOISE = LabelNoise(0.1)
ACROSS = GradientNoise([[V**2, U * V, 0], [U * V, U**2, 0], [0, 0, 0]], 1e-3)


def on_fork(rule=None, batch="full", noise=LABEL_NOISE, **more):
    return Case(FORK, Algorithm(0.3, batch, noise, rule=rule, **more), AT_FORK)


def flips(rule=None):
    algorithm = Algorithm(1.5, "full", LabelFlip(0.2), rule=rule)
    return Case(LABELS, algorithm, retract(effective(LABELS, algorithm)[0], np.array([1.3, 1.0, -1.0])))


CASES = {
    "SGD": on_fork(),
    "SGD, batch of 2": on_fork(batch=2),
    "SGD, batch of 1 without replacement": on_fork(batch=1, sampling="without-replacement"),
    "heavy ball": on_fork(HeavyBall(0.6)),
    "heavy ball, batch of 2": on_fork(HeavyBall(0.6), 2),
    "Nesterov, batch of 2": on_fork(Nesterov(0.6), 2),
    "weight decay": on_fork(WeightDecay(2.0)),
    "preconditioned, batch of 2": on_fork(Preconditioned((1.0, 0.5, 2.0)), 2),
    "gradient noise": on_fork(noise=ACROSS),
    "gradient noise, heavy ball": on_fork(HeavyBall(0.6), noise=ACROSS),
    "flips": flips(),
    "flips, heavy ball": flips(HeavyBall(0.5)),
}


def mutated(name: str, old: str, new: str) -> ModuleType:
    """The module of flatmin.theory with one place of its source changed; nobody else sees it."""
    original = importlib.import_module(f"flatmin.theory.{name}")
    source = inspect.getsource(original)
    assert source.count(old) == 1, f"{old!r} is {source.count(old)} times in theory/{name}.py: the mutant needs care"
    module = ModuleType(original.__name__)
    module.__package__, module.__file__ = original.__package__, original.__file__
    exec(compile(source.replace(old, new), str(original.__file__), "exec"), module.__dict__)
    return module


# What is wrong; where; the right text; the wrong one; the theory; the case. A theory is a class of the mutated module,
# or Derived with the mutated function in place of its own.
MUTANTS = [
    ("lambda doubled", "slow", "self.strength / (2 -", "2 * self.strength / (2 -", "Paper", "SGD"),
    ("lambda doubled", "slow", "self.strength / (2 -", "2 * self.strength / (2 -", "Paper", "flips"),
    ("sign of the drift", "slow", "return -0.5 * self.rate", "return 0.5 * self.rate", "Paper", "SGD"),
    ("sign of the offset", "slow", "return -0.5 * normal", "return 0.5 * normal", "Paper", "SGD"),
    ("no (1+beta)", "slow", "self.lr / (1 + self.algorithm.beta)", "self.lr", "Paper", "heavy ball"),
    ("no (1+beta)", "slow", "self.lr / (1 + self.algorithm.beta)", "self.lr", "Paper", "flips, heavy ball"),
    (
        "1-beta for 1+beta",
        "slow",
        "lr / (1 + self.algorithm.beta)",
        "lr / (1 - self.algorithm.beta)",
        "Paper",
        "heavy ball",
    ),
    ("S of tr H/4", "slow", "(2 - self.step * local.curvatures)", "2", "Paper", "SGD"),
    ("Lyapunov of small lr", "slow", "- lr * np.multiply.outer(h, h)", "", "Paper", "gradient noise"),
    ("lambda of it doubled", "slow", "inside = algorithm", "inside = 2 * algorithm", "Paper", "gradient noise"),
    ("no finite batch", "derived", "        if c:\n", "        if False:\n", "Derived", "SGD, batch of 2"),
    ("no H S H", "derived", " - np.diag(h[rows] * h[columns])", "", "Derived", "SGD, batch of 2"),
    ("batch twice", "derived", "(eta**2 * c / batch)", "(eta**2 * c)", "Derived", "SGD, batch of 2"),
    ("lambda doubled", "derived", "(eta**2 / batch) * (", "2 * (eta**2 / batch) * (", "Derived", "SGD, batch of 2"),
    ("lambda doubled", "linearization", "/ local.n / batch", "/ local.n / batch * 2", "linearized", "heavy ball"),
    ("sign of the drift", "linearization", "push = -0.5 * gain", "push = 0.5 * gain", "linearized", "heavy ball"),
    ("no finite batch", "linearization", "    if c:\n", "    if False:\n", "linearized", "Nesterov, batch of 2"),
    ("no finite batch", "linearization", "    if c:\n", "    if False:\n", "linearized", "preconditioned, batch of 2"),
    ("batch twice", "linearization", "inside, c / batch)", "inside, c)", "linearized", "heavy ball, batch of 2"),
    (
        "no G H S H G",
        "linearization",
        "    images -= weight * coupling @ units @ coupling.T\n",
        "",
        "linearized",
        "heavy ball, batch of 2",
    ),
    ("forcing doubled", "linearization", "push + strength *", "push + 2 * strength *", "linearized", "weight decay"),
    ("forcing lost", "linearization", "push + strength *", "push + 0 * strength *", "linearized", "weight decay"),
    (
        "noise over eta again",
        "linearization",
        "+ strength / algorithm.lr * gain",
        "+ strength * gain",
        "linearized",
        "gradient noise, heavy ball",
    ),
    ("lambda without alpha", "effective", "flips.variance / flips.alpha", "flips.variance", "effective", "flips"),
    (
        "no finite batch without replacement",
        "algorithm",
        "else (n - b) / (n - 1)",
        "else 0.0",
        "minibatch_factor",
        "SGD, batch of 1 without replacement",
    ),
    (
        "(n-B)/n",
        "algorithm",
        "else (n - b) / (n - 1)",
        "else (n - b) / n",
        "minibatch_factor",
        "SGD, batch of 1 without replacement",
    ),
    (
        "no 1/(1-beta)",
        "algorithm",
        "return self.lr if linear is None else linear.slow_rate",
        "return self.lr",
        "slow_rate",
        "heavy ball",
    ),
]


def far(mutant, monkeypatch):
    """The distances of a mutated theory."""
    _, name, old, new, what, case = mutant
    module, case = mutated(name, old, new), CASES[case]
    if what in ("Paper", "Derived"):
        return disagreements(getattr(module, what), case)
    if what == "linearized":
        monkeypatch.setattr(derived_module, what, module.linearized)
        return disagreements(Derived, case)
    if what == "effective":
        return disagreements(Paper, case, square=module.effective(case.model, case.algorithm))
    monkeypatch.setattr(Algorithm, what, getattr(module.Algorithm, what))
    return disagreements(Derived if case.algorithm.batch_size != "full" else Paper, case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_unmutated_routes_agree(case):
    assert max(disagreements(Derived, case).values()) <= AGREE


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m[4]}, {m[0]}, {m[5]}" for m in MUTANTS])
def test_mutants_are_caught(mutant, monkeypatch):
    # Not just above the threshold: by a percent of the quantity or more.
    assert max(far(mutant, monkeypatch).values()) > 1e-2


R_CASES = {
    "SGD": None,
    "heavy ball": HeavyBall(0.6),
    "Nesterov": Nesterov(0.6),
    "weight decay": WeightDecay(2.0),
    "preconditioned": Preconditioned((1.0, 0.5, 2.0)),
    "sharpness-aware": SharpnessAware(0.3),
}
R_MUTANTS = [
    (
        "slow",
        "-np.sum(np.log1p(-0.5 * self.step * local.curvatures)) / (2 * self.step)",
        "np.sum(local.curvatures) / 4",
        "SGD",
    ),
    ("slow", "local.curvatures)) / (2 * self.step)", "local.curvatures)) / (2 * self.lr)", "heavy ball"),
    ("regularizers", "1 / (2 - step * h)", "0.5 + 0 * h", "SGD"),
    ("regularizers", "eta * (1 / (1 + beta) + batch)", "eta * (1 + batch)", "heavy ball"),
    ("regularizers", "* (1 + beta + (beta", "* (1 + (beta", "Nesterov"),
    ("regularizers", "decay = 0.5 * rule.ratio", "decay = rule.ratio", "weight decay"),
    ("regularizers", "np.sqrt(np.array(rule.diagonal))", "np.array(rule.diagonal)", "preconditioned"),
    ("regularizers", "+ rho * (1 + rho * h) / eta", "+ 2 * rho * (1 + rho * h) / eta", "sharpness-aware"),
    ("regularizers", "(1 + rho * h) ** 3", "(1 + rho * h) ** 2", "sharpness-aware"),
]


def closed_form(module, case):
    if hasattr(module, "known_regularizer"):
        return module.known_regularizer(case.model, case.algorithm, case.local)
    return module.Paper(case.model, case.algorithm).regularizer


@pytest.mark.parametrize("name", R_CASES)
def test_unmutated_regularizers_agree(name):
    """To the error of fourth-order differences: see `regularizer_disagreement`."""
    case = on_fork(R_CASES[name])
    assert regularizer_disagreement(case, known_regularizer(case.model, case.algorithm, case.local)) <= 1e-6


@pytest.mark.parametrize(("name", "old", "new", "case"), R_MUTANTS, ids=[f"{m[3]}, {m[2]}" for m in R_MUTANTS])
def test_mutated_regularizers_are_caught(name, old, new, case):
    case = on_fork(R_CASES[case])
    assert regularizer_disagreement(case, closed_form(mutated(name, old, new), case)) > 1e-3


@pytest.mark.parametrize("batch", ["full", 2])
def test_the_forcing_of_sharpness_aware_minimization(batch):
    """By hand it is what the update map gives; without it, or twice, it is not."""
    case = on_fork(SharpnessAware(0.3), batch)
    averaged = from_the_update_map(case)
    for forcing, right in ((1.0, True), (0.0, False), (2.0, False), (-1.0, False)):
        hand = sharpness_aware_by_hand(case, forcing)
        distance = np.linalg.norm(hand["drift"] - averaged.drift) / hand["drift scale"]
        assert distance <= AGREE if right else distance > 1e-2
