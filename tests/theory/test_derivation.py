"""The symbolic derivation against hand-made results, numeric linear algebra and its own limits."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelFlip, LabelNoise, Model, NotApplicable
from flatmin.theory.conserved import expressed_in
from flatmin.theory.derivation import derive
from flatmin.theory.reduction import find_chart
from flatmin.theory.symbolic import SymbolicProblem
from flatmin.theory.timelimit import Budget
from hypothesis import given, settings
from hypothesis import strategies as st

u, v, w, a, b, x = sp.symbols("u v w a b x", real=True)
NOISE = LabelNoise(0.1)


def written_out(model: Model) -> tuple[SymbolicProblem, dict]:
    problem = SymbolicProblem(model)
    return problem, problem.written_out(Budget(30.0))


@pytest.fixture(scope="module")
def derivation():
    return derive(Model((u, v), u * v, y=[1.0]), Algorithm(0.5, 1, NOISE))


class TestProductOfTwo:
    """f = uv, y = 1: everything is known by hand."""

    def test_loss_hessian_and_regularizer(self, derivation):
        d, eta = derivation, derivation.symbols.eta
        assert sp.expand(d.loss - (u * v - 1) ** 2 / 2) == 0
        assert d.gauss_newton == sp.Matrix([[v**2, u * v], [u * v, u**2]])
        assert d.elementary == (u**2 + v**2,)
        assert d.strength == eta * d.symbols.sigma**2
        assert sp.simplify(d.regularizer + sp.log(1 - eta * (u**2 + v**2) / 2) / (2 * eta)) == 0
        assert [sp.simplify(g - p / (2 - eta * (u**2 + v**2))) for g, p in zip(d.regularizer_gradient, (u, v))] == [
            0,
            0,
        ]

    def test_stationary_conditions_hold_the_symbolic_lambda(self, derivation):
        eta, lam = derivation.symbols.eta, derivation.symbols.lam
        wanted = (u * v - 1) * v + lam * u / (2 - eta * (u**2 + v**2))
        assert sp.simplify(derivation.stationarity[0].lhs - wanted) == 0

    def test_stationary_points_and_their_domain(self, derivation):
        assert [s.point for s in derivation.solutions] == [(1, 1), (-1, -1)]
        for solution in derivation.solutions:
            assert (solution.trace, solution.domain, solution.checked) == (2, "eta < 1", "exactly")
            assert solution.root.certified
            assert solution.root.stable

    def test_conserved_quantity_and_its_slow_equation(self, derivation):
        (conserved,) = derivation.conserved
        s = derivation.symbols
        assert conserved.expression == u**2 - v**2
        wanted = -2 * s.eta**2 * s.sigma**2 * conserved.symbol / (2 - s.eta * s.trace)
        assert sp.simplify(conserved.rate - wanted) == 0

    def test_reduced_problem(self, derivation):
        r, eta, lam = derivation.reduction, derivation.symbols.eta, derivation.symbols.lam
        assert r.chart == {v: 1 / u}
        assert r.metric == sp.Matrix([[1 + u**-4]])
        wanted = -eta * lam * (u - u**-3) / (2 - eta * (u**2 + u**-2)) / (1 + u**-4)
        assert sp.simplify(r.flow[0] - wanted) == 0

    def test_outside_its_domain_a_solution_has_no_certificate(self):
        d = derive(Model((u, v), u * v, y=[1.0]), Algorithm(1.2, 1, NOISE))
        assert [s.root for s in d.solutions] == [None, None]
        assert "not at eta = 1.2" in d.solutions[0].domain
        assert d.roots == ()


def slow_rate_by_numbers(model: Model, algorithm: Algorithm, form: sp.Expr, theta: np.ndarray) -> float:
    """-eta lambda grad q . P grad R from numeric derivatives of the model: a route without symbols for R."""
    first, second = model.samples.jacobian(theta), model.samples.hessians(theta)
    inverse = np.linalg.inv(2 * np.eye(model.d) - algorithm.lr * first.T @ first / model.n)
    gradient = np.einsum("ikm,im->k", second, first @ inverse) / model.n
    tangent = np.eye(model.d) - np.linalg.pinv(first) @ first
    slope = np.array([float(form.diff(p).subs(dict(zip(model.parameters, theta)))) for p in model.parameters])
    return -algorithm.lr * algorithm.strength(model) * float(slope @ tangent @ gradient)


@pytest.mark.parametrize(
    ("model", "point"),
    [
        (Model((u, v, w), [u * v, u * w], y=[1.0, -0.5]), {u: sp.Rational(7, 5)}),
        (Model((u, v, w), u * v * w, y=[1.0]), {u: sp.Rational(6, 5), v: sp.Rational(-4, 5)}),
    ],
    ids=["two samples", "three factors"],
)
def test_slow_equations_agree_with_numeric_linear_algebra(model, point):
    algorithm = Algorithm(0.3, 1, NOISE)
    d = derive(model, algorithm)
    theta = {p: point.get(p, d.reduction.chart.get(p, p)) for p in d.parameters}
    theta = {p: sp.sympify(e).subs(point) for p, e in theta.items()}
    numbers = np.array([float(theta[p]) for p in d.parameters])
    values = {c.symbol: c.expression.subs(theta) for c in d.conserved}
    values |= {s: e.subs(theta) for s, e in zip(d.symbols.elementary, d.elementary)}
    values |= {d.symbols.eta: 0.3, d.symbols.sigma: 0.1, **theta}
    assert d.conserved
    for c in d.conserved:
        expected = slow_rate_by_numbers(model, algorithm, c.expression, numbers)
        # Both are a few dozen operations in double precision.
        assert float(c.rate.subs(values)) == pytest.approx(expected, rel=1e-10)


def test_a_cubic_is_left_unsolved_and_its_roots_are_certified():
    d = derive(Model((u, v, w), [u * v, u * w], y=[1.0, -0.5]), Algorithm(0.5, 1, NOISE))
    assert d.solutions == ()
    (equation,) = d.unsolved
    assert len(d.roots) == 2
    for root in d.roots:
        assert root.certified
        assert root.stable
        assert abs(float(equation.subs({u: root.theta[0], d.symbols.eta: 0.5}))) < 1e-12
    (conserved,) = d.conserved
    assert conserved.expression == u**2 - v**2 - w**2
    assert not conserved.rate.free_symbols & set(d.parameters)


def test_a_family_of_minima_is_described_as_one():
    p = sp.Symbol("p", real=True)
    d = derive(Model((u, v, w, p), u * v + w * p, y=[1.0]), Algorithm(0.5, 1, NOISE))
    assert all("family" in s.domain and s.root is None for s in d.solutions)
    assert {sp.simplify(s.trace) for s in d.solutions} == {2}
    assert len(d.conserved) == 4
    assert all("not isolated" in r.reason and not r.certified for r in d.roots)


coefficient = st.integers(-30, 30).map(lambda k: k / 10)


@settings(max_examples=8, deadline=None)
@given(st.lists(coefficient, min_size=6, max_size=6), st.lists(coefficient, min_size=3, max_size=3))
def test_regularizer_and_its_gradient_on_the_zero_loss_set(c, theta):
    f = [c[0] * u * v + sp.sin(w) + u, c[1] * u * w**2 + c[2] * v + c[3] * w, c[4] * u + c[5] * sp.exp(v / 4)][:2]
    theta = np.array(theta)
    y = [float(e.subs(dict(zip((u, v, w), theta)))) for e in f]
    model = Model((u, v, w), f, y=y)
    hessian = model.hessian(theta)  # with its residual part, which vanishes here
    largest = float(np.linalg.eigvalsh(hessian)[-1])
    eta = 1.0 / max(largest, 1e-3)
    problem, parts = written_out(model)
    at = {**dict(zip(problem.parameters, theta)), problem.symbols.eta: eta}
    spectrum = np.linalg.eigvalsh(hessian)
    direct = -np.sum(np.log(1 - eta / 2 * spectrum)) / (2 * eta)
    scale = max(abs(direct), largest)
    assert abs(float(parts["regularizer"].subs(at)) - direct) <= 1e-12 * scale + 1e-15
    gradient = 0.5 * model.third_on(theta, np.linalg.inv(2 * np.eye(3) - eta * hessian))
    symbolic = np.array([float(g.subs(at)) for g in parts["regularizer_gradient"]])
    # (1/2) D3L[S] has a part along range(H) from the residual; along Gamma the two agree.
    tangent = np.eye(3) - np.linalg.pinv(model.samples.jacobian(theta), rcond=1e-9) @ model.samples.jacobian(theta)
    assert np.max(np.abs(tangent @ (gradient - symbolic))) <= 1e-10 * (1 + np.max(np.abs(gradient)))


def test_series_is_the_expansion_of_the_regularizer():
    problem, parts = written_out(Model((u, v, w), [u * v, u * w + sp.sin(v)], y=[1.0, -0.5]))
    at = {u: sp.Rational(6, 5), v: sp.Rational(-1, 3), w: sp.Rational(3, 4)}
    eta = sp.Rational(1, 10**6)
    exact = sp.N(parts["regularizer"].subs(at).subs(problem.symbols.eta, eta), 60)
    partial, errors = sp.Integer(0), []
    for k, term in enumerate(parts["series"]):
        partial += eta**k * sp.N(term.subs(at), 60)
        errors.append(float(abs(exact - partial) / eta ** (k + 1)))
    # Each remainder is the next coefficient, of order h^(k+2), and no more.
    assert all(1e-4 < e < 1e2 for e in errors)
    assert errors[0] == pytest.approx(float(sp.N(parts["series"][1].subs(at))), rel=1e-4)
    assert errors[1] == pytest.approx(float(sp.N(parts["series"][2].subs(at))), rel=1e-4)


def test_samples_more_than_parameters_use_the_hessian():
    _, parts = written_out(Model((u, v), [u * v, 2 * u * v, u * v / 2], y=[1.0, 2.0, 0.5]))
    assert parts["gram"].shape == (2, 2)
    assert len(parts["elementary"]) == 1  # rank one


def test_parameters_may_be_called_like_the_constants():
    eta, q = sp.symbols("eta q")
    d = derive(Model((eta, q), eta * q, y=[1.0]), Algorithm(0.3, 1, NOISE))
    assert d.symbols.eta.name == "eta_"
    (c,) = d.conserved
    wanted = -2 * d.symbols.eta**2 * d.symbols.sigma**2 * c.symbol / (2 - d.symbols.eta * d.symbols.trace)
    assert sp.simplify(c.rate - wanted) == 0


def test_unequal_noise_and_small_batches_are_remarked():
    model = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])
    d = derive(model, Algorithm(0.3, 1, LabelNoise((0.1, 0.2))))
    assert not d.homoscedastic
    assert any("mean of sigma_i^2" in n for n in d.notes)
    assert any("finite batch" in n for n in d.notes)
    assert not any("finite batch" in n for n in derive(model, Algorithm(0.3, "full", NOISE)).notes)


def test_other_losses_are_not_applicable():
    logistic = Model((u, v), u * v, y=[1.0], loss="logistic")
    for algorithm in (Algorithm(0.3, 1, LabelFlip(0.2)), Algorithm(0.3, 1, LabelNoise(0.0))):
        with pytest.raises(NotApplicable):
            derive(logistic, algorithm)
    with pytest.raises(NotApplicable):
        derive(Model((u, v), u * v, y=[1.0]), Algorithm(0.3, 1, NOISE, momentum=0.5))


def test_large_models_are_stated_as_sums_and_quickly():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(10_000, 15))
    us, vs, xs = sp.symbols("u0:15", real=True), sp.symbols("v0:15", real=True), sp.symbols("x0:15", real=True)
    f = sum(p * q * c for p, q, c in zip(us, vs, xs))
    began = time.monotonic()
    d = derive(Model(us + vs, f, inputs=xs, x=data, y=data.sum(axis=1)), Algorithm(0.01, 10, NOISE))
    assert time.monotonic() - began < 20
    assert d.loss.has(sp.Sum)
    assert len(d.sample_gradient) == 30
    assert d.determinant is None
    assert any("10000 samples" in n for n in d.notes)


def test_without_the_main_thread_nothing_unlimited_runs():
    found = []
    model, algorithm = Model((u, v), u * v, y=[1.0]), Algorithm(0.5, 1, NOISE)
    thread = threading.Thread(target=lambda: found.append(derive(model, algorithm)))
    thread.start()
    thread.join()
    assert any("main thread" in n for n in found[0].notes)


def test_a_step_out_of_time_is_noted_and_the_next_one_runs():
    budget = Budget(5.0)
    assert budget.attempt("sleep", 0.1, time.sleep, 3.0) is None
    assert budget.attempt("sum", 1.0, sum, [1, 2]) == 3
    assert budget.skipped == ["sleep: not finished in the time for it"]


def test_chart_solves_what_is_affine_and_refuses_the_rest():
    chart, pivots = find_chart([a * sp.tanh(w) + b - 1, a * sp.tanh(3 * w) + 3 * b - sp.Rational(1, 2)], (w, a, b))
    assert set(chart) == {a, b}
    for e in (a * sp.tanh(w) + b - 1, a * sp.tanh(3 * w) + 3 * b - sp.Rational(1, 2)):
        assert sp.simplify(e.subs(chart)) == 0
    assert pivots
    assert find_chart([sp.sin(u) + sp.exp(v)], (u, v)) is None


def test_expressed_in_generators():
    q, h = sp.symbols("q h")
    named = {q: u**2 - v**2, h: u**2 + v**2}
    assert sp.expand(expressed_in(u**4 - v**4, named, (u, v)) - q * h) == 0
    assert expressed_in(u**3, named, (u, v)) is None
    assert expressed_in(sp.Integer(0), named, (u, v)) == 0


class TestNumericSearch:
    def test_what_was_not_searched_says_why(self):
        inputs = np.linspace(0.1, 2.0, 300)[:, None]
        model = Model((u, v), u * v * x, inputs=(x,), x=inputs, y=inputs[:, 0])
        d = derive(model, Algorithm(0.1, 5, NOISE))
        assert d.roots == ()
        assert d.not_searched == "n + d = 302 is more than 40 (n=300, d=2)"
        assert "300 samples" in d.no_closed_form

    def test_too_much_work_says_why(self):
        us, vs, xs = (sp.symbols(f"{name}0:15", real=True) for name in "uvx")
        data = np.random.default_rng(1).normal(size=(5, 15))
        f = sum(p * q * c for p, q, c in zip(us, vs, xs))
        d = derive(Model(us + vs, f, inputs=xs, x=data, y=data.sum(axis=1)), Algorithm(0.01, 3, NOISE))
        assert "more than 25000 (n=5, d=30)" in d.not_searched
        assert "order min(n, d) = 5" in d.no_closed_form

    def test_a_finished_search_has_no_reason(self, derivation):
        assert (derivation.not_searched, derivation.no_closed_form) == ("", "")
