"""Study files: what each key means, and how a mistake is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Claim, InvalidInput, RunOptions
from flatmin.theory.rules import SGD, HeavyBall, Nesterov, Preconditioned, SharpnessAware, UpdateRule, WeightDecay
from flatmin.theory.study import Study, read_study
from hostile import GOOD_STUDY

MINIMAL = """\
[model]
parameters = ["u", "v"]
prediction = ["u*v", "u + v"]
[data]
y = [1, 2.0]
[algorithm]
lr = 0.1
batch_size = 1
[algorithm.noise]
kind = "none"
[start]
v = 1
u = 2.5
[[claim]]
kind = "drift"
"""


def study(folder: Path, text: str) -> Study:
    path = folder / "study"
    path.write_text(text, encoding="utf-8")
    return read_study(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        study(folder, text)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert GOOD_STUDY.count(old) == 1
    return GOOD_STUDY.replace(old, new)


def test_all_keys(tmp_path: Path) -> None:
    read = study(tmp_path, GOOD_STUDY)
    w, a, b, x = sp.symbols("w a b x", real=True)
    assert read.name == "study"
    assert read.model.parameters == (w, a, b)
    assert read.model.inputs == (x,)
    assert read.model.prediction == (a * sp.tanh(w * x) + b * x,)
    assert read.model.x.tolist() == [[1.0], [3.0]]
    assert read.model.y.tolist() == [1.0, 0.5]
    assert (read.algorithm.lr, read.algorithm.batch_size, read.algorithm.momentum) == (0.27, "full", 0.0)
    assert (read.algorithm.noise.sigma, read.algorithm.noise.law) == (0.1, "rademacher")
    assert read.start.tolist() == [2.0, 1.3, -0.27]
    assert read.claims == (Claim("fixed-point"),)
    assert read.run == RunOptions()


def test_defaults_and_the_list_form(tmp_path: Path) -> None:
    read = study(tmp_path, MINIMAL)
    u, v = sp.symbols("u v", real=True)
    assert read.model.prediction == (u * v, u + v)
    assert read.model.x.shape == (2, 0)
    assert read.start.tolist() == [2.5, 1.0]  # in the order of the parameters, not of the file
    assert read.algorithm.sampling == "with-replacement"
    assert read.algorithm.noise.sigma == 0
    assert read.run == RunOptions()


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ('kind = "sgd"', SGD()),
        ('kind = "heavy-ball"\nbeta = 0.5', HeavyBall(0.5)),
        ('kind = "nesterov"\nbeta = 0.5', Nesterov(0.5)),
        ('kind = "weight-decay"\nratio = 2', WeightDecay(2.0)),
        ('kind = "preconditioned"\ndiagonal = [1, 2, 0.5]', Preconditioned((1.0, 2.0, 0.5))),
        ('kind = "sharpness-aware"\nrho = 0.1', SharpnessAware(0.1)),
    ],
)
def test_update_rules(tmp_path: Path, table: str, rule: UpdateRule) -> None:
    text = changed("[algorithm.noise]", f"[algorithm.rule]\n{table}\n[algorithm.noise]")
    assert study(tmp_path, text).algorithm.update_rule == rule


def test_gaussian_noise_per_sample(tmp_path: Path) -> None:
    text = changed('kind = "label"\nsigma = 0.1', 'kind = "label-gaussian"\nsigma = [0, 0.5]')
    noise = study(tmp_path, text).algorithm.noise
    assert (noise.sigma, noise.law) == ((0.0, 0.5), "gaussian")


def test_conjectures(tmp_path: Path) -> None:
    claims = """
