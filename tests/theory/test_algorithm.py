"""`Algorithm` and `LabelNoise`: every limit with its message, lambda, the minibatch weight and the update rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp
from flatmin.sims.form import Form
from flatmin.theory import Algorithm, GradientNoise, InvalidInput, LabelFlip, LabelNoise, Model
from flatmin.theory.linear import StepSymbols, is_linear, linear_rule
from flatmin.theory.losses import LOSSES, FlipLaw, make_loss
from flatmin.theory.rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, UpdateRule, WeightDecay

U, V = sp.symbols("u v", real=True)
THREE = Model((U, V), [U * V, U + V, U - V], y=[1.0, 2.0, 0.0])
NOISE = LabelNoise(0.1)


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"lr": 0.0}, "algorithm.lr", "=0.0 must be positive"),
        ({"lr": -0.1}, "algorithm.lr", "=-0.1 must be positive"),
        ({"lr": float("nan")}, "algorithm.lr", "=nan must be finite"),
        ({"lr": float("inf")}, "algorithm.lr", "=inf must be finite"),
        ({"lr": True}, "algorithm.lr", "=True must be a number"),
        ({"lr": "0.1"}, "algorithm.lr", "='0.1' must be a number"),
        ({"batch_size": 0}, "algorithm.batch_size", "=0 must be between 1 and 1000000"),
        ({"batch_size": 10**6 + 1}, "algorithm.batch_size", "must be between 1 and 1000000"),
        ({"batch_size": 2.0}, "algorithm.batch_size", "=2.0 must be a whole number or 'full'"),
        ({"batch_size": True}, "algorithm.batch_size", "=True must be a whole number"),
        ({"batch_size": None}, "algorithm.batch_size", "must be a whole number"),
        ({"batch_size": "all"}, "algorithm.batch_size", "='all' must be a whole number or 'full'"),
        ({"batch_size": np.array([1, 2])}, "algorithm.batch_size", "must be a whole number"),
        ({"sampling": "shuffled"}, "algorithm.sampling", "='shuffled' must be one of"),
        ({"momentum": -0.1}, "algorithm.momentum", "=-0.1 must be at least 0 and below 1"),
        ({"momentum": 1.0}, "algorithm.momentum", "=1.0 must be at least 0 and below 1"),
        ({"momentum": False}, "algorithm.momentum", "=False must be a number"),
        ({"momentum": 0.9, "rule": SGD()}, "algorithm.momentum", "=0.9 is given beside a rule; give either"),
        ({"rule": "adam"}, "algorithm.rule", "='adam' must be an UpdateRule"),
        ({"noise": 0.1}, "algorithm.noise", "=0.1 must be a LabelNoise"),
        ({"noise": None}, "algorithm.noise", "=None must be a LabelNoise"),
    ],
)
def test_limits_of_the_algorithm(changes, field, says):
    arguments = {"lr": 0.1, "batch_size": 2, "noise": NOISE}
    assert Algorithm(**arguments).momentum == 0
    with pytest.raises(InvalidInput) as error:
        Algorithm(**{**arguments, **changes})
    assert error.value.field == field
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("sigma", "field", "says"),
    [
        (-0.1, "algorithm.noise.sigma", "=-0.1 must not be negative"),
        ([0.1, -0.1], "algorithm.noise.sigma", "must not be negative"),
        (float("nan"), "algorithm.noise.sigma", "=nan must be finite"),
        ([0.1, float("inf")], "algorithm.noise.sigma[1]", "=inf must be finite"),
        (np.array([0.1, np.nan]), "algorithm.noise.sigma[1]", "=nan must be finite"),
        (True, "algorithm.noise.sigma", "=True must be a number"),
        ([0.1, True], "algorithm.noise.sigma[1]", "=True must be a number"),
        ("0.1", "algorithm.noise.sigma", "='0.1' must be a number"),
        (None, "algorithm.noise.sigma", "=None must be a number"),
        ([[0.1]], "algorithm.noise.sigma[0]", "must be a number"),
        (np.ones((2, 2)), "algorithm.noise.sigma", "has 2 dimensions; it must have 1"),
    ],
)
def test_limits_of_the_noise(sigma, field, says):
    with pytest.raises(InvalidInput) as error:
        LabelNoise(sigma)
    assert error.value.field == field
    assert says in str(error.value)


def test_accepted_values():
    assert LabelNoise(0).sigma == 0.0
    assert LabelNoise([1, 2]).sigma == LabelNoise((1.0, 2.0)).sigma == LabelNoise(np.array([1, 2])).sigma == (1.0, 2.0)
    assert LabelNoise(0.1, "gaussian").law == "gaussian"
    with pytest.raises(InvalidInput, match=r"algorithm\.noise\.law='cauchy' must be one of"):
        LabelNoise(0.1, "cauchy")  # type: ignore[arg-type]
    for size in (1, 10**6, np.int64(7)):
        algorithm = Algorithm(1, size, NOISE)
        assert algorithm.batch(THREE) == size
        assert type(algorithm.batch_size) is int
    assert isinstance(Algorithm(1, 1, NOISE).lr, float)
    assert Algorithm(0.1, "full", NOISE).batch(THREE) == 3


def test_fits_the_model_or_not():
    """B <= n without replacement; one sigma per sample or one for all."""
    for sampling, size, fits in (
        ("with-replacement", 4, True),
        ("without-replacement", 3, True),
        ("without-replacement", "full", True),
        ("without-replacement", 4, False),
    ):
        algorithm = Algorithm(0.1, size, NOISE, sampling)
        if fits:
            algorithm.check(THREE)
        else:
            with pytest.raises(InvalidInput, match=r"batch_size=4 must be at most n=3 .*; draw with replacement"):
                algorithm.check(THREE)
    Algorithm(0.1, 1, LabelNoise((0.1, 0.2, 0.3))).check(THREE)
    for sigma in ((0.1, 0.2), ()):
        with pytest.raises(InvalidInput, match=rf"sigma=.* has {len(sigma)} entries for 3 samples"):
            Algorithm(0.1, 1, LabelNoise(sigma)).check(THREE)


def test_strength():
    # eta sigma^2/B: 0.3 * 0.04/4; one product and one quotient, so a rounding or two.
    assert Algorithm(0.3, 4, LabelNoise(0.2)).strength(THREE) == pytest.approx(0.003, rel=1e-14)
    assert Algorithm(0.3, "full", LabelNoise(0.2)).strength(THREE) == pytest.approx(0.004, rel=1e-14)
    # One sigma per sample: their mean square, (1 + 4 + 4)/3 = 3.
    assert Algorithm(0.3, 3, LabelNoise((1, 2, 2))).strength(THREE) == pytest.approx(0.3, rel=1e-14)
    assert Algorithm(0.3, 4, LabelNoise(0)).strength(THREE) == 0.0
    np.testing.assert_array_equal(Algorithm(0.3, 4, LabelNoise(0.2)).sigmas(THREE), [0.2] * 3)


def test_equal_and_unequal_noise():
    for sigma, equal in ((0.1, True), ((0.1, 0.1, 0.1), True), ((0.1, 0.1, 0.2), False)):
        assert Algorithm(0.1, 1, LabelNoise(sigma)).homoscedastic(THREE) is equal


def test_minibatch_factor():
    def factor(size, sampling="with-replacement", model=THREE):
        return Algorithm(0.1, size, NOISE, sampling).minibatch_factor(model)

    assert factor(1) == factor(3) == factor(100) == 1.0
    assert factor("full") == factor("full", "without-replacement") == 0.0
    assert [factor(b, "without-replacement") for b in (1, 2, 3)] == [1.0, 0.5, 0.0]
    assert factor(5, model=Model((U, V), U * V, y=[1.0])) == 0.0  # one sample: every batch is the same


def test_update_rules_as_matrices():
    """M, G and the slow rate of each rule, by hand; sharpness-aware minimization has none."""
    step = StepSymbols(SGD(), [U, V])
    assert step.new == [t - step.lr * g for t, g in zip((U, V), step.total)]
    expected = {
        SGD(): ([[1]], [[0.1]], 0.1),
        HeavyBall(0.5): ([[1, 0.5], [0, 0.5]], [[0.1], [0.1]], 0.2),
        Nesterov(0.5): ([[1, 0.25], [0, 0.5]], [[0.15], [0.1]], 0.2),
        WeightDecay(2.0): ([[1]], [[0.1]], 0.1),
        Preconditioned((3.0,)): ([[1]], [[0.3]], 0.3),
    }
    for rule, (carried, gain, rate) in expected.items():
        found = linear_rule(rule, 1, 0.1)
        assert found is not None
        # Sums and products of a few numbers: some ulp.
        np.testing.assert_allclose(found.carried, carried, rtol=1e-14)
        np.testing.assert_allclose(found.gain, gain, rtol=1e-14)
        assert found.slow_rate == pytest.approx(rate, rel=1e-12)
    weight = linear_rule(WeightDecay(2.0), 2, 0.1)
    assert weight is not None
    np.testing.assert_allclose(weight.forcing(np.array([1.0, -3.0])), [-0.2, 0.6], rtol=1e-14)
    assert linear_rule(SharpnessAware(0.1), 2, 0.1) is None


class Steps(UpdateRule):
    """theta - scale lr theta^power lam^of_noise g: linear as x' = M x - G g only with both powers zero."""

    power, of_noise, scale = 0, 0, 1.0

    def update(self, theta, memory, gradient, c):
        factors = theta.applyfunc(lambda t: t**self.power * c.lam**self.of_noise)
        return theta - c.lr * self.scale * factors.multiply_elementwise(gradient(theta)), ()


