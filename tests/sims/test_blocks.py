"""Blocks of replicas on threads: who runs when."""

from __future__ import annotations

import time

import pytest
from flatmin.sims import engine, moments
from flatmin.sims.blocks import Blocks, SimulationStopped
from flatmin.sims.engine import simulate
from flatmin.sims.lanes import LANES
from flatmin.theory import Algorithm, LabelNoise


def _run(tasks, threads, calls=20, together=0):
    """The task that made each call, in the order of the calls.

    Of the first `together` none is ahead by more than a call before another task begins, however busy the machine is.
    """
    made = []

    def ahead(first):
        slowest = min(made.count(task) for task in range(together))
        return first < together and made.count(first) > slowest + 1 and max(made) < together

    def work(first, last):
        assert last == first + 1
        for _ in range(calls):
            made.append(first)
            begun = time.monotonic()
            time.sleep(1e-4)  # others get the interpreter
            while together and ahead(first) and time.monotonic() < begun + 10:
                time.sleep(1e-4)
            yield

    Blocks(tasks * LANES, None, None).run(work, threads)
    return made


@pytest.mark.parametrize("tasks", [1, 2, 3, 7, 40, 200])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_block_makes_all_its_calls(tasks, threads):
    made = _run(tasks, threads)
    assert sorted(made) == sorted(list(range(tasks)) * 20)


def test_the_last_blocks_take_turns_where_they_are_fewer_than_the_threads_need():
    made = _run(3, 2, together=2)
    # The third begins before one of the others has made its last call.
    begun = made.index(2)
    assert made[:begun].count(0) < 20
    assert made[:begun].count(1) < 20


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_blocks_do_not_all_begin_at_once(threads):
    """Each that has begun keeps its state in memory."""
    made = _run(20, threads)
    open_, most = set(), 0
    for k, task in enumerate(made):
        open_.add(task)
        most = max(most, len(open_))
        if task not in made[k + 1 :]:
            open_.discard(task)
    assert most <= 2 * threads - 1


def endless(ended):
    """Calls without an end, but for one that says that nobody stopped them."""
    begun = time.monotonic()
    while time.monotonic() < begun + 20:
        time.sleep(1e-4)
        yield
    ended.append(True)


def test_an_error_ends_all_and_is_told():
    ended = []

    def work(first, last):
        yield
        if first == 1:
            raise ZeroDivisionError
        yield from endless(ended)

    with pytest.raises(ZeroDivisionError):
        Blocks(3 * LANES, None, None).run(work, 2)
    assert not ended


@pytest.mark.parametrize("blocks", [1, 3])
def test_stopping_ends_blocks_that_would_go_on(blocks):
    ended = []
    with pytest.raises(SimulationStopped):
        Blocks(blocks * LANES, None, lambda: True).run(lambda first, last: endless(ended), 2)
    assert not ended


@pytest.mark.parametrize("average", [False, True])
def test_a_long_run_lets_others_go_on_after_each_call(uv, monkeypatch, average):
    calls, algorithm = [], Algorithm(lr=0.1, batch_size="full", noise=LabelNoise(0.1))

    def alone(self, function, threads, most=1):
        calls.extend(1 for first in range(self.count) for _ in function(first, first + 1))

    monkeypatch.setattr(Blocks, "run", alone)
    for module in (engine, moments):
        monkeypatch.setattr(module, "next_size", lambda steps, seconds: 1000)
    if average:
        moments.average(uv, algorithm, [0.1], [2.0, 0.5], 64, 10_000)
    else:
        simulate(uv, algorithm, [0.1], [2.0, 0.5], 64, [10_000])
    assert len(calls) >= 8
