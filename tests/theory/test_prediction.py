"""`predict`: value, scale, rivals and notes of every kind of claim; conjectures that restate a theory."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, Claim, LabelNoise, Model
from flatmin.theory.derived import Derived
from flatmin.theory.geometry import LocalGeometry, nearest_zero_loss_point
from flatmin.theory.prediction import SLOW_TIMES, Prediction, predict
from flatmin.theory.slow import Paper, SmallLearningRate

W, A, B, X = sp.symbols("w a b x", real=True)
U, V = sp.symbols("u v", real=True)
ETA, SIGMA, SIZE, N, LAM, BETA = sp.symbols("eta sigma B n lam beta")

UV = Model((U, V), U * V, y=[1.0])
TANH = Model((W, A, B), A * sp.tanh(W * X) + B * X, inputs=(X,), x=[[1.0], [3.0]], y=[1.0, 0.5])
FORK = Model((U, V, W), [U * V, U * W], y=[1.0, -0.5])
TANH_START = np.array([2.0, 1.3, -0.27])
FORK_START = np.array([1.3, 0.7, -0.4])
FULL = Algorithm(0.27, "full", LabelNoise(0.1))
ONE = Algorithm(0.27, 1, LabelNoise(0.1))
# Below the second-moment limit of the tanh model, which B = 1 is not, at eta h_max of 0.9.
SOME = Algorithm(0.15, 4, LabelNoise(0.1))


def rivals_of(prediction: Prediction) -> dict[str, float]:
    return {r.theory: r.distance for r in prediction.rivals}


def paper_regularizer(model: Model) -> sp.Expr:
    """-(1/(2 eta)) log det(1 - (eta/2) J J^T/n), with eta and n as symbols."""
    jacobian = sp.Matrix([[f.diff(p) for p in model.parameters] for f in model.sample_expressions])
    return -sp.log((sp.eye(model.n) - ETA / (2 * N) * jacobian * jacobian.T).det()) / (2 * ETA)


SHAPES = {"fixed-point": (3,), "drift": (3,), "covariance": (3, 3), "trajectory": (len(SLOW_TIMES), 3)}
# Kinds without settings of their own.
KINDS = tuple(SHAPES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("theory", ["derived", "paper", "small-lr"])
def test_shape_scale_and_rivals(kind, theory):
    prediction = predict(TANH, SOME, Claim(kind, theory), TANH_START)
    value, start = prediction.value, nearest_zero_loss_point(TANH, TANH_START)
    assert value.shape == SHAPES[kind]
    assert prediction.failed is None
    assert prediction.notes == ()
    np.testing.assert_array_equal(prediction.problem.start, start)
    assert prediction.problem.kind == kind
    assert prediction.problem.scales.minibatch
    expected = np.linalg.norm(value - start) if kind == "fixed-point" else np.linalg.norm(value)
    assert prediction.scale == pytest.approx(expected, rel=1e-14)
    rivals = rivals_of(prediction)
    assert set(rivals) == {"derived", "paper", "small-lr", "lambda x 2", "stays at start"} - {theory}
    for rival in prediction.rivals:
        assert rival.value.shape == value.shape
        smaller = min(prediction.scale, rival.scale)
        # The larger of two orthogonal parts.
        whole = np.linalg.norm(rival.value - value) / smaller
        assert whole / np.sqrt(2) * (1 - 1e-12) <= rival.distance <= whole * (1 + 1e-12)
        # The scale of a claim of its own, but where a zero or a fixed point that stays has none.
        if rival.theory != "stays at start":
            own = np.linalg.norm(rival.value - start) if kind == "fixed-point" else np.linalg.norm(rival.value)
            assert rival.scale == pytest.approx(own, rel=1e-12)
    # With B = 4 and eta h of order 1 the theories differ by percents of the motion, which is a small part of a path's
    # norm; a rival closer than 1e-9 is the same formula.
    apart = 1e-3 if kind != "trajectory" else 1e-5
    assert all(rivals[name] > apart for name in {"derived", "paper", "small-lr"} - {theory})
    # Slow time does not depend on lambda, so a fixed point cannot tell lambda; the others are linear in it.
    expected_twice = {"fixed-point": 0.0, "drift": 1.0, "covariance": 1.0}.get(kind)
    if expected_twice is not None:
        assert rivals["lambda x 2"] == pytest.approx(expected_twice, abs=1e-12)
    else:
        assert rivals["lambda x 2"] > 1e-3
    if kind != "trajectory":
        # Its own scale, that of the derived theory, is at most a few percent smaller than the claim's.
        assert 1.0 - 1e-12 <= rivals["stays at start"] < (1.0 + 1e-12 if kind != "covariance" else 1.1)
    assert (prediction.times is None) is (kind != "trajectory")


def test_the_values_are_those_of_the_theory():
    start = nearest_zero_loss_point(TANH, TANH_START)
    local = LocalGeometry.at(TANH, start)
    for name, theory in (("derived", Derived), ("paper", Paper), ("small-lr", SmallLearningRate)):
        for kind in ("drift", "covariance"):
            value = predict(TANH, SOME, Claim(kind, name), TANH_START).value
            np.testing.assert_array_equal(value, getattr(theory(TANH, SOME), kind)(local))
    trajectory = predict(TANH, FULL, Claim("trajectory"), TANH_START)
    # One unit of slow time eta lambda k, in steps: lambda = 0.27 * 0.01/2.
    np.testing.assert_allclose(trajectory.times, SLOW_TIMES / (0.27 * 0.00135), rtol=1e-14)
    assert trajectory.problem.horizon == 1.0
    # The first eighth of it is close to the drift: the velocity changes by some percent.
    velocity = Derived(TANH, FULL).velocity(local)
    np.testing.assert_allclose(trajectory.value[0] - start, velocity / 8, rtol=0.1, atol=1e-4)


def test_lambda_doubled():
    for kind in ("drift", "covariance"):
        prediction = predict(TANH, FULL, Claim(kind), TANH_START)
        twice = next(r for r in prediction.rivals if r.theory == "lambda x 2")
        np.testing.assert_array_equal(twice.value, 2 * prediction.value)
    louder = Algorithm(0.27, "full", LabelNoise(0.1 * np.sqrt(2)))
    path = predict(TANH, FULL, Claim("trajectory"), TANH_START)
    twice = next(r for r in path.rivals if r.theory == "lambda x 2")
    # After the same number of steps; sigma^2 doubled halves the steps per slow time. Integrator error 1e-9 of size 3.
    steps = predict(TANH, louder, Claim("trajectory"), TANH_START).times
    np.testing.assert_allclose(2 * steps, path.times, rtol=1e-12)
    np.testing.assert_allclose(twice.value[:4], path.value[1::2], rtol=0, atol=1e-7)


def test_the_fixed_points_of_the_specification():
    for theory, expected in (("derived", [1.2572, 1.6109, -0.3697]), ("small-lr", [1.4593, 1.4768, -0.3254])):
        value = predict(TANH, FULL, Claim("fixed-point", theory), TANH_START).value
        np.testing.assert_allclose(value, expected, rtol=0, atol=5.1e-5)  # four published decimals


def test_equal_formulas_are_no_rivals():
    """At full batch the paper's theory is the derived one: not a rival, under either name."""
    for kind in KINDS:
        assert set(rivals_of(predict(TANH, FULL, Claim(kind), TANH_START))) == {
            "small-lr",
            "lambda x 2",
            "stays at start",
        }
        assert "derived" not in rivals_of(predict(TANH, FULL, Claim(kind, "paper"), TANH_START))


