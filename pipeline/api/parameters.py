"""What a question says in its address: times, depths, pids, switches. Pure; the clock's reading is handed in.

Rules of this file:
- What is not known, comes twice, or does not fit is a ``Problem`` that names it. Nothing is guessed.
- A time is RFC 3339 with its zone, or how long ago: ``-90s``, ``-5m``, ``-1h``. One without a fraction of a second is
  that whole second to who asks by pid, and its first instant to who asks by id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from pipeline.api.problems import Problem
from pipeline.clock import duration_s
from pipeline.errors import UsageError
from pipeline.tree.questions import DEPTH_MAX

SECOND_NS = 1_000_000_000
BEFORE_BOOT_NS = -1  # nobody was born then; how long before does not matter
PID_MAX = 1 << 22  # PID_MAX_LIMIT of the kernel's threads.h

# In an address a plus means a blank, unless whoever wrote it knew that: before a zone it can be nothing else.
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)


Word = TypeVar("Word", bound=str)


class Moment(NamedTuple):
    """Nanoseconds since boot, first and last; the same where the time is one instant."""

    from_ns: int
    until_ns: int


def check_names(given: Iterable[str], known: Collection[str]) -> None:
    """Raises Problem for a parameter that is unknown."""
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise Problem("bad_parameter", f"there is no parameter {name!r} here; known: {listed}")


def moment(text: str, now_ns: int, boot_ns: Callable[[int], int]) -> Moment:
    """``now_ns``: since boot, for what is relative; ``boot_ns`` turns Unix time in ns into that."""
    if text.startswith("-"):
        try:
            ago_ns = round(duration_s(text[1:], "at") * SECOND_NS)
        except (UsageError, OverflowError) as error:
            raise _no_time(text) from error
        return Moment(*[max(now_ns - ago_ns, BEFORE_BOOT_NS)] * 2)
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise _no_time(text)
    second, fraction, zone = found.groups()
    try:
        time = datetime.fromisoformat(second.upper() + zone.upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error
    unix_ns = round(time.timestamp()) * SECOND_NS + int((fraction or "0").ljust(9, "0"))
    from_ns = max(boot_ns(unix_ns), BEFORE_BOOT_NS)
    until_ns = from_ns if fraction else boot_ns(unix_ns + SECOND_NS - 1)
    if from_ns > now_ns:
        raise Problem("bad_time", f"{text!r} is in the future")
    return Moment(from_ns, max(from_ns, until_ns))


def depth(text: str | None, default: int) -> int:
    if text is None:
        return default
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None or not 1 <= int(text) <= DEPTH_MAX:
        raise Problem("bad_depth", f"a depth is 1 to {DEPTH_MAX:,}, not {text!r}")
    return int(text)


def pid(text: str) -> int:
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None or not 1 <= int(text) <= PID_MAX:
        raise Problem("bad_parameter", f"a pid is 1 to {PID_MAX}, not {text!r}")
    return int(text)


def switch(name: str, text: str | None) -> bool:
    return text is not None and one_of(name, text, ("true", "false")) == "true"


def one_of(name: str, text: str, words: tuple[Word, ...]) -> Word:
    for word in words:
        if word == text:
            return word
    raise Problem("bad_parameter", f"{name} is {' or '.join(words)}, not {text!r}")


def _no_time(text: str) -> Problem:
    return Problem(
        "bad_time", f"{text!r} is no time: write how long ago, -90s, -5m, -1h, or a moment, 2026-01-31T12:00:00.5Z"
    )