@dataclass(frozen=True)
class Frozen(Steps):
    power: int = 0
    of_noise: int = 0


@dataclass
class Thawed(Steps):
    scale: float = 1.0


@dataclass(frozen=True)
class Anything(Steps):
    scale: object = 1.0


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Steps(), r"algorithm\.rule=Steps must be a frozen dataclass; write @dataclass\(frozen=True\) above"),
        (Thawed(), r"algorithm\.rule=Thawed must be a frozen dataclass"),
        (Anything([1.0, 2.0]), r"rule\.scale=\[1.0, 2.0\] must be a number or a tuple of numbers; write tuple"),
        (Anything(np.ones(2)), r"rule\.scale=array\(.*\) must be a number or a tuple of numbers; write tuple"),
        (Anything("fast"), r"rule\.scale='fast' must be a number"),
        (Anything((1.0, float("nan"))), r"rule\.scale\[1\]=nan must be finite"),
        (Preconditioned([1.0, 2.0]), r"rule\.diagonal=\[1.0, 2.0\] must be a number or a tuple"),
    ],
    ids=["no dataclass", "not frozen", "list", "array", "text", "nan", "of a built-in rule"],
)
def test_rules_that_are_refused(rule, says):
    with pytest.raises(InvalidInput, match=says):
        Algorithm(0.1, 1, NOISE, rule=rule)


