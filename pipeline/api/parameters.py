"""What a question says in its address: times, depths, pids, switches. Pure; the clock's reading is handed in.

Rules of this file:
- What is not known, comes twice, or does not fit is a ``Problem`` that names it. Nothing is guessed.
- A time is as ``moments`` has it, with its zone. One without a fraction of a second is that whole second: what held at
  its last nanosecond is the answer, and a pid that several had in it is ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, TypeVar

from pipeline import moments
from pipeline.api.problems import Problem
from pipeline.errors import UsageError
from pipeline.tree import DEPTH_MAX

BEFORE_BOOT_NS = -1  # nobody was born then; how long before does not matter
PID_MAX = 1 << 22  # PID_MAX_LIMIT of the kernel's threads.h

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


def moment(text: str, now_ns: int, wall_ns: Callable[[int], int], boot_ns: Callable[[int], int]) -> Moment:
    """``now_ns``: since boot; ``wall_ns`` turns that into Unix time in ns, and ``boot_ns`` back."""
    try:
        ago_ns = moments.ago_ns(text)
        if ago_ns is not None:
            return Moment(*[max(now_ns - ago_ns, BEFORE_BOOT_NS)] * 2)
        span = moments.span(text, wall_ns(now_ns), local=False)
    except UsageError as error:
        raise Problem("bad_time", str(error)) from error
    from_ns = max(boot_ns(span.from_ns), BEFORE_BOOT_NS)
    if from_ns > now_ns:
        raise Problem("bad_time", f"{text!r} is in the future")
    return Moment(from_ns, max(from_ns, min(boot_ns(span.until_ns), now_ns)))


def depth(text: str | None, default: int) -> int:
    if text is None:
        return default
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None or not 1 <= int(text) <= DEPTH_MAX:
        raise Problem("bad_depth", f"a depth is 1 to {DEPTH_MAX:,}, not {text!r}")
    return int(text)


def number(name: str, text: str) -> int:
    """Of a process or a thread: both are given out from one series."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None or not 1 <= int(text) <= PID_MAX:
        raise Problem("bad_parameter", f"a {name} is 1 to {PID_MAX}, not {text!r}")
    return int(text)


def switch(name: str, text: str | None) -> bool:
    return text is not None and one_of(name, text, ("true", "false")) == "true"


def one_of(name: str, text: str, words: tuple[Word, ...]) -> Word:
    for word in words:
        if word == text:
            return word
    raise Problem("bad_parameter", f"{name} is {' or '.join(words)}, not {text!r}")
