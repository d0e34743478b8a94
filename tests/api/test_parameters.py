"""Times as they are asked for, on clocks that were set; no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.parameters import Moment, moment
from pipeline.api.problems import Problem
from pipeline.counters import Counters
from pipeline.enrich.tables import Tables
from pipeline.events import Clock, HostFacts, Stamp
from pipeline.query.agent import moment as from_a_user

SECOND_NS = 10**9
OFFSET_NS = 1_700_000_000 * SECOND_NS
LATE_NS = 10**18


def tables(*steps: tuple[int, int]) -> Tables:
    """``steps``: when, and the offset from then on."""
    made = Tables(Counters())
    made.learn(HostFacts(Stamp(1, 0, 0, 0), b"0" * 16, OFFSET_NS, 1, {}))
    for time_ns, offset_ns in steps:
        made.learn(Clock(Stamp(time_ns, 0, 0, 0), offset_ns))
    return made


@given(st.integers(0, 10**17), st.sampled_from([0, 90, -330]))
def test_the_time_of_a_document_asks_for_that_very_nanosecond(boot_ns: int, zone_minutes: int) -> None:
    clock = tables()
    text = clock.date(boot_ns)
    assert moment(text, LATE_NS, clock.boot_ns) == (boot_ns, boot_ns)
    second, fraction = text.removesuffix("Z").split(".")
    zone = timezone(timedelta(minutes=zone_minutes))
    there = datetime.fromisoformat(second).replace(tzinfo=UTC).astimezone(zone).isoformat()
    text = f"{there[:-6]}.{fraction}{there[-6:]}"
    assert moment(text, LATE_NS, clock.boot_ns) == (boot_ns, boot_ns)
    assert moment(text.replace("+", " "), LATE_NS, clock.boot_ns) == (boot_ns, boot_ns)


def test_a_time_without_a_fraction_is_the_whole_second() -> None:
    text = "2023-11-14T22:13:21Z"  # one second after OFFSET_NS
    assert moment(text, LATE_NS, tables().boot_ns) == Moment(SECOND_NS, 2 * SECOND_NS - 1)
    assert moment(text.replace("Z", ".0Z"), LATE_NS, tables().boot_ns) == Moment(SECOND_NS, SECOND_NS)


@pytest.mark.parametrize(
    ("text", "ago_ns"),
    [
        ("-9999999999999999999999w", LATE_NS + 1),
        ("-90s", 90 * SECOND_NS),
        ("-1h30m", 5400 * SECOND_NS),
        ("-1.5ms", 1_500_000),
    ],
)
def test_a_relative_time_is_so_long_before_now(text: str, ago_ns: int) -> None:
    assert moment(text, LATE_NS, tables().boot_ns) == (LATE_NS - ago_ns, LATE_NS - ago_ns)


@given(st.lists(st.tuples(st.integers(2, 10**6), st.integers(-(10**6), 10**6)), max_size=5), st.integers(0, 10**7))
def test_wall_time_leads_back_to_an_instant_of_that_wall_time(steps: list[tuple[int, int]], boot_ns: int) -> None:
    clock = tables(*((time_ns, OFFSET_NS + step_ns) for time_ns, step_ns in sorted(steps)))
    found = clock.boot_ns(clock.wall_ns(boot_ns))
    assert found >= boot_ns  # the latest, where the clock was set back
    assert clock.wall_ns(found) == clock.wall_ns(boot_ns)


def test_a_time_that_the_clock_has_skipped_is_the_moment_of_the_step() -> None:
    clock = tables((1000, OFFSET_NS + 500))
    assert [clock.boot_ns(OFFSET_NS + wall) for wall in (999, 1000, 1499, 1500, 1501)] == [999, 1000, 1000, 1000, 1001]


def test_the_future_is_no_time_to_ask_about() -> None:
    with pytest.raises(Problem, match="in the future"):
        moment("2023-11-14T22:13:21Z", SECOND_NS - 1, tables().boot_ns)


@given(st.text() | st.from_regex(r"-?[0-9:.T+-]{1,40}[smhdwZ]?") | st.datetimes().map(datetime.isoformat))
def test_whatever_is_asked_is_a_moment_or_a_problem_that_says_so(text: str) -> None:
    reason = ""
    try:
        found = moment(text, LATE_NS, tables().boot_ns)
    except Problem as problem:
        reason = problem.reason
    assert reason == "bad_time" if reason else found.from_ns <= found.until_ns


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (None, None),
        ("90s", "-90s"),
        ("-90s", "-90s"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456789Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T12:00:00+02:00"),
        ("soon", "soon"),
        ("2026-99-31", "2026-99-31"),
    ],
)
def test_a_user_may_leave_the_minus_out(typed: str | None, asked: str | None) -> None:
    assert from_a_user(typed) == asked


@pytest.mark.parametrize("typed", ["2026-01-31T12:00:00.123456789", "2026-01-31 12:00", "2026-01-31"])
def test_a_users_time_without_a_zone_is_local(typed: str) -> None:
    asked = from_a_user(typed)
    assert asked is not None
    local = datetime.fromisoformat(typed[:26]).astimezone(UTC)
    assert datetime.fromisoformat(asked).astimezone(UTC) == local
    assert moment(asked, 10**19, lambda unix_ns: unix_ns).from_ns // 10**9 == local.timestamp() // 1
