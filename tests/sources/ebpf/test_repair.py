"""A repair begins when it is wanted, not too often, and in small steps."""

from __future__ import annotations

from pipeline.counters import Counters
from pipeline.sources.ebpf.repair import STEPS_MAX, Repair
from pipeline.sources.ebpf.snapshot import BEGIN_AGAIN, BEGINNINGS_MAX, END, FULL, MORE
from tests.sources.ebpf.walking import ScriptedProgram

INTERVAL_S = 5.0
SECOND_NS = 10**9


def _ended(repair: Repair, now_ns: int, rounds_max: int = 1000) -> int:
    """Step until the end; how many steps that took."""
    for number in range(1, rounds_max):
        if repair.step(now_ns):
            return number
    raise AssertionError("never ended")


def test_nothing_is_done_unless_it_is_wanted() -> None:
    program = ScriptedProgram([])
    repair = Repair(program, INTERVAL_S, Counters())
    assert (repair.begin(0), repair.step(0), repair.walking, program.asked) == (False, False, False, [])
    assert repr(repair) == "<Repair idle>"


def test_a_wish_is_fulfilled_at_once_the_first_time() -> None:
    repair = Repair(ScriptedProgram([MORE, MORE, END]), INTERVAL_S, Counters())
    repair.want()
    assert repr(repair) == "<Repair wanted>"
    assert repair.begin(1)
    assert repr(repair) == "<Repair walking>"
    assert repair.step(2)
    assert repr(repair) == "<Repair idle>"


def test_many_wishes_are_one_walk() -> None:
    repair = Repair(ScriptedProgram([MORE, END]), INTERVAL_S, Counters())
    for _ in range(3):
        repair.want()
    assert repair.begin(0)
    assert not repair.begin(0)
    assert repair.step(0)
    assert not repair.begin(10 * SECOND_NS)


def test_the_next_walk_begins_an_interval_after_the_end_of_the_one_before() -> None:
    repair = Repair(ScriptedProgram([END]), INTERVAL_S, Counters())
    repair.want()
    assert repair.begin(0)
    assert repair.step(3 * SECOND_NS)
    repair.want()
    assert not repair.begin(8 * SECOND_NS - 1)
    assert repair.begin(8 * SECOND_NS)


def test_a_loss_during_a_walk_asks_for_another_one() -> None:
    repair = Repair(ScriptedProgram([MORE, END]), INTERVAL_S, Counters())
    repair.want()
    assert repair.begin(0)
    repair.want()
    assert repair.step(0)
    assert repair.begin(5 * SECOND_NS)


def test_no_step_tells_more_tasks_than_its_bound() -> None:
    program = ScriptedProgram([MORE] * (3 * STEPS_MAX))
    repair = Repair(program, INTERVAL_S, Counters())
    repair.want()
    repair.begin(0)
    assert not repair.step(0)
    assert len(program.asked) == STEPS_MAX
    assert _ended(repair, 0) == 3
    assert len(program.asked) == 3 * STEPS_MAX + 1


def test_a_full_ring_ends_the_step_and_not_the_walk() -> None:
    program = ScriptedProgram([MORE, FULL, MORE, END])
    repair = Repair(program, INTERVAL_S, Counters())
    repair.want()
    repair.begin(0)
    assert (repair.step(0), repair.walking, program.asked) == (False, True, [0, 1])
    assert (repair.step(0), repair.walking, program.asked) == (True, False, [0, 1, 1, 1])


def test_each_walk_begins_at_the_beginning() -> None:
    program = ScriptedProgram([MORE, END, MORE, END])
    repair = Repair(program, INTERVAL_S, Counters())
    for now_ns in (0, 10 * SECOND_NS):
        repair.want()
        assert repair.begin(now_ns)
        assert repair.step(now_ns)
    assert program.asked == [0, 1, 0, 1]


def test_a_walk_that_gets_nowhere_is_given_up_counted_and_tried_again_later() -> None:
    counters = Counters()
    repair = Repair(ScriptedProgram([BEGIN_AGAIN] * (BEGINNINGS_MAX + 1) + [END]), INTERVAL_S, counters)
    repair.want()
    assert repair.begin(0)
    while repair.walking:
        assert not repair.step(SECOND_NS)  # no mark: nobody is taken to have ended
    assert (counters.repairs, counters.repairs_given_up) == (1, 1)
    assert not repair.begin(6 * SECOND_NS - 1)
    assert repair.begin(6 * SECOND_NS)
    assert repair.step(6 * SECOND_NS)
