"""Who gave birth to whom in a storm: the load maker knows, and the figures say how many of them were told right."""

from __future__ import annotations

import os

import pytest

from pipeline.bench import burst, burst_program
from pipeline.bench.base import CannotRun
from pipeline.bench.burst import Birth, parents
from pipeline.bench.processes import TICK_NS, ancestors_of, listed, stat
from pipeline.bench.programs import load_maker

BIRTHS = [Birth(70, 1_000, 1_999), Birth(40, 0, 99), Birth(40, 0, 99), Birth(71, 5_000, 5_999)]
RIGHT = {0: (70, 1_500), 1: (40, 50), 2: (40, 50), 3: (71, 5_000)}


def _values(told: burst.Told) -> list[float | None]:
    return [figure.value for figure in parents(BIRTHS, told)]


def test_all_told_right() -> None:
    assert _values(RIGHT) == [0.0, 100.0, 100.0]


def test_an_exec_that_is_not_told_has_no_right_parent() -> None:
    assert _values({number: by for number, by in RIGHT.items() if number != 3}) == [1.0, 75.0, 50.0]


def test_a_parent_of_the_same_pid_and_another_time_is_another_process() -> None:
    assert _values(RIGHT | {0: (70, 2_000)}) == [0.0, 75.0, 50.0]
    assert _values(RIGHT | {1: (40, 100)}) == [0.0, 75.0, 100.0]


def test_the_reaper_is_not_the_birth_parent() -> None:
    assert _values(RIGHT | {3: (40, 50)}) == [0.0, 75.0, 50.0]


def test_both_files_mean_the_same_execs_by_orphans() -> None:
    """The program has the standard library alone, and so no constant of ours."""
    assert burst.ORPHAN_EVERY == burst_program.ORPHAN_EVERY


def test_the_load_maker_tells_who_gave_birth_and_when_that_process_was_born() -> None:
    count = 9
    with load_maker("burst_program.py") as load:
        answer = load.ask(f"burst word- {burst_program.SLEEPING_EVERY} {count}")
        births = [Birth(*birth) for birth in answer["births"]]
        us = stat(load.pid).key.start_ticks
        sleeping = [key.pid for key, now in listed().items() if now.parent == load.pid]
        assert answer["sleeping"] == len(sleeping) == 2
        assert ancestors_of(load.pid)[0] == os.getpid()
    assert len(births) == count
    for number, birth in enumerate(births, burst_program.SLEEPING_EVERY):
        assert (birth.parent == load.pid) is (number % burst_program.ORPHAN_EVERY != 0)
        assert birth.not_before_ns < birth.not_after_ns
        if birth.parent == load.pid:
            assert birth.not_before_ns // TICK_NS == birth.not_after_ns // TICK_NS == us
    assert not [pid for pid in sleeping if os.path.exists(f"/proc/{pid}")]


def test_a_load_maker_does_nothing_else() -> None:
    with load_maker("burst_program.py") as load, pytest.raises(CannotRun, match="no such command: dance"):
        load.ask("dance")
