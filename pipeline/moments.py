"""How a time is written, for the command line and the API alike: one grammar.

| written                                       | means                                                        |
|-----------------------------------------------|--------------------------------------------------------------|
| ``90s``, ``-90s``, ``1h30m``, ``now``         | so long ago                                                  |
| ``2026-01-31T12:00:00.5Z``, ``... 12:00``     | a moment: RFC 3339, up to nine digits of a second            |
| ``12:00:00``, ``12:00Z``                      | the last time that a clock there showed it                   |
| ``2026-01-31``                                | the midnight that it begins with, where the zone is known    |

Without a zone a time is one of this machine where a person types it (``local``); elsewhere the zone must be there. A
blank stands for the T, and for the plus of a zone, as an address makes one of it.

A time without a fraction of a second is that whole second. Who asks what held then is answered by its last nanosecond:
clocks and documents leave the fraction out by cutting it off, so that what is said to have happened at 12:00:00
happened somewhere in that second, and has happened by its end. With a fraction it is that very nanosecond.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import NamedTuple

from pipeline.clock import seconds
from pipeline.errors import UsageError

SECOND_NS = 1_000_000_000
PATTERN = (
    r"^(now|-?([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+"
    r"|([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ])?[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+ -][0-9]{2}:[0-9]{2}))$"
)
"""Of what is taken where the zone must be there; for the API's description."""

MEND = "write how long ago, 90s, 24h, 1h30m, or a moment, 2026-01-31T12:00:00.5Z, or a time of day, 12:00:00Z"

_WRITTEN = re.compile(
    r"(?:(\d{4})-(\d\d)-(\d\d)(?:[Tt ](?=\d)|$))?"
    r"(?:(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?([Zz]|[+ -]\d\d:\d\d)?)?",
    re.ASCII,
)
_DIGITS = 9


class Span(NamedTuple):
    """Unix time in nanoseconds, first and last; the same where the time is one instant."""

    from_ns: int
    until_ns: int


def ago_ns(text: str) -> int | None:
    """``90s``, ``-90s``, ``now``: how long before now; None for a time that is written out."""
    if text == "now":
        return 0
    ago_s = seconds(text.removeprefix("-"))
    try:
        return None if ago_s is None else round(ago_s * SECOND_NS)
    except OverflowError as error:
        raise UsageError(f"{text!r} is no time", "that is longer ago than anything") from error


def span(text: str, now_ns: int, *, local: bool) -> Span:
    """``now_ns``: Unix time. Raises UsageError, which says what is wrong with it."""
    before_ns = ago_ns(text)
    if before_ns is not None:
        return Span(now_ns - before_ns, now_ns - before_ns)
    found = _WRITTEN.fullmatch(text)
    if found is None or not text or (found[4] is None and not local):
        raise UsageError(f"{text!r} is no time", MEND)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if zone is None and not local:
        raise UsageError(f"{text!r} has no zone", "write Z behind it for UTC, or an offset, +02:00")
    if fraction and len(fraction) > _DIGITS:
        raise UsageError(f"{text!r} is no time", f"a second has {_DIGITS} digits at most")
    try:
        clock = time(int(hour or 0), int(minute or 0), int(second or 0))
        if year is not None:
            begin = _unix_s(date(int(year), int(month), int(day)), clock, zone)
        else:
            begin = _last_unix_s(clock, zone, now_ns)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no time ({error})", MEND) from error
    from_ns = begin * SECOND_NS + int((fraction or "0").ljust(_DIGITS, "0"))
    return Span(from_ns, from_ns if fraction else from_ns + SECOND_NS - 1)


def utc(unix_ns: int) -> datetime:
    """To the microsecond, rounded down."""
    return datetime.fromtimestamp(unix_ns // SECOND_NS, UTC) + timedelta(microseconds=unix_ns % SECOND_NS // 1000)


def _last_unix_s(clock: time, zone: str | None, now_ns: int) -> int:
    """When a clock there showed it last: today, or yesterday where it is still to come."""
    now_s = now_ns // SECOND_NS
    today = datetime.fromtimestamp(now_s, UTC).astimezone(_zone(zone)).date()
    begin = _unix_s(today, clock, zone)
    return begin if begin <= now_s else _unix_s(today - timedelta(days=1), clock, zone)


def _unix_s(day: date, clock: time, zone: str | None) -> int:
    moment = datetime.combine(day, clock, _zone(zone))
    return round(moment.astimezone(UTC).timestamp())  # without a zone: this machine's


def _zone(zone: str | None) -> timezone | None:
    """None: this machine's."""
    if zone is None:
        return None
    if zone in "Zz":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is 23:59 at most")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)
