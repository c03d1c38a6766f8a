"""Where the slow flow of each theory ends, as the derivation states it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, LabelNoise, Model
from flatmin.theory.averaging import UpdateMap, average
from flatmin.theory.derivation import derive
from flatmin.theory.flow import SlowFlow
from flatmin.theory.reached import reached

u, v, w = sp.symbols("u v w", real=True)
NOISE = LabelNoise(0.1)


@pytest.fixture(scope="module")
def derivation():
    return derive(Model((u, v), u * v, y=[1.0]), Algorithm(0.5, 1, NOISE))


class TestSlowFlowFromTheStart:
    rank_one = Model((u, v, w), [u * v, u * w], y=[1.0, -0.5])
    start = (2.0, 0.5, -0.25)

    def test_without_a_start_there_is_none(self, derivation):
        assert derivation.reached is None

    def test_a_finite_batch_ends_elsewhere_than_the_paper(self):
        algorithm = Algorithm(0.3, 1, NOISE)
        d = derive(self.rank_one, algorithm, self.start)
        own, paper, small = d.reached.ends
        assert [e.theory for e in d.reached.ends] == ["derived", "paper", "small-lr"]
        assert all(e.point.stability == "stable" for e in d.reached.ends)
        assert (own.root, own.certified, small.root) == ("", False, "")
        assert (paper.root, paper.certified) == ("numeric point 1", True)
        assert np.max(np.abs(paper.point.theta - d.roots[0].theta)) < 1e-8
        # On Gamma tr H = (2 u^2 + |y|^2/u^2)/2, least at u^4 = |y|^2/2.
        assert small.point.theta[0] == pytest.approx((1.25 / 2) ** 0.25, rel=1e-9)
        assert d.reached.distance == pytest.approx(np.linalg.norm(own.point.theta - paper.point.theta), rel=1e-12)
        assert 1e-3 < d.reached.distance < 1e-2
        averaged = average(UpdateMap(self.rank_one, algorithm), own.point.theta)  # shares no formula with Derived
        elsewhere = average(UpdateMap(self.rank_one, algorithm), paper.point.theta)
        assert np.linalg.norm(averaged.drift) < 1e-6 * np.linalg.norm(elsewhere.drift)

    def test_the_full_batch_ends_where_the_paper_says(self):
        d = derive(self.rank_one, Algorithm(0.3, "full", NOISE), self.start)
        own, paper, _ = d.reached.ends
        assert own.certified
        assert paper.certified
        assert own.root == paper.root == "numeric point 1"
        assert d.reached.distance is None

    def test_another_regularizer_is_not_certified_by_this_one(self):
        d = derive(Model((u, v), u * v, y=[1.0]), Algorithm(0.2, 1, NOISE), (2.0, 0.5))
        assert [(e.root, e.certified) for e in d.reached.ends] == [
            ("closed form 1", True),
            ("closed form 1", True),
            ("closed form 1", False),
        ]

    def test_unequal_sigma_leaves_only_the_derived_theory(self):
        d = derive(self.rank_one, Algorithm(0.3, 1, LabelNoise((0.1, 0.2))), self.start)
        own, *others = d.reached.ends
        assert own.point.stability == "stable"
        assert all(e.point is None and "equal sigma" in e.reason for e in others)
        assert d.reached.distance is None

    @pytest.mark.parametrize(
        ("model", "algorithm", "start", "reason"),
        [
            (Model((u,), sp.exp(u), y=[-1.0]), Algorithm(0.2, 1, NOISE), (0.5,), "interpolation: "),
            (Model((u, v), u * v, y=[1.0]), Algorithm(0.2, 1, LabelNoise(0.0)), (2.0, 0.5), "label noise: "),
            (Model((u, v), u * v, y=[1.0]), Algorithm(1.2, 1, NOISE), (1.0, 1.0), "learning rate: "),
        ],
        ids=["no zero-loss point", "no noise", "learning rate"],
    )
    def test_no_flow_has_a_reason(self, model, algorithm, start, reason):
        d = derive(model, algorithm, start)
        assert d.reached.begin is None
        assert d.reached.ends == ()
        assert d.reached.reason.startswith(reason)

    def test_a_flow_that_leaves_has_its_own_reason(self):
        d = derive(Model((u, v), u * v + u**3 / 10, y=[0.0]), Algorithm(0.05, 1, NOISE), (0.5, 1.0))
        assert all(e.point is None and e.reason.startswith("rank of the Jacobian") for e in d.reached.ends)

    def test_a_slow_flow_is_given_up(self, monkeypatch):
        def endless(*_):
            time.sleep(3)

        monkeypatch.setattr(SlowFlow, "stationary_point", endless)
        found = reached(self.rank_one, Algorithm(0.3, 1, NOISE), np.array(self.start), (), seconds=0.5)
        assert [e.reason for e in found.ends] == ["not followed in the time for it"] * 3
