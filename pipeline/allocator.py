"""How the C library's allocator treats a process that makes and forgets a few megabytes with every batch.

glibc raises its own thresholds when large blocks come and go, and from then on keeps what was freed: after a storm the
agent held 8 to 23 MiB more than it used. Fixed thresholds give the largest blocks back to the system when they are
freed, and one arena is enough where one thread does the work.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE_BYTES = 4 * 1024 * 1024  # with 128 KiB, 2 MiB less is kept, and replay is 6 % slower for pages that come and go


def give_back_what_is_freed() -> None:
    """Fix glibc's thresholds for this process. Another C library has none to fix, and keeps its ways."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES), (_M_ARENA_MAX, 1)):
            mallopt(option, value)
