"""One step of the integrator: every weight by the order that it is for."""

from __future__ import annotations

import numpy as np
import pytest
from flatmin.theory import dormand_prince
from scipy.integrate import solve_ivp


def pendulum(theta):
    """Turns, damped a little: a third and a trigonometric nonlinearity."""
    return np.array([theta[1] - 0.1 * theta[0] ** 3, 0.2 * np.sin(theta[1]) - theta[0]])


def changed(table):
    """The table of weights with one of them larger by 10^-9, for each."""
    for row, weights in enumerate(table):
        for entry in np.flatnonzero(weights):
            yield [w * (1 + 1e-9 * ((k == row) & (np.arange(len(w)) == entry))) for k, w in enumerate(table)]


def defect(stages):
    """How far stages are from integrating powers of time up to their own, of their order in `ORDERS`."""
    nodes = np.array([0.0, *(weights.sum() for weights in stages)])
    return max(
        abs(weights @ nodes[: len(weights)] ** power - nodes[k] ** (power + 1) / (power + 1))
        for k, weights in enumerate(stages, 1)
        for power in range(1, ORDERS[k - 1])
    )


# Hairer, Norsett, Wanner, II.5: of each stage, of the result (the twelfth) and of the three for interpolation.
ORDERS = [1, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 8, 6, 6, 6]


def test_every_weight_of_a_stage_counts():
    right = dormand_prince._STAGES
    assert defect(right) < 1e-14  # rounding, of weights up to 43
    assert min(defect(wrong) for wrong in changed(right)) > 1e-13


def step_of_the_pendulum(h):
    """A step, its slopes, and its distance from the flow."""
    start = np.array([1.3, 0.4])
    exact = solve_ivp(lambda _, theta: pendulum(theta), (0, h), start, "DOP853", rtol=1e-13, atol=1e-15)
    ahead, slopes = dormand_prince.stages(pendulum, start, pendulum(start), h)
    return ahead, slopes, np.abs(ahead - exact.y[:, -1]).max()


def test_a_step_is_of_order_eight():
    """Also where velocities depend on where the flow is: 2^9, and what is of the next orders."""
    assert 2**8.5 < step_of_the_pendulum(0.6)[2] / step_of_the_pendulum(0.3)[2] < 2**9.5


@pytest.mark.parametrize(("name", "order"), [("_ERROR", 5), ("_ROUGH_ERROR", 3)])
def test_estimates_of_the_error_have_their_order(name, order):
    nodes = np.array([0.0, *(weights.sum() for weights in dormand_prince._STAGES[:11])])

    def seen(weights):
        return max(abs(weights @ nodes**power) for power in range(order))

    right = getattr(dormand_prince, name)
    assert seen(right) < 1e-14
    assert abs(right @ nodes**order) > 1e-4
    assert min(seen(wrong) for (wrong,) in changed([right])) > 1e-12


def test_the_error_is_allowed_in_each_coordinate():
    slopes = step_of_the_pendulum(0.1)[1]
    fine, rough = (weights @ slopes[:-1] for weights in (dormand_prince._ERROR, dormand_prince._ROUGH_ERROR))
    fine, rough = ((part[0] ** 2 / 4 + part[1] ** 2 / 9) / 2 for part in (fine, rough))
    told = dormand_prince.error_of(slopes, 0.1, np.array([2.0, 3.0]))
    assert told == pytest.approx(0.1 * fine / np.sqrt(fine + rough / 100), rel=1e-12)
    assert dormand_prince.error_of(np.zeros((13, 2)), 0.1, np.ones(2)) == 0.0


def test_every_weight_in_between_counts(monkeypatch):
    """Powers of time up to the sixth are integrated exactly, to each time within a step."""

    def seen():
        worst = 0.0
        for power in range(7):

            def velocity(theta, power=power):
                return np.array([1.0, (power + 1) * theta[0] ** power])

            ahead, slopes = dormand_prince.stages(velocity, np.zeros(2), velocity(np.zeros(2)), 1.0)
            at = dormand_prince.between(velocity, 0.0, np.zeros(2), 1.0, ahead, slopes)
            worst = max(worst, *(abs(at(t)[1] - t ** (power + 1)) for t in (0.0, 0.3, 0.6, 1.0)))
        return worst

    assert seen() < 2e-12  # rounding, of weights up to 528
    right = dormand_prince._WITHIN
    for wrong in changed(right):
        monkeypatch.setattr(dormand_prince, "_WITHIN", np.array(wrong))
        assert seen() > 1e-11
