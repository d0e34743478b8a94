"""How the C library's allocator treats a process that makes and forgets a few megabytes with every batch.

glibc raises its own thresholds when large blocks come and go, and from then on keeps what was freed: after a storm the
agent held 8 to 23 MiB more than it used. Fixed thresholds give each large block back to the system when it is freed,
and one arena is enough where one thread does the work.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE_BYTES = 128 * 1024  # glibc's own first value


def give_back_what_is_freed() -> None:
    """Fix glibc's thresholds for this process. Another C library has none to fix, and keeps its ways."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES), (_M_ARENA_MAX, 1)):
            mallopt(option, value)
