"""A tree is equal to /proc, or it is not: on a host where processes are born and end all the time."""

from __future__ import annotations

from pipeline.bench import processes
from pipeline.bench.against_proc import (
    ENDED,
    LEFT,
    LOOKS_MAX,
    MISSING,
    PARENT,
    Comparison,
    Told,
    compare,
    differences,
    in_ticks,
)
from pipeline.bench.processes import TICK_NS, Key, Stat

INIT, DAEMON, SHELL, PASSING = Key(1, 10), Key(40, 500), Key(41, 700), Key(99, 900)
ALIVE = {INIT: 0, DAEMON: 1, SHELL: 40}


def _seen(alive: Told) -> dict[Key, Stat]:
    return {key: Stat(key, parent, False) for key, parent in alive.items()}


SEEN = _seen(ALIVE)


def test_equal_is_equal_at_the_first_look() -> None:
    assert compare(lambda: ALIVE, lambda: SEEN, lambda: None) == Comparison(3, 1, {})


def test_each_way_to_differ_has_its_name() -> None:
    again = Key(SHELL.pid, SHELL.start_ticks + 1)  # the same pid, another process
    told = {INIT: 0, DAEMON: 40, again: 40}
    assert differences(told, SEEN) == {DAEMON: PARENT, again: LEFT, SHELL: MISSING}


def test_what_waits_to_be_reaped_is_not_alive() -> None:
    zombie = {PASSING: Stat(PASSING, 1, True)}
    assert differences(ALIVE, SEEN | zombie) == {}
    assert differences(ALIVE | {PASSING: 1}, SEEN | zombie) == {PASSING: ENDED}


def test_what_is_born_and_ends_between_two_answers_is_no_difference() -> None:
    told = [ALIVE, ALIVE | {PASSING: 1}, ALIVE]
    seen = [SEEN, SEEN, _seen(ALIVE | {PASSING: 1})]
    assert compare(told.pop, seen.pop, lambda: None) == Comparison(3, 3, {})


def test_what_stays_different_is_looked_at_a_bounded_number_of_times_and_told() -> None:
    waited: list[None] = []
    found = compare(lambda: ALIVE | {SHELL: 1}, lambda: SEEN, lambda: waited.append(None))
    assert found == Comparison(3, LOOKS_MAX, {SHELL: PARENT})
    assert len(waited) == LOOKS_MAX - 1


def test_a_process_that_differs_in_every_look_is_found_beside_others_that_pass() -> None:
    number = iter(range(1_000))
    found = compare(lambda: {INIT: 0, DAEMON: 1}, lambda: _seen(ALIVE | {Key(100 + next(number), 1): 1}), lambda: None)
    assert found.different == {SHELL: MISSING}


def test_differences_are_told_by_their_kind_with_some_pids() -> None:
    different = {Key(pid, 1): PARENT for pid in (45, 44, 43, 42)} | {Key(7, 1): LEFT}
    assert str(Comparison(9, 20, different)) == "another parent: 4, as pid 42, 43, 44; not in /proc: 1, as pid 7"
    assert str(Comparison(9, 1, {})) == ""


def test_a_witness_tells_nanoseconds_and_proc_ticks() -> None:
    assert in_ticks([(40, 7 * TICK_NS + 5, 1)]) == {Key(40, 7): 1}


def test_this_host_is_equal_to_itself() -> None:
    def told() -> dict[Key, int]:
        return {key: now.parent for key, now in processes.listed().items() if not now.ended}

    assert compare(told, processes.listed, lambda: None).different == {}
