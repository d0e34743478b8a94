"""Times as they are asked for, on clocks that were set; no server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.parameters import Moment, moment
from pipeline.api.problems import Problem
from pipeline.counters import Counters
from pipeline.enrich.tables import Tables
from pipeline.errors import UsageError
from pipeline.events import Clock, HostFacts, Stamp
from pipeline.moments import PATTERN
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


def asked(text: str, clock: Tables | None = None, now_ns: int = LATE_NS) -> Moment:
    clock = clock or tables()
    return moment(text, now_ns, clock.wall_ns, clock.boot_ns)


@given(st.integers(0, 10**17), st.sampled_from([0, 90, -330]))
def test_the_time_of_a_document_asks_for_that_very_nanosecond(boot_ns: int, zone_minutes: int) -> None:
    clock = tables()
    text = clock.date(boot_ns)
    assert asked(text, clock) == (boot_ns, boot_ns)
    second, fraction = text.removesuffix("Z").split(".")
    zone = timezone(timedelta(minutes=zone_minutes))
    there = datetime.fromisoformat(second).replace(tzinfo=UTC).astimezone(zone).isoformat()
    text = f"{there[:-6]}.{fraction}{there[-6:]}"
    assert asked(text, clock) == (boot_ns, boot_ns)
    assert asked(text.replace("+", " "), clock) == (boot_ns, boot_ns)


def test_a_time_without_a_fraction_is_the_whole_second() -> None:
    text = "2023-11-14T22:13:21Z"  # one second after OFFSET_NS
    assert asked(text) == Moment(SECOND_NS, 2 * SECOND_NS - 1)
    assert asked(text.replace("Z", ".0Z")) == Moment(SECOND_NS, SECOND_NS)


@pytest.mark.parametrize(
    ("text", "ago_ns"),
    [
        ("-9999999999999999999999w", LATE_NS + 1),
        ("-90s", 90 * SECOND_NS),
        ("90s", 90 * SECOND_NS),
        ("now", 0),
        ("-0s", 0),
        ("-1h30m", 5400 * SECOND_NS),
        ("-1.5ms", 1_500_000),
    ],
)
def test_a_relative_time_is_so_long_before_now(text: str, ago_ns: int) -> None:
    assert asked(text) == (LATE_NS - ago_ns, LATE_NS - ago_ns)


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
        asked("2023-11-14T22:13:21Z", now_ns=SECOND_NS - 1)


@given(st.text() | st.from_regex(r"-?[0-9:.T+-]{1,40}[smhdwZ]?") | st.datetimes().map(datetime.isoformat))
def test_whatever_is_asked_is_a_moment_or_a_problem_that_says_so(text: str) -> None:
    reason = ""
    try:
        found = asked(text)
    except Problem as problem:
        reason = problem.reason
    assert reason == "bad_time" if reason else found.from_ns <= found.until_ns


def test_a_time_of_day_is_the_last_time_that_a_clock_there_showed_it() -> None:
    clock = tables()
    noon_ns = clock.boot_ns(1_700_136_000 * SECOND_NS)  # 2023-11-16T12:00:00Z
    assert asked("12:00:00Z", clock, noon_ns) == (noon_ns, noon_ns)  # no more of that second has been yet
    assert asked("12:00:00.0Z", clock, noon_ns) == (noon_ns, noon_ns)
    assert asked("14:00+02:00", clock, noon_ns).from_ns == noon_ns
    yesterday = asked("12:00:01Z", clock, noon_ns)
    assert yesterday.from_ns == noon_ns + SECOND_NS - 86_400 * SECOND_NS
    assert yesterday.until_ns == yesterday.from_ns + SECOND_NS - 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-01-31T12:00:00", "has no zone: write Z behind it"),
        ("12:00", "has no zone"),
        ("2026-02-30T12:00:00Z", "day is out of range for month"),
        ("2026-01-31T12:00:60Z", "second must be in 0..59"),
        ("2026-01-31T12:00:00.1234567891Z", "9 digits at most"),
        ("2026-01-31T12:00:00+24:00", "an offset is 23:59 at most"),
        ("soon", "write how long ago, 90s"),
    ],
)
def test_what_is_wrong_with_a_time_is_said(text: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        asked(text)


@given(st.from_regex(PATTERN, fullmatch=True) | st.text())
def test_what_is_taken_is_what_the_description_says(text: str) -> None:
    refused = ""
    try:
        asked(text)
    except Problem as problem:
        refused = problem.message
    described = re.fullmatch(PATTERN, text, re.ASCII) is not None
    # What looks like a time may still be no day of any month, or to come.
    assert described or refused
    assert not (described and refused) or any(why in refused for why in ("(", "in the future", "longer ago"))


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (None, None),
        ("90s", "90s"),
        ("-90s", "-90s"),
        ("now", "now"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456789Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
    ],
)
def test_a_users_time_is_sent_in_utc(typed: str | None, sent: str | None) -> None:
    assert from_a_user(typed) == sent


@pytest.mark.parametrize("typed", ["soon", "2026-99-31", "5 minutes ago", "22:35:61"])
def test_a_users_time_that_is_none_is_quoted_as_it_was_typed(typed: str) -> None:
    with pytest.raises(UsageError, match=f"^'{typed}' is no time"):
        from_a_user(typed)


@pytest.mark.parametrize("typed", ["2026-01-31T12:00:00.123456789", "2026-01-31 12:00", "2026-01-31"])
def test_a_users_time_without_a_zone_is_local(typed: str) -> None:
    sent = from_a_user(typed)
    assert sent is not None
    local = datetime.fromisoformat(typed[:26]).astimezone(UTC)
    assert datetime.fromisoformat(sent).astimezone(UTC) == local
    assert moment(sent, 10**19, int, int).from_ns // 10**9 == local.timestamp() // 1
