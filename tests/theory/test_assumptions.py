"""Every named assumption seen holding and failing, and each failure decides that the theory is not applicable."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model, NotApplicable
from flatmin.theory.assumptions import Assumption, failed_assumption, point_assumptions
from flatmin.theory.prediction import predict

U, V, W = sp.symbols("u v w", real=True)
UV = Model((U, V), U * V, y=[1.0])
CROSS = Model((U, V), U * V, y=[0.0])
SGD = Algorithm(0.3, "full", LabelNoise(0.1))
ON_UV = np.array([2.0, 0.5])

NAMES = {
    "interpolation",
    "label noise",
    "rank of the Jacobian",
    "learning rate",
    "second-moment limit",
    "Polyak-Lojasiewicz constant",
    "Lipschitz constant of f",
    "Lipschitz constant of grad f",
    "Lipschitz constant of hess f",
}


def at(model: Model, algorithm: Algorithm, *points: np.ndarray) -> dict[str, Assumption]:
    found = point_assumptions(model, algorithm, points)
    assert [a.name for a in found] == list(dict.fromkeys(a.name for a in found))
    assert all(isinstance(a.holds, bool) for a in found)
    return {a.name: a for a in found}


def failing(model: Model, algorithm: Algorithm, *points: np.ndarray) -> set[str]:
    return {name for name, a in at(model, algorithm, *points).items() if not a.holds}


def failed_of(model: Model, algorithm: Algorithm, claim: Claim, start: np.ndarray) -> set[str]:
    prediction = predict(model, algorithm, claim, start)
    names = {a.name for a in prediction.assumptions if not a.holds}
    assert (prediction.value is None) is bool(names)
    assert (prediction.failed is None) is (not names)
    assert prediction.failed is None or prediction.failed.name in names
    return names


def test_all_hold_at_a_good_point_with_the_values_of_a_hand_calculation():
    found = at(UV, SGD, ON_UV)
    assert set(found) == NAMES
    assert all(a.holds for a in found.values())
    h = 4.25  # u^2 + v^2
    expected = {
        "interpolation": 0.0,
        "label noise": 0.003,
        "learning rate": 0.3 * h,
        "second-moment limit": (1 - 0.3 * h) ** 2,
        "Polyak-Lojasiewicz constant": h,
        "Lipschitz constant of f": np.sqrt(h),
        "Lipschitz constant of grad f": 1.0,
        "Lipschitz constant of hess f": 0.0,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-12, abs=1e-15), name  # a few roundings
    # The Jacobian's length at a distance of 1e-3 * 3 differs by about that, relatively.
    assert found["rank of the Jacobian"].value == pytest.approx(1.0, abs=5e-3)


def test_interpolation():
    assert failing(UV, SGD, np.array([1.0, 1.1])) == {"interpolation"}
    assert failed_of(Model((U, V), U**2, y=[-1.0]), SGD, Claim("drift"), ON_UV) == {"interpolation"}
    assert failed_of(UV, SGD, Claim("drift"), np.array([1.0, 1.1])) == set()  # moved to Gamma first


def test_label_noise():
    for sigma, fails in ((0.1, set()), (0.0, {"label noise"})):
        algorithm = Algorithm(0.3, "full", LabelNoise(sigma))
        assert failing(UV, algorithm, ON_UV) == fails
        for kind in ("drift", "covariance", "trajectory", "fixed-point"):
            assert failed_of(UV, algorithm, Claim(kind), ON_UV) == fails
    two = Model((U, V, W), [U * V, U * W], y=[1.0, 1.0])
    point = np.array([1.0, 1.0, 1.0])
    assert failing(two, Algorithm(0.3, "full", LabelNoise((0.0, 0.1))), point) == set()
    assert failing(two, Algorithm(0.3, "full", LabelNoise((0.0, 0.0))), point) == {"label noise"}


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_strength_that_overflows_is_no_strength():
    assert "label noise" in failing(UV, Algorithm(0.3, "full", LabelNoise(1e200)), ON_UV)
    assert "label noise" in failing(UV, Algorithm(0.3, "full", LabelNoise(1e-200)), ON_UV)


def test_rank():
    assert "rank of the Jacobian" not in failing(CROSS, SGD, np.array([0.0, 1.0]))
    assert "rank of the Jacobian" in failing(CROSS, SGD, np.zeros(2))
    assert "rank of the Jacobian" in failing(CROSS, SGD, np.array([0.0, 1.0]), np.zeros(2))  # one of the points visited
    # Two samples whose gradients are parallel at one point of Gamma only: u = 0 of f = (v, v + u^2 w).
    fold = Model((U, V, W), [V, V + U**2 * W], y=[1.0, 1.0])
    assert "rank of the Jacobian" in failing(fold, SGD, np.array([0.0, 1.0, 2.0]))
    assert "rank of the Jacobian" not in failing(fold, SGD, np.array([0.5, 1.0, 0.0]))
    # The same sample twice lowers the rank everywhere: that is no loss of rank.
    twice = Model((U, V), [U * V, U * V], y=[1.0, 1.0])
    assert failing(twice, SGD, ON_UV) == set()


def test_learning_rate():
    # h = 4.25: the limit is 2/4.25 = 0.470588...
    for lr, fails in ((0.4705, set()), (0.4706, {"learning rate", "second-moment limit"})):
        algorithm = Algorithm(lr, "full", LabelNoise(0.1))
        assert failing(UV, algorithm, ON_UV) == fails
        assert failed_of(UV, algorithm, Claim("covariance"), ON_UV) == fails
    # One point of the way is enough.
    between = Algorithm(0.6, "full", LabelNoise(0.1))
    assert failing(UV, between, np.array([1.0, 1.0])) == set()
    assert "learning rate" in failing(UV, between, np.array([1.0, 1.0]), ON_UV)


def test_second_moment_limit():
    """Orthogonal gradients, n = 2, h = 1/2: at B = 1, 1/(eta h) must be above 1/2 + 1/2: eta < 2, not eta < 4."""
    model = Model((U, V, W), [U + 0 * W, V], y=[1.0, 1.0])
    point = np.array([1.0, 1.0, 0.0])
    for lr, batch, fails in (
        (1.99, 1, set()),
        (2.01, 1, {"second-moment limit"}),
        (2.01, 2, set()),
        (3.9, "full", set()),
        (4.1, "full", {"learning rate", "second-moment limit"}),
    ):
        algorithm = Algorithm(lr, batch, LabelNoise(0.1))
        assert failing(model, algorithm, point) == fails
        # The paper's own theory is not applicable either: there is nothing to measure.
        for theory in ("derived", "paper"):
            assert failed_of(model, algorithm, Claim("covariance", theory), point) == fails
    # With h = 1/2 the radius is (1 - eta/2)^2 + eta^2/4 at B = 1: a rounding or two.
    radius = at(model, Algorithm(1.5, 1, LabelNoise(0.1)), point)["second-moment limit"].value
    assert radius == pytest.approx(0.25**2 + 1.5**2 / 4, rel=1e-12)


def test_equal_label_noise():
    two = Model((U, V, W), [U * V, U * W], y=[1.0, 1.0])
    point = np.array([1.2, 1 / 1.2, 1 / 1.2])
    for sigma, equal in (((0.1, 0.1), True), ((0.1, 0.2), False)):
        algorithm = Algorithm(0.3, "full", LabelNoise(sigma))
        for theory in ("paper", "small-lr"):
            assert failed_of(two, algorithm, Claim("drift", theory), point) == (
                set() if equal else {"equal label noise"}
            )
        assert failed_of(two, algorithm, Claim("drift"), point) == set()


def test_overparametrized():
    square = Model((U, V), [U * V, U + V], y=[1.0, 2.5])
    for kind in ("drift", "trajectory", "fixed-point"):
        assert failed_of(square, SGD, Claim(kind), ON_UV) == {"overparametrized"}
        assert failed_of(UV, SGD, Claim(kind), ON_UV) == set()
    assert failed_of(square, SGD, Claim("covariance"), ON_UV) == set()  # a fluctuation needs no dimension of Gamma


def test_kinks():
    model = Model((U, V), abs(U) + V, y=[1.0])
    assert "Lipschitz constant of hess f" in failing(model, SGD, np.array([0.0, 1.0]))
    for u in (0.5, -0.5):
        assert failing(model, SGD, np.array([u, 0.5])) == set()
    # A jump of the second derivative is no kink: abs(u) u has a Lipschitz gradient. Steep is not a kink either.
    for steep in (sp.tanh(30 * U) + V, sp.tanh(100 * U) * V, U**3 + V):
        y = float(steep.subs({U: 0, V: 1}))
        found = at(Model((U, V), steep, y=[y]), Algorithm(1e-5, "full", LabelNoise(0.1)), np.array([0.0, 1.0]))
        assert found["Lipschitz constant of hess f"].holds
    # |hess tanh(30 u)| at 0 is 0, its slope 2 * 30^3; the difference over 2e-4 sees most of it.
    steep = at(Model((U, V), sp.tanh(30 * U) + V, y=[1.0]), Algorithm(1e-3, 1, LabelNoise(0.1)), np.array([0.0, 1.0]))
    assert 0.5 * 54_000 < steep["Lipschitz constant of hess f"].value <= 54_000


def test_lipschitz_constants_that_are_not_finite():
    # The gradient of (u^2)^(1/2) v is not a number at u = 0.
    model = Model((U, V), (U**2) ** sp.Rational(3, 4) + V, y=[1.0])
    assert failed_of(model, SGD, Claim("drift"), np.array([0.0, 1.0])) == {"smoothness"}
    assert failed_of(model, SGD, Claim("drift"), np.array([0.5, 0.7])) == set()


def test_polyak_lojasiewicz():
    assert "Polyak-Lojasiewicz constant" in failing(CROSS, SGD, np.zeros(2))
    assert "Polyak-Lojasiewicz constant" not in failing(CROSS, SGD, np.array([0.0, 1.0]))
    found = at(UV, SGD, ON_UV, np.array([1.0, 1.0]))
    assert found["Polyak-Lojasiewicz constant"].value == pytest.approx(2.0)  # the least over the points: h at (1, 1)


def test_stability_of_the_stationary_point():
    for sign, fails in ((1, set()), (-1, {"stability of the stationary point"})):
        claim = Claim("fixed-point", "conjecture", regularizer=sign * (U - V) ** 2)
        assert failed_of(UV, SGD, claim, np.array([1.0, 1.0])) == fails


def test_a_failed_assumption_carries_the_reason():
    failed = failed_assumption(NotApplicable("learning rate", "lr*h_max=2.1 must be below 2"))
    assert failed == Assumption("learning rate", False, None, "lr*h_max=2.1 must be below 2")


def test_directions_of_a_model_of_one_parameter():
    """A point is all there is of Gamma; every check still has a value."""
    assert failing(Model((U,), U**2, y=[4.0]), Algorithm(0.05, 1, LabelNoise(0.1)), np.array([2.0])) == set()
