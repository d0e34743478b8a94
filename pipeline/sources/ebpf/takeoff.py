"""Taking the probes off, at once although the kernel is slow at it.

Rules of this file:
- a raw tracepoint is off when its link is closed, in a millisecond;
- a tracepoint of a system call hangs on a perf event. To close one takes the kernel 75 ms, one after the other, and
  whoever closes it last has to wait: disabled, it is off as well, and a child's child closes what is left, so that
  nobody waits for that second and a half. It does nothing else and has no privilege that we do not have.
"""

from __future__ import annotations

import fcntl
import os
from typing import NoReturn

PERF_EVENT_IOC_DISABLE = 0x2401  # _IO('$', 1), include/uapi/linux/perf_event.h


def take_off(links: list[int], calls: list[int]) -> None:
    """Nothing is told any more. ``links`` are closed."""
    while links:
        os.close(links.pop())
    for descriptor in calls:
        fcntl.ioctl(descriptor, PERF_EVENT_IOC_DISABLE)


def close_elsewhere(calls: list[int]) -> None:
    """Close perf events without waiting for it."""
    if not calls:
        return
    child = os.fork()
    if child == 0:
        _hold_alone(calls)
    os.waitpid(child, 0)
    while calls:
        os.close(calls.pop())


def _hold_alone(calls: list[int]) -> NoReturn:
    """Leave a grandchild behind that has nothing but ``calls``, and whose end closes them. Its parent is init, then."""
    try:
        if os.fork() == 0:
            closed_to = 0
            for descriptor in sorted(calls):  # who reads what we write, a pipe or a socket, is not to wait for this one
                os.closerange(closed_to, descriptor)
                closed_to = descriptor + 1
            os.closerange(closed_to, os.sysconf("SC_OPEN_MAX"))
    finally:
        os._exit(0)