def test_a_zero_drift_is_relative_to_the_natural_scale():
    prediction = predict(UV, FULL, Claim("drift"), np.array([1.0, 1.0]))
    # u = v = 1: S = lambda/(2 - 2 eta) n n^T, n = (1, 1)/sqrt(2): |D3L[S]| = 6 s/sqrt(2); see the normal offset of uv.
    lam = 0.27 * 0.01
    natural = 0.5 * 0.27 * 6 * lam / (2 - 2 * 0.27) / np.sqrt(2)
    assert prediction.scale == pytest.approx(natural, rel=1e-12)
    assert np.linalg.norm(prediction.value) <= 1e-12 * natural
    assert [n for n in prediction.notes if n.startswith("the prediction is zero")] == list(prediction.notes) != []
    assert rivals_of(prediction)["lambda x 2"] <= 1e-12
    elsewhere = predict(UV, FULL, Claim("drift"), np.array([1.3, 1 / 1.3]))
    assert elsewhere.notes == ()


def test_a_zero_covariance_is_a_conjecture_like_any_other():
    claim = Claim("covariance", "conjecture", covariance=sp.zeros(3, 3))
    prediction = predict(TANH, FULL, claim, TANH_START)
    local = LocalGeometry.at(TANH, prediction.problem.start)
    derived = Derived(TANH, FULL).covariance(local)
    np.testing.assert_array_equal(prediction.value, np.zeros((3, 3)))
    assert prediction.scale == pytest.approx(np.linalg.norm(derived), rel=1e-12)
    assert "the prediction is zero" in prediction.notes[0]
    assert rivals_of(prediction)["derived"] == pytest.approx(1.0, rel=1e-12)