def test_rules_that_do_not_fit_the_model():
    rule = Preconditioned((1.0, 2.0, 3.0))
    with pytest.raises(InvalidInput, match=r"rule\.diagonal=.* has 3 entries for 2 parameters; give one each"):
        Algorithm(0.1, 1, NOISE, rule=rule).check(THREE)
    with pytest.raises(InvalidInput, match=r"rule\.diagonal=\(1\.0, -2\.0\) must be positive"):
        Algorithm(0.1, 1, NOISE, rule=Preconditioned((1.0, -2.0))).check(THREE)


def test_one_decision_whether_a_rule_is_linear():
    """The kernels go by the same decision as the theory: a gain that moves with theta or lambda is not linear."""
    for rule, linear in (
        (SGD(), True),
        (HeavyBall(0.5), True),
        (WeightDecay(1.0), True),
        (SharpnessAware(0.1), False),
        (Frozen(), True),
        (Frozen(power=1), False),
        (Frozen(of_noise=1), False),
    ):
        assert is_linear(rule, 2) is (linear_rule(rule, 2, 0.1) is not None) is linear
        assert Form(rule).linear(2) is linear


def test_strength_with_momentum_flips_and_gradient_noise():
    labels = Model((U, V), [U * V, U + V, U - V], y=[1.0, -1.0, 1.0], loss="logistic")
    # eta sigma^2/(B (1-beta)); logistic: alpha = sigma^2, so eta/B; gradient noise: as given.
    assert Algorithm(0.3, 4, LabelNoise(0.2), momentum=0.5).strength(THREE) == pytest.approx(0.006, rel=1e-12)
    assert Algorithm(0.3, 6, LabelFlip(0.2)).strength(labels) == pytest.approx(0.05, rel=1e-12)
    assert Algorithm(0.3, 6, LabelFlip(0.2), momentum=0.5).strength(labels) == pytest.approx(0.1, rel=1e-12)
    assert Algorithm(0.3, 6, GradientNoise([[1, 0], [0, U]], 1e-3)).strength(THREE) == 1e-3


def test_noise_that_does_not_fit():
    labels = Model((U, V), [U * V, U + V, U - V], y=[1.0, -1.0, 1.0], loss="logistic")
    cases = (
        (LabelFlip(0.2), THREE, r"data\.y must hold labels -1 or 1 for label flips"),
        (LabelFlip(0.5), labels, r"flip=0\.5 must be above 0 and below 1/2"),
        (LabelNoise(0.2), labels, r'noise\.kind="label" is for the square loss'),
        (GradientNoise([[1]], 1e-3), THREE, r"covariance has shape \(1, 1\)"),
        (GradientNoise([[1, 0], [0, sp.Symbol("z")]], 1e-3), THREE, r"covariance uses undeclared names \['z'\]"),
    )
    for noise, model, says in cases:
        with pytest.raises(InvalidInput, match=says):
            Algorithm(0.1, "full", noise).check(model)
    with pytest.raises(InvalidInput, match="must hold labels -1 or 1 for the logistic loss"):
        Model((U,), U, y=[0.5], loss="logistic")
    with pytest.raises(InvalidInput, match=r"flip=1\.0 must be above 0 and below 1"):
        LabelFlip(1.0)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=str)
def test_known_slopes_are_what_sympy_finds(loss):
    assert loss.slope == sp.simplify(loss.expression.diff(loss.f))


@pytest.mark.parametrize("p", [0.1, 0.3])
def test_flip_laws(p):
    """c, alpha and sigma^2 of the paper, to rounding of logarithms and roots."""
    logistic, exponential = FlipLaw(LOSSES["logistic"], p), FlipLaw(LOSSES["exponential"], p)
    for found, expected in (
        (logistic.center, np.log((1 - p) / p)),
        (logistic.alpha, p * (1 - p)),
        (logistic.variance, p * (1 - p)),
        (exponential.center, 0.5 * np.log((1 - p) / p)),
        (exponential.alpha, 2 * np.sqrt(p * (1 - p))),
        (exponential.variance, 1.0),
    ):
        assert found == pytest.approx(expected, rel=1e-12)
    own = FlipLaw(make_loss(sp.exp(-sp.Symbol("m"))), p)
    assert (own.center, own.alpha) == pytest.approx((exponential.center, exponential.alpha), rel=1e-12)
