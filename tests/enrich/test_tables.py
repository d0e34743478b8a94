import pytest

from pipeline import wire
from pipeline.counters import Counters
from pipeline.enrich import Describer, Tables
from pipeline.enrich.tables import CLOCK_STEPS_MAX, CONTAINERS_MAX
from pipeline.errors import RecordingError
from pipeline.events import Account, Clock, HostFacts, Stamp
from tests.enrich.examples import (
    BOOT_ID,
    FACTS,
    IN_CONTAINER,
    OFFSET_NS,
    PID_NS,
    SECOND_NS,
    WEB_FACTS,
    contained,
    executed,
    process,
)

HOST = HostFacts(Stamp(1, 0, 0, wire.HOST), BOOT_ID, OFFSET_NS, PID_NS, FACTS)


def step(at_ns: int, offset_ns: int) -> Clock:
    return Clock(Stamp(at_ns, 0, 0, wire.CLOCK), offset_ns)


def test_an_instant_has_nine_digits_of_a_second() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    assert tables.date(0) == "2026-01-01T00:00:00.000000000Z"
    assert tables.date(90 * SECOND_NS + 7) == "2026-01-01T00:01:30.000000007Z"


def test_a_step_of_the_clock_moves_no_earlier_instant() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    before = tables.date(5 * SECOND_NS)
    tables.learn(step(10 * SECOND_NS, OFFSET_NS + 3600 * SECOND_NS))
    tables.learn(step(20 * SECOND_NS, OFFSET_NS - SECOND_NS))
    assert tables.date(5 * SECOND_NS) == before
    assert tables.date(10 * SECOND_NS - 1) == "2026-01-01T00:00:09.999999999Z"
    assert tables.date(10 * SECOND_NS) == "2026-01-01T01:00:10.000000000Z"
    assert tables.date(20 * SECOND_NS) == "2026-01-01T00:00:19.000000000Z"


def test_steps_are_bounded_and_the_first_offset_stays() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    for number in range(1, 2 * CLOCK_STEPS_MAX):
        tables.learn(step(number * SECOND_NS, OFFSET_NS + number))
    assert tables.wall_ns(1) == OFFSET_NS + 1
    last = 2 * CLOCK_STEPS_MAX - 1
    assert tables.wall_ns(last * SECOND_NS) == OFFSET_NS + last * SECOND_NS + last
    assert repr(tables).count(",") < CLOCK_STEPS_MAX


def test_users_and_groups_are_two_tables() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    tables.learn(Account(Stamp(2, 0, 1, wire.ACCOUNT), False, 33, "www-data"))
    tables.learn(Account(Stamp(2, 0, 2, wire.ACCOUNT), True, 33, "web"))
    assert (tables.user_name(33), tables.group_name(33), tables.user_name(34)) == ("www-data", "web", None)


def test_the_user_of_a_process_is_shown_by_name_but_not_inside_a_container() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    tables.learn(Account(Stamp(2, 0, 1, wire.ACCOUNT), False, 33, "www-data"))
    tables.learn(Account(Stamp(2, 0, 2, wire.ACCOUNT), False, 0, "root"))
    assert tables.user_of(process()) == "www-data"
    assert tables.user_of(IN_CONTAINER) == "0"


def test_new_host_facts_begin_with_empty_tables() -> None:
    tables = Tables(Counters())
    tables.learn(HOST)
    tables.learn(Account(Stamp(2, 0, 1, wire.ACCOUNT), False, 33, "www-data"))
    tables.learn(step(SECOND_NS, 0))
    tables.learn(HOST)
    assert tables.user_name(33) is None
    assert tables.wall_ns(2 * SECOND_NS) == OFFSET_NS + 2 * SECOND_NS


def test_a_stream_without_its_host_is_refused() -> None:
    by = Describer("default", [], Counters())
    with pytest.raises(RecordingError, match="does not begin with the facts of its host"):
        by.describe(executed(process()), process())
    with pytest.raises(RecordingError):
        Tables(Counters()).date(0)


def test_containers_are_bounded_and_those_in_use_stay() -> None:
    counters = Counters()
    tables = Tables(counters)
    for number in range(CONTAINERS_MAX):
        tables.learn(contained(WEB_FACTS, str(number)))
    assert tables.container_facts("0")
    assert not counters.container_facts_dropped
    tables.learn(contained(WEB_FACTS, "one more"))
    tables.learn(contained({}, "one more"))
    assert counters.container_facts_dropped == {"evicted": 1}
    assert tables.container_facts("0")
    assert tables.container_facts("1") == tables.container_facts("one more") == {}
    tables.learn(HOST)
    assert tables.container_facts("0") == {}