def test_nothing_moves_without_curvature_of_the_predictions():
    linear = Model((U, V), U + 2 * V, y=[1.0])
    start = np.array([1.0, 0.0])
    assert predict(linear, FULL, Claim("drift"), start).failed.name == "nonzero prediction"
    assert predict(linear, FULL, Claim("covariance"), start).failed is None


def test_a_start_that_is_the_fixed_point():
    prediction = predict(UV, FULL, Claim("fixed-point"), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(prediction.value, [1.0, 1.0])
    assert prediction.scale == pytest.approx(np.sqrt(2))
    assert prediction.notes == ("the start is the prediction; the error is relative to its norm",)
    # Ten relaxation times, 1 - eta each, so that the ensemble can spread; the differences know the rate to 1e-7.
    assert prediction.problem.horizon == pytest.approx(10 * 0.73, rel=1e-6)
    assert prediction.problem.relaxation == pytest.approx(0.73, rel=1e-6)
    away = predict(UV, FULL, Claim("fixed-point"), np.array([1.2, 1 / 1.2]))
    assert away.scale == pytest.approx(np.hypot(0.2, 1 - 1 / 1.2), rel=1e-9)  # Newton steps end at 1e-11
    assert away.notes == ()
    assert away.problem.horizon >= away.problem.relaxation > 0


@pytest.mark.parametrize(("model", "start"), [(TANH, TANH_START), (FORK, FORK_START)])
@pytest.mark.parametrize("kind", ["drift", "trajectory", "fixed-point"])
def test_a_conjecture_with_the_papers_own_regularizer_is_the_paper(model, start, kind):
    claim = Claim(kind, "conjecture", regularizer=paper_regularizer(model))
    ours, paper = predict(model, FULL, claim, start), predict(model, FULL, Claim(kind, "paper"), start)
    # 1e-10 of the scale of the statistic. Along a path the integrator, at 1e-9 relative, amplifies roundings.
    tolerance = 1e-10 if kind != "trajectory" else 1e-8
    assert np.linalg.norm(ours.value - paper.value) <= tolerance * paper.scale
    wrong = Claim(kind, "conjecture", regularizer=paper_regularizer(model) * (1 + model.parameters[0] ** 2 / 10))
    assert np.linalg.norm(predict(model, FULL, wrong, start).value - paper.value) > 1e-3 * paper.scale


def test_names_of_a_conjecture():
    """eta, sigma, B, beta, n and lam have the algorithm's values, and parameters are known by name."""
    algorithm = Algorithm(0.25, 3, LabelNoise(0.2))
    u = sp.Symbol("u")  # another symbol than the model's, of the same name
    start = np.array([1.3, 1 / 1.3])

    def one(entry: sp.Expr, size: Algorithm = algorithm) -> float:
        matrix = sp.Matrix([[entry, 0], [0, 1]])
        return float(predict(UV, size, Claim("covariance", "conjecture", covariance=matrix), start).value[0, 0])

    # Each a single product or quotient of few numbers.
    for entry, expected in (
        (ETA, 0.25),
        (SIGMA, 0.2),
        (SIZE, 3.0),
        (BETA, 0.0),
        (N, 1.0),
        (LAM, 0.25 * 0.04 / 3),
        (ETA * SIGMA**2 / SIZE - LAM, 0.0),
        (LAM * u**2 / (2 - ETA * N), 0.25 * 0.04 / 3 * 1.69 / 1.75),
        (U, 1.3),
    ):
        assert one(entry) == pytest.approx(expected, rel=1e-12, abs=1e-17)
    assert one(SIZE, Algorithm(0.25, "full", LabelNoise(0.2))) == 1.0
    # One sigma per sample: the root mean square, here sqrt((0.01 + 0.09)/2).
    unequal = Algorithm(0.25, "full", LabelNoise((0.1, 0.3)))
    matrix = sp.diag(SIGMA, LAM, 1)
    value = predict(FORK, unequal, Claim("covariance", "conjecture", covariance=matrix), FORK_START).value
    np.testing.assert_allclose(np.diag(value), [np.sqrt(0.05), 0.25 * 0.05 / 2, 1.0], rtol=1e-13)


def test_the_strength_of_a_conjecture():
    regularizer = (U - 2 * V) ** 2
    start = np.array([1.3, 1 / 1.3])

    def drift(strength: sp.Expr | None, algorithm: Algorithm = ONE) -> np.ndarray:
        claim = Claim("drift", "conjecture", regularizer=regularizer, strength=strength)
        return predict(UV, algorithm, claim, start).value

    own = drift(None)
    np.testing.assert_allclose(drift(ETA * SIGMA**2 / SIZE), own, rtol=1e-13)  # the default, written out
    np.testing.assert_allclose(drift(3 * ETA * SIGMA**2 / SIZE), 3 * own, rtol=1e-13)
    np.testing.assert_allclose(drift(sp.Float(0.01)), own * 0.01 / (0.27 * 0.01), rtol=1e-13)
    # By hand: -eta lambda P grad R with the tangent (u, -v)/sqrt(h).
    u, v = start
    tangent = np.array([u, -v]) / np.hypot(u, v)
    gradient = np.array([2 * (u - 2 * v), -4 * (u - 2 * v)])
    np.testing.assert_allclose(own, -0.27 * 0.27 * 0.01 * (gradient @ tangent) * tangent, rtol=1e-12)


def test_a_conjectured_regularizer_with_abs_of_a_symbol_without_assumptions():
    u, v = sp.symbols("u v")
    start = np.array([1.3, 1 / 1.3])
    ours, plain = (
        predict(UV, ONE, Claim("drift", "conjecture", regularizer=r), start).value for r in (abs(u) + abs(v), U + V)
    )
    np.testing.assert_array_equal(ours, plain)


def test_a_conjectured_covariance_predicts_the_drift_too():
    local = LocalGeometry.at(UV, np.array([1.3, 1 / 1.3]))
    s = sp.Matrix(2, 2, [V**2, U * V, U * V, U**2]) * LAM / ((2 - ETA * (U**2 + V**2)) * (U**2 + V**2))
    claim = {kind: Claim(kind, "conjecture", covariance=s) for kind in ("drift", "covariance")}
    for kind, c in claim.items():  # the paper's S of uv, written out: rounding
        value = predict(UV, FULL, c, local.theta).value
        np.testing.assert_allclose(value, getattr(Paper(UV, FULL), kind)(local), rtol=1e-12, atol=1e-18)


def test_a_conjecture_that_is_not_finite():
    for regularizer, start, fails in ((sp.log(U - V), [1.3, 1 / 1.3], False), (sp.log(U - V), [1.0, 1.0], True)):
        claim = Claim("drift", "conjecture", regularizer=regularizer)
        failed = predict(UV, FULL, claim, np.array(start)).failed
        assert (failed is not None and failed.name == "conjecture") is fails


@pytest.mark.parametrize("kind", KINDS)
def test_not_applicable_is_recorded_not_raised(kind):
    cases = {
        "learning rate": (UV, Algorithm(0.6, "full", LabelNoise(0.1)), [2.0, 0.5]),
        "label noise": (UV, Algorithm(0.1, "full", LabelNoise(0.0)), [2.0, 0.5]),
        "interpolation": (Model((U, V), U**2, y=[-1.0]), FULL, [1.0, 0.5]),
        "rank of the Jacobian": (Model((U, V), U * V, y=[0.0]), FULL, [0.0, 0.0]),
    }
    for name, (model, algorithm, start) in cases.items():
        prediction = predict(model, algorithm, Claim(kind), np.array(start))
        assert prediction.value is None
        assert np.isnan(prediction.scale)
        assert prediction.rivals == ()
        assert name in {a.name for a in prediction.assumptions if not a.holds}


def test_the_flow_itself_may_fail():
    """No rest from (0, 1) on uv = 0; a trajectory of one unit of slow time stays clear of the singular point."""
    cross, start = Model((U, V), U * V, y=[0.0]), np.array([0.0, 1.0])
    assert predict(cross, FULL, Claim("fixed-point"), start).failed.name == "rank of the Jacobian"
    assert predict(cross, FULL, Claim("trajectory"), start).failed is None
    runaway = Claim("trajectory", "conjecture", regularizer=-((U - V) ** 4))
    prediction = predict(UV, FULL, runaway, np.array([1.25, 0.8]))
    assert (prediction.value, prediction.failed.name) == (None, "stationary point")
    assert "infinity" in prediction.failed.rule


def test_a_rival_that_is_not_applicable_says_why():
    """R = -(u - v)^8 leaves finitely in one unit of slow time, and not at double speed."""
    claim = Claim("trajectory", "conjecture", regularizer=-((U - V) ** 8))
    prediction = predict(UV, FULL, claim, np.array([1.25, 0.8]))
    assert prediction.failed is None
    (twice,) = (r for r in prediction.rivals if r.theory == "lambda x 2")
    assert twice.value is None
    assert np.isnan(twice.distance)
    assert "infinity" in twice.reason


def test_one_sigma_per_sample():
    equal, unequal = (Algorithm(0.3, "full", LabelNoise(s)) for s in ((0.1, 0.1), (0.1, 0.2)))
    for kind in KINDS:
        names = set(rivals_of(predict(FORK, unequal, Claim(kind), FORK_START)))
        assert names == {"lambda x 2", "stays at start"}  # the paper has one sigma for all
        assert "small-lr" in rivals_of(predict(FORK, equal, Claim(kind), FORK_START))
    assert predict(FORK, unequal, Claim("drift", "paper"), FORK_START).failed.name == "equal label noise"
    # S by hand at full batch: S = A S A + (eta^2/n) C on range(H), C = (1/n) sum sigma_i^2 g_i g_i^T, as a series.
    value = predict(FORK, unequal, Claim("covariance"), FORK_START)
    local = LocalGeometry.at(FORK, value.problem.start)
    a = np.eye(3) - 0.3 * local.hessian
    fresh = 0.3**2 / 2 * (local.jacobian.T * np.array([0.01, 0.04])) @ local.jacobian / 2
    s, term = np.zeros((3, 3)), fresh
    for _ in range(400):  # the slowest factor is (1 - 0.3 h_min)^2 < 0.9
        s, term = s + term, a @ term @ a
    np.testing.assert_allclose(value.value, s, rtol=1e-10, atol=1e-15)
