"""The clock's seam. Inside the product time is nanoseconds since boot; wall time is that plus one offset.

Pure stages take no clock at all; what waits or measures takes one of these, and tests give it a fake.
"""

from __future__ import annotations

import time
from typing import Protocol


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
