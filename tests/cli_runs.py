"""Running the command line on a small study: what its tests share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from click.testing import CliRunner
from flatmin.sims import cli, engine, record, sampler

UV = """\
[model]
parameters = ["u", "v"]
prediction = "{prediction}"
[data]
y = [{y}]
[algorithm]
lr = {lr}
batch_size = 1
[algorithm.noise]
kind = "label"
sigma = 0.1
[start]
u = 2.0
v = 0.5
[run]
margin = {margin}
budget = {budget}
seed = 3
{claims}
"""
DRIFT = '[[claim]]\nkind = "drift"\n'
# Twice the true speed along the hyperbola: wrong by 100 %, where the margin is 5 %.
WRONG = '[[claim]]\nkind = "drift"\ntheory = "conjecture"\nname = "twice"\nregularizer = "(u**2 + v**2)"\n'
# The true one is about 1e-3.
UNIT_COVARIANCE = '[[claim]]\nkind = "covariance"\ntheory = "conjecture"\ncovariance = [["1", "0"], ["0", "1"]]\n'
# A shell may have started the tests with Ctrl-C ignored; children would inherit that.
_CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from flatmin.sims.cli import main; main()"
)
SHELL = [sys.executable, "-c", _CODE]


def study(folder: Path, claims=DRIFT, prediction="u*v", y=1.0, lr=0.2, margin=0.05, budget=300.0) -> Path:
    path = folder / "study.toml"
    text = UV.format(prediction=prediction, y=y, lr=lr, margin=margin, budget=budget, claims=claims)
    path.write_text(text, encoding="utf-8")
    return path


def flatmin(*args, status=0):
    """Run a command in this process; its exit status must be `status`, and an exception is the test's failure."""
    result = CliRunner().invoke(cli.main, [str(a) for a in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def strict(path: Path):
    """A JSON document, read by a reader that refuses NaN and Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def timeless(document):
    """The document without what a clock says."""
    claims = [{k: v for k, v in claim.items() if k != "seconds"} for claim in document["claims"]]
    return {**document, "seconds": 0, "claims": claims}


def forbid_simulation(monkeypatch):
    """Whatever simulates fails from now on; returns the function that does."""

    def refuse(*_, **__):
        raise AssertionError("something runs")

    for module in (engine, sampler, record):
        monkeypatch.setattr(module, "simulate", refuse)
    return refuse