[[claim]]
kind = "drift"
theory = "conjecture"
name = "mine"
regularizer = "log(1 + a**2) + eta*n*w**2"
strength = "eta*sigma**2/B"
[[claim]]
kind = "covariance"
theory = "conjecture"
covariance = [["lam", "0", "0"], ["0", "a**2", "0"], ["0", "0", "beta"]]
"""
    _, drift, covariance = study(tmp_path, GOOD_STUDY + claims).claims
    a, w, eta, n, sigma, size, lam, beta = sp.symbols("a w eta n sigma B lam beta", real=True)
    assert drift.title == "mine"
    assert drift.regularizer == sp.log(1 + a**2) + eta * n * w**2
    assert drift.strength == eta * sigma**2 / size
    assert covariance.covariance == sp.ImmutableMatrix(sp.diag(lam, a**2, beta))


def test_table_of_points(tmp_path: Path) -> None:
    # Columns are found by name; blank lines, CRLF, spaces and quotes are usual in such files.
    (tmp_path / "points.csv").write_bytes(b'y, "p",q\r\n1,2,3\r\n\r\n-4e-1, .5 ,"6."\r\n'.replace(b' "p"', b"p"))
    text = GOOD_STUDY.replace("x = [[1.0], [3.0]]\ny = [1.0, 0.5]", 'file = "points.csv"')
    text = text.replace('inputs = ["x"]', 'inputs = ["q", "p"]').replace("b*x", "b*p").replace("w*x", "w*q")
    model = study(tmp_path, text).model
    np.testing.assert_array_equal(model.x, [[3.0, 2.0], [6.0, 0.5]])
    np.testing.assert_array_equal(model.y, [1.0, -0.4])


def test_table_without_inputs(tmp_path: Path) -> None:
    (tmp_path / "targets.csv").write_text("y\n1\n2\n")
    model = study(tmp_path, MINIMAL.replace("y = [1, 2.0]", 'file = "targets.csv"')).model
    assert model.y.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 0.27", "lr = -3.1", "algorithm.lr=-3.1 must be positive"),
        (
            "lr = 0.27",
            "learning_rate = 0.27",
            "algorithm.lr is missing; add it\nalgorithm.learning_rate is not a known",
        ),
        ("lr = 0.27", "lr = 0.27\nbatchsize = 1", 'batchsize is not a known key; did you mean "batch_size"?'),
        ('theory = "derived"', 'teory = "paper"', 'claim[0].teory is not a known key; did you mean "theory"?'),
        ('theory = "derived"', 'theory = "exact"', "claim[0].theory='exact' must be one of ['derived', 'paper'"),
        ("[[1.0], [3.0]]", "[[1.0], [nan]]", "data.x[1][0]=nan must be finite"),
        ("b = -0.27", "", "start lacks ['b']; give every parameter a value"),
        ("momentum = 0.0", "momentum = 1.5", "algorithm.momentum=1.5 must be at least 0 and below 1"),
        ('loss = "square"', 'loss = "logistic"', "data.y=[1.0, 0.5] must hold labels -1 or 1 for the logistic loss"),
        (
            'loss = "square"',
            'loss = "hinge"',
            "model.loss='hinge' must be one of 'square', 'logistic', 'exponential' or 'cross-entropy'",
        ),
        ('kind = "label"\nsigma = 0.1', 'kind = "flip"\nflip = 0.2', "data.y must hold labels -1 or 1 for label flips"),
        ('kind = "label"\nsigma = 0.1', 'kind = "flip"\nflip = 0.5', "noise.flip=0.5 must be above 0 and below 1/2"),
        ('kind = "label"', 'kind = "none"', 'algorithm.noise.sigma is not for kind="none"; remove it'),
        ("sigma = 0.1", "", 'algorithm.noise.sigma is missing; kind="label" needs it'),
        ("a*tanh(w*x) + b*x", "a*tanh(w*z)", 'model.prediction="a*tanh(w*z)": "z" is unknown'),
        ("[run]", "[runs]", 'runs is not a known key; did you mean "run"?'),
        ('theory = "derived"', "margin = 0.1", "claim[0].margin is not a known key here; it belongs in [run]"),
        ("[run]", "[run]\nlr = 0.1\ntheory = 1", "run.lr is not a known key here; it belongs in [algorithm]"),
    ],
)
def test_messages(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, changed(old, new))


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ('covariance = [["1"]]\nstrength = 1e-4', "noise.covariance has shape (1, 1); it must be (2, 2)"),
        ('covariance = [["1", "0"], ["0", "z"]]\nstrength = 1e-4', "noise.covariance[1][1]"),
        ('covariance = [["1", "0"], ["0"]]\nstrength = 1e-4', "must be square"),
        ('covariance = [["1", "0"], ["0", "u"]]\nstrength = -1', "noise.strength=-1.0 must not be negative"),
        ('covariance = [["1", "0"], ["0", "u"]]', "noise.strength is missing"),
        ('covariance = "1"\nstrength = 1', "must be a list of rows"),
    ],
)
def test_gradient_noise_is_checked(noise: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, MINIMAL.replace('kind = "none"', f'kind = "gradient"\n{noise}'))


def test_a_long_value_does_not_flood_the_terminal(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, changed("lr = 0.27", f'lr = "{"x" * 10**6}"'))) < 1000
