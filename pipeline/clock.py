"""The clock's seam. Inside the product time is nanoseconds since boot; wall time is that plus one offset.

Pure stages take no clock at all; what waits or measures takes one of these, and tests give it a fake.
"""

from __future__ import annotations

import re
import time
from typing import Protocol

from pipeline.errors import UsageError


class Clock(Protocol):
    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included."""
        ...

    def wall_offset_ns(self) -> int:
        """Unix time in ns minus time since boot in ns, as it is now."""
        ...


class SystemClock:
    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_offset_ns(self) -> int:
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return wall - (before + after) // 2


_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)


def seconds(text: str) -> float | None:
    """What ``90s``, ``5m``, ``2h``, ``1d``, ``1h30m`` come to; None for anything else."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def duration_s(text: str, option: str) -> float:
    """``seconds`` of a text, more than none.

    Raises UsageError, which names the ``option`` that the text was given to.
    """
    found = seconds(text)
    if found is None:
        raise UsageError(f"{option}: {text!r} is no duration", "write a number and a unit: 30s, 5m, 2h, 1d")
    if found <= 0:
        raise UsageError(f"{option}: {text!r} is no time at all", "write a duration above 0: 30s, 5m, 2h, 1d")
    return found
