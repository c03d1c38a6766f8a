"""Finished runs: kept, read back, never run twice; what is cut goes on with the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from flatmin.sims.experiments.store import Interrupted, Laboratory
from flatmin.sims.jsonfile import CannotWrite

SETTINGS = [{"seed": seed} for seed in range(5)]


def drawn(setting, should_stop):
    return {"value": float(np.random.default_rng(setting["seed"]).normal())}


def doubled(setting, should_stop):
    return {"value": 2.0}


def test_results_come_in_the_order_of_the_settings_whatever_the_threads(tmp_path):
    one = Laboratory(tmp_path / "a", threads=1).finish(drawn, SETTINGS)
    three = Laboratory(tmp_path / "b", threads=3).finish(drawn, SETTINGS[::-1])
    assert one == three[::-1]
    assert len({r["value"] for r in one}) == 5


def test_what_was_cut_goes_on_with_the_same_numbers(tmp_path):
    whole = Laboratory(tmp_path / "whole").finish(drawn, SETTINGS)
    ran = []

    def cut(setting, should_stop):
        if setting["seed"] == 4:
            raise KeyboardInterrupt
        return drawn(setting, should_stop)

    def counted(setting, should_stop):
        ran.append(setting["seed"])
        return drawn(setting, should_stop)

    counted.__qualname__ = cut.__qualname__
    with pytest.raises(Interrupted, match="4 of 5 runs finished, kept in"):
        Laboratory(tmp_path / "cut", threads=1).finish(cut, SETTINGS)
    assert Laboratory(tmp_path / "cut").finish(counted, SETTINGS) == whole
    assert ran == [4]


def test_another_function_does_not_find_the_results(tmp_path):
    laboratory = Laboratory(tmp_path)
    assert laboratory.finish(drawn, SETTINGS[:1]) != laboratory.finish(doubled, SETTINGS[:1])
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_file_that_cannot_be_read_is_run_again(tmp_path):
    laboratory = Laboratory(tmp_path)
    first = laboratory.finish(drawn, SETTINGS[:1])
    (file,) = (tmp_path / "runs").iterdir()
    text = file.read_text()
    for broken in (text[: len(text) // 2], "[]", '{"result": 1}'):
        file.write_text(broken)
        assert laboratory.finish(drawn, SETTINGS[:1]) == first
        assert file.read_text() == text


def test_files_hold_setting_and_result_and_no_nan(tmp_path):
    def broken(setting, should_stop):
        return {"value": float("nan"), "list": [float("inf"), 1.0]}

    result = Laboratory(tmp_path).finish(broken, SETTINGS[:1])
    assert result == [{"value": None, "list": [None, 1.0]}]
    (file,) = (tmp_path / "runs").iterdir()
    assert json.loads(file.read_text()) == {"setting": SETTINGS[0], "result": result[0]}


def test_an_error_of_a_run_is_raised_and_the_others_are_told_to_stop(tmp_path):
    asked = []

    def failing(setting, should_stop):
        if setting["seed"]:
            raise ValueError("of a run")
        while not should_stop():
            pass
        asked.append(True)
        raise RuntimeError

    with pytest.raises(ValueError, match="of a run"):
        Laboratory(tmp_path, threads=2).finish(failing, SETTINGS[:2])
    assert asked == [True]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"--out=.*file"):
        Laboratory(tmp_path / "file")
