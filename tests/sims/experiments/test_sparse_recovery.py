"""Sparse recovery: both outcomes, the whole command, a kill and a resumption, what it measures against other ways."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_runs import flatmin, strict
from experiment_designs import SHORT, TINY
from flatmin.sims import extras
from flatmin.sims.experiments import sparse_recovery, sparse_statements
from flatmin.sims.experiments.isotropic import isotropic_sgd
from flatmin.sims.experiments.sparse_problem import Problem, Training
from flatmin.sims.experiments.sparse_statements import recovered_fractions, smallest_samples
from flatmin.sims.experiments.statements import decide
from flatmin.sims.experiments.store import Laboratory
from flatmin.theory.indexed_geometry import IndexedGeometry


def never():
    return False


def test_label_noise_recovers_and_its_rivals_do_not(tmp_path):
    recovery, norm = sparse_recovery.run(Laboratory(tmp_path), 16, TINY).decisions
    assert recovery.verdict == "supported"
    assert [r.verdict for r in recovery.rivals] == ["refuted"] * 3
    assert norm.statement.name == "R and the l1 norm"


def test_without_label_noise_the_statement_is_refuted(tmp_path):
    silent = replace(TINY, sigma=0.0, steps=5000, kicks=(1e-3,))
    recovery, _ = sparse_recovery.run(Laboratory(tmp_path), 16, silent).decisions
    assert recovery.verdict == "refuted"
    assert recovery.interval[0] > 0.1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The command, from end to end."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_recovery, "Design", lambda: SHORT)
        result = flatmin("experiment", "sparse-recovery", "--seeds", 3, "--out", out, status=3)
    return out, result


def test_the_whole_command(whole):
    out, result = whole
    assert "recovery, k = 1: inconclusive: 3 runs are fewer than the 15 that an interval needs" in result.stdout
    assert f"wrote {out / 'results.json'}" in result.stdout.replace("\n", "")
    document = strict(out / "results.json")
    assert len(document["runs"]) == len(list((out / "runs").iterdir())) == 3 * (4 + 1 + 6)
    assert {s["verdict"] for s in document["statements"]} == {"inconclusive"}
    assert all(s["interval"] == [None, None] and s["rivals"] for s in document["statements"])
    for name in ("training", "recovery", "map"):
        text = (out / f"{name}.svg").read_text()
        assert "</svg>" in text
        assert "<dc:date>" not in text


def test_killed_and_run_again_it_gives_the_same_numbers(whole, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from experiment_designs import SHORT\n"
        "from flatmin.sims.experiments import sparse_recovery\n"
        "from flatmin.sims.experiments.store import Laboratory\n"
        "sparse_recovery.run(Laboratory(sys.argv[2], threads=1), 3, SHORT)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[2]), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(tmp_path.glob("runs/*.json"))) < 3 and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("runs/*.json")}
    assert 3 <= len(kept) < 33
    findings = sparse_recovery.run(Laboratory(tmp_path), 3, SHORT)
    assert json.loads(json.dumps(findings.runs)) == strict(whole[0] / "results.json")["runs"]
    assert all((tmp_path / "runs" / name).stat().st_mtime_ns == made for name, made in kept.items())


def test_wrong_input(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for arguments, message, status in (
        (["sparse-recovery", "--seeds", "0"], "--seeds", 2),
        (["sparse-recovery", "--seeds", "many"], "--seeds", 2),
        (["sparse-recovery", "--out", str(tmp_path / "file")], "--out", 2),
        (["sparse-recovery", "--out", str(tmp_path / "file" / "in")], "cannot be written", 4),
        (["dense-recovery"], "dense-recovery", 2),
    ):
        assert message in flatmin("experiment", *arguments, status=status).stderr
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    missing = flatmin("experiment", "sparse-recovery", "--out", tmp_path / "none", status=2)
    assert "pip install 'flatmin[experiments]'" in missing.stderr
    assert not (tmp_path / "none").exists()


def test_claims_lists_and_explains_it():
    assert "flatmin experiment sparse-recovery" in flatmin("claims").stdout
    assert "Statement: it ends at the beta of least R" in flatmin("claims", "sparse-recovery").stdout


@pytest.mark.parametrize("signed", [False, True])
def test_problem(signed):
    problem = Problem.draw(8, 5, 2, 3, signed)
    assert np.count_nonzero(problem.truth) == 2
    np.testing.assert_array_equal(problem.with_samples(3).x, Problem.draw(8, 3, 2, 3, signed).x)
    theta = np.random.default_rng(0).normal(size=16 if signed else 8)
    np.testing.assert_allclose(problem.model.samples.value(theta), problem.x @ problem.coefficients(theta), atol=1e-13)
    np.testing.assert_allclose(problem.squares @ theta**2, problem.x @ problem.coefficients(theta), atol=1e-13)
    assert problem.error(problem.truth) == 0
    assert problem.error(np.full(8, np.nan)) == np.inf


@pytest.mark.parametrize("signed", [False, True])
def test_minimizers(signed):
    problem = Problem.draw(12, 5, 4, 1, signed)
    least_r, least_l1 = problem.minimizer(weighted=True), problem.minimizer(weighted=False)

    def theta(beta):
        parts = [np.maximum(beta, 0), np.maximum(-beta, 0)] if signed else [beta]
        return np.sqrt(np.concatenate(parts))

    def r(beta):
        return IndexedGeometry(problem.model, theta(beta)).regularizer(0.0)

    # The linear program stops at 1e-7 of feasibility.
    for beta in (least_r, least_l1):
        np.testing.assert_allclose(problem.x @ beta, problem.y, atol=1e-6)
    assert r(least_r) < r(least_l1) - 1e-3
    assert r(least_r) < r(problem.truth) - 1e-3
    assert np.abs(least_l1).sum() < np.abs(least_r).sum() - 1e-3


def test_isotropic_noise_is_the_recursion():
    problem, lr, size, steps = Problem.draw(6, 4, 2, 0), 0.01, 0.02, 25
    got = isotropic_sgd(
        problem.squares, problem.y, np.ones(6), lr=lr, size=size, steps=steps, seed=5, should_stop=never
    )
    rng, theta = np.random.default_rng(5), np.ones(6)
    # The bits of bytes, the highest first; the last two of each are left over.
    kicks = [[size if byte >> (7 - j) & 1 else -size for j in range(6)] for byte in rng.bytes(steps)]
    samples = rng.integers(0, 4, steps)
    for i, kick in zip(samples, kicks):
        row = problem.squares[i]
        theta = theta - lr * (row @ theta**2 - problem.y[i]) * 2 * row * theta + np.array(kick)
    # 25 steps of sums of 6 terms, each rounded.
    np.testing.assert_allclose(got, theta, rtol=0, atol=1e-13)


def test_a_run_that_diverges_counts_as_one_that_found_nothing(tmp_path):
    wild = replace(TINY, rate=40.0, steps=50, sizes=(), kicks=(1e-3,))
    findings = sparse_recovery.run(Laboratory(tmp_path), 2, wild)
    (error,) = {r["error"] for r in findings.runs if r["algorithm"] == "label noise"}
    assert error is None
    assert findings.decisions[0].middle == np.inf


def test_smallest_samples_and_fractions():
    cells = {4: 0.5, 6: 0.01, 9: 0.2, 12: 0.05, 15: None}
    runs = [{"part": "map", "d": 9, "k": 2, "n": n, "seed": s, "error": e} for n, e in cells.items() for s in (0, 1)]
    runs[-1] = {**runs[-1], "error": 0.0}
    # Seed 0 diverges at the largest n; seed 1 finds the truth from 12 on, whatever it found at 6.
    assert smallest_samples(runs) == {0: {(9, 2): 20.0}, 1: {(9, 2): 12}}
    assert recovered_fractions(runs) == {(9, 2, 4): 0, (9, 2, 6): 1, (9, 2, 9): 0, (9, 2, 12): 1, (9, 2, 15): 0.5}


def test_a_draw_whose_least_samples_are_not_inside_of_the_map_is_unknown():
    def draws(early):
        """Found from k log(d/k) on; in the first `early` draws at the first n for one problem too."""
        for seed in range(20):
            for d, k in ((16, 2), (16, 4), (64, 2), (64, 4)):
                least = round(k * np.log(d / k))
                for n in (least - 1, least, least + 1):
                    found = n >= least or (seed < early and (d, k) == (16, 2))
                    yield {"part": "map", "d": d, "k": k, "n": n, "seed": seed, "error": 0.0 if found else 1.0}

    for early, verdict in ((0, "supported"), (10, "inconclusive")):
        _, growth = sparse_statements._enough(list(draws(early)))
        assert np.isnan(growth.values).sum() == early
        assert decide([growth], 0.95)[0].verdict == verdict


def test_the_script_uses_other_noise_where_it_is_asked_to():
    settings = list(TINY.settings(1))
    assert [(s["algorithm"], s["sigma"], s["kick"], s["batch_size"]) for s in settings] == [
        ("label noise", 4.0, 0.0, 1),
        ("SGD", 0.0, 0.0, 1),
        ("gradient descent", 0.0, 0.0, "full"),
        ("isotropic noise 0.001", 0.0, 1e-3, 1),
    ]
    assert Training(**{k: settings[0][k] for k in Training.__dataclass_fields__}) == TINY.training(20)


def test_minimizers_that_coincide_leave_nothing_to_ask():
    run = {
        "part": "minimizer",
        "apart": 0.0,
        "to_least_r": 0.0,
        "to_least_l1": 0.0,
        "error": 0.0,
        "d": 9,
        "n": 4,
        "k": 2,
    }
    assert sparse_statements._minimizer([run]) == []
    (statement,) = sparse_statements._minimizer([run, {**run, "apart": 2.0, "to_least_r": 0.1, "error": None}])
    assert list(statement.values) == [0.05]
    assert [list(r.values) for r in statement.rivals] == [[0.0], [np.inf]]
