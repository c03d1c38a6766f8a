"""Finished runs: kept, read back, never run twice; what is cut goes on with the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from flatmin.sims.experiments import origin as origins
from flatmin.sims.experiments.origin import origin
from flatmin.sims.experiments.remaining import Remaining
from flatmin.sims.experiments.store import Interrupted, Laboratory
from flatmin.sims.jsonfile import CannotWrite
from flatmin.sims.progress import Silent

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
    with pytest.raises(Interrupted, match=r"4 of 5 runs finished, kept in .*cut; the same command goes on from there"):
        Laboratory(tmp_path / "cut", threads=1).finish(cut, SETTINGS)
    assert Laboratory(tmp_path / "cut").finish(counted, SETTINGS) == whole
    assert ran == [4]


def test_another_function_does_not_find_the_results(tmp_path):
    laboratory = Laboratory(tmp_path)
    assert laboratory.finish(drawn, SETTINGS[:1]) != laboratory.finish(doubled, SETTINGS[:1])
    assert len(list((tmp_path / "runs").iterdir())) == 2


class Told(Silent):
    def __init__(self):
        self.notes, self.left = [], []

    def note(self, text):
        self.notes.append(text)

    def remaining(self, seconds):
        self.left.append(seconds)


def test_results_of_another_version_are_kept_told_of_and_not_used(tmp_path, monkeypatch):
    Laboratory(tmp_path, progress=(same := Told())).finish(drawn, SETTINGS[:2])
    Laboratory(tmp_path, progress=same).finish(drawn, SETTINGS[1:3])
    assert same.notes == []  # other settings of the same version are nothing to tell of
    before = {f: f.read_bytes() for f in (tmp_path / "runs").iterdir()}
    for name, other in (("_PACKAGES", ("numpy",)), ("_texts", lambda: ["another module"])):
        monkeypatch.setattr(origins, name, other)
        origins.library.cache_clear()
        ran = []

        def counted(setting, should_stop, ran=ran):
            ran.append(setting)
            return drawn(setting, should_stop)

        counted.__qualname__ = drawn.__qualname__
        laboratory = Laboratory(tmp_path, progress=(told := Told()))
        assert laboratory.finish(counted, SETTINGS[:3]) == laboratory.finish(counted, SETTINGS[:3])
        assert len(ran) == 3
        (note,) = told.notes
        assert "runs were made by another version of flatmin or of the script; they are kept" in note
    assert all(file.read_bytes() == text for file, text in before.items())
    monkeypatch.undo()
    origins.library.cache_clear()


def test_the_longest_runs_begin_first(tmp_path):
    ran = []

    def noted(setting, should_stop):
        ran.append(setting["seed"])
        return {}

    Laboratory(tmp_path, threads=1).finish(noted, SETTINGS, cost=lambda s: 1 + s["seed"] % 3)
    assert ran == [2, 1, 4, 0, 3]


def test_time_left_counts_what_is_under_way(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("flatmin.sims.experiments.remaining.time.monotonic", lambda: now[0])
    remaining = Remaining({"a": 2.0, "b": 4.0, "c": 1.0, "d": 1.0}, threads=2)
    with pytest.raises(ValueError, match="no run is done"):
        remaining.seconds()
    with remaining.running("b"):
        with remaining.running("a"):
            now[0] = 10.0
        # 5 seconds for a unit; b has 10 of its 20 left, c and d 5 each: 20 in two threads.
        assert remaining.seconds() == 10.0
        now[0] = 18.0
        assert remaining.seconds() == 6.0
        now[0] = 40.0  # b took longer than was thought
        assert remaining.seconds() == 5.0
    # 50 seconds for 6 units.
    assert remaining.seconds() == pytest.approx(50 / 6)


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
    kept = json.loads(file.read_text())
    assert kept == {"origin": origin(broken), "setting": SETTINGS[0], "result": result[0]}


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
