"""Numbers and words of pages: digits that an error deserves, Greek letters, and nothing lost."""

from __future__ import annotations

import pytest
from flatmin.sims.document import claim_entry
from flatmin.sims.plots.style import bounds
from flatmin.sims.report.words import figure_of, greek, number, sentence, with_error
from made_results import HOSTILE, claim


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1.25734, 5e-5, "1.25734 ± 0.00005"),
        (1.25734, 1.2e-4, "1.25734 ± 0.00012"),
        (-1.4834e-5, 3e-11, "(−1.483400 ± 0.000003) × 10⁻⁵"),
        (123456.0, 7000.0, "(1.23 ± 0.07) × 10⁵"),
        (0.0, 2e-3, "0.000 ± 0.002"),
        (12.0, 30.0, "12 ± 30"),
        (1.0, 0.0, "1"),
        (float("nan"), 1.0, "– ± 1"),
        (1.0000003522, 9.5e-10, "1.0000003522 ± 9.5 × 10⁻¹⁰"),
    ],
)
def test_errors_decide_the_digits(value, error, shown):
    assert with_error(value, error) == shown


def test_numbers():
    assert [number(v) for v in (1.5, -2e-7, 3e9, 0.0, None, float("inf"))] == [
        "1.5",
        "−2 × 10⁻⁷",
        "3 × 10⁹",
        "0",
        "–",
        "–",
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("-eta lambda P grad R", "−η λ P ∇R"),
        ("R = -(1/(2 eta)) tr log(1 - (eta/2) hess L)", "R = −(1/(2 η)) tr log(1 − (η/2) ∇²L)"),
        ("lambda x 2", "λ × 2"),
        ("sigma^2 and |grad L|^2 >= 2 mu L", "σ² and |∇L|² ≥ 2 μ L"),
        ("small-lr, non-degenerate, beta_1, theta", "small-lr, non-degenerate, beta_1, θ"),
    ],
)
def test_greek(written, shown):
    assert greek(written) == shown


def test_every_kind_has_a_sentence():
    assert sentence(claim_entry(claim("drift", [1.0]))).startswith("At the start, the mean moves along")
    assert sentence(claim_entry(claim("new-kind", [1.0], theory=""))) == "The new-kind is as predicted."
    assert HOSTILE in sentence(claim_entry(claim("drift", [1.0], theory=HOSTILE)))


def test_what_the_first_table_shows():
    assert [row[0] for row in figure_of(claim_entry(claim("drift", [1.0, 2.0])))] == ["u", "v"]
    assert [row[0] for row in figure_of(claim_entry(claim("covariance", [[2.0, 1.0], [1.0, 3.0]])))] == [
        "u, u", "u, v", "v, v",
    ]  # fmt: skip
    path = claim("trajectory", [[1.0, 2.0], [3.0, 4.0]], times=[10, 20])
    assert [row[:2] for row in figure_of(claim_entry(path))] == [("u at step 20", "3"), ("v at step 20", "4")]
    (row,) = figure_of(claim_entry(claim("drift", [3.0, 4.0, 0.0, 0.0, 0.0])))
    assert row[:2] == ("norm", "5")


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.411, 0.413), "+41.1 to +41.3 %"),
        ((-2e-5, 2e-5), "−0.0020 to +0.0020 %"),
        ((-0.98922, -0.98921), "−98.922 to −98.921 %"),
        ((0.1, 0.5), "+10 to +50 %"),
        (None, "–"),
    ],
)
def test_bounds_are_told_apart(interval, shown):
    assert bounds(claim_entry(claim("drift", [1.0], interval=interval))) == shown
