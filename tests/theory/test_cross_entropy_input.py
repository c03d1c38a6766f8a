"""Flips among K classes: study files, and models and noise that must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from flatmin.theory import Algorithm, InvalidInput, LabelFlip, LabelNoise, Model
from flatmin.theory.study import read_study

A, B, C, X = sp.symbols("a b c x", real=True)


@pytest.mark.parametrize(
    ("prediction", "inputs", "y", "says"),
    [
        (A * X, (X,), [0, 1], r"model\.prediction must be a list of logits"),
        ([A * X], (X,), [0, 1], r"model\.prediction has 1 outputs; .* use loss=\"logistic\""),
        ([A, B], (), [0, 1], r"model\.prediction\[0\] must be a list of logits"),
        ([[A, B]], (), [0, 1], r"model\.prediction has 1 lists of logits for 2 labels"),
        ([[A, B], [A, B, C]], (), [0, 1], r"model\.prediction\[1\] has 3 logits and the first list 2"),
        ([[A, B], []], (), [0, 1], r"model\.prediction\[1\] has 0 outputs"),
        ([A * X, B * X], (X,), [0, 2], r"data\.y=.* whole numbers from 0 to 1, .* of 2 outputs"),
        ([A * X, B * X], (X,), [0, -1], r"data\.y=.* whole numbers from 0 to 1"),
        ([A * X, B * X], (X,), [0, 0.5], r"data\.y=.* whole numbers from 0 to 1"),
        ([A * X, C * X], (X,), [0, 1], r"uses undeclared names \['c'\]"),
        ([0, 1], (X,), [0, 1], r"depends on no parameter"),
    ],
)
def test_bad_models_are_refused(prediction, inputs, y, says):
    x = [[1.0], [2.0]] if inputs else None
    with pytest.raises(InvalidInput, match=says):
        Model((A, B), prediction, inputs=inputs, x=x, y=y, loss="cross-entropy")


def test_noise_that_does_not_fit():
    logits = [0, A * sp.tanh(X), B * X]
    model = Model((A, B), logits, inputs=(X,), x=[[1.0], [-2.0]], y=[1, 2], loss="cross-entropy")
    Algorithm(0.1, "full", LabelFlip(0.6)).check(model)
    for noise, says in (
        (LabelFlip(2 / 3), r"flip=0\.66+7? must be above 0 and below 2/3 for 3 classes"),
        (LabelNoise(0.0), r'noise\.kind must be "flip" with the cross-entropy loss'),
    ):
        with pytest.raises(InvalidInput, match=says):
            Algorithm(0.1, "full", noise).check(model)


STUDY = """
[model]
parameters = ["a", "b"]
{inputs}
prediction = {prediction}
loss = "cross-entropy"
[data]
{x}
y = [0, 2]
[algorithm]
lr = 0.5
batch_size = 100
[algorithm.noise]
kind = "flip"
flip = {flip}
[start]
a = 1.0
b = 1.0
[[claim]]
kind = "covariance"
"""


def written(tmp_path, prediction, inputs=False, flip=0.2):
    path = tmp_path / "classes.toml"
    names, x = ('inputs = ["x"]', "x = [[1.0], [2.0]]") if inputs else ("", "")
    path.write_text(STUDY.format(prediction=prediction, inputs=names, x=x, flip=flip))
    return path


def test_study_files(tmp_path):
    with_inputs = read_study(written(tmp_path, '["0", "a*x", "a + b*x"]', inputs=True)).model
    listed = read_study(written(tmp_path, '[["0", "a", "a + b"], ["0", "2*a", "a + 2*b"]]')).model
    assert (with_inputs.outputs, listed.outputs, listed.n) == (3, 3, 2)
    theta = np.array([0.3, -0.8])
    np.testing.assert_allclose(with_inputs.gradient(theta), listed.gradient(theta), rtol=1e-14)
    for prediction, says in (
        ('[["0", "a", "a + q"], ["0", "a", "b"]]', r"model\.prediction\[0\]\[2\].*q"),
        ('["0", "a", "b"]', r"model\.prediction has 3 lists of logits for 2 labels"),
        ('[["0", "a"], ["0", "b"]]', r"data\.y=\[0\.0, 2\.0\] must hold classes"),
        ('[["0", 1, "a"], ["0", "b", "a"]]', r"model\.prediction\[0\]\[1\]"),
    ):
        with pytest.raises(InvalidInput, match=says):
            read_study(written(tmp_path, prediction))
    with pytest.raises(InvalidInput, match="below 2/3"):
        read_study(written(tmp_path, '["0", "a*x", "b*x"]', inputs=True, flip=0.7))
