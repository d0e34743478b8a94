"""What the kernel says of other processes: who is there, since when, below whom, and how much CPU time one has had.

Rules of this file:
- no privilege is needed, unless /proc is mounted with hidepid;
- a process is (pid, start in clock ticks), which is as much as /proc tells of the start;
- one whose every thread has ended has ended, whether its parent has asked for its status or not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_ENDED = ("Z", "X")
_CPU_OF_PROCESS = 2  # CPUCLOCK_SCHED of a whole thread group: include/linux/posix-timers.h
GONE = (FileNotFoundError, ProcessLookupError)


class Key(NamedTuple):
    pid: int
    start_ticks: int  # since boot


class Stat(NamedTuple):
    """From /proc/PID/stat (proc(5)). ``parent``: the present one, 0 where it has none."""

    key: Key
    parent: int
    ended: bool


def stat(pid: int, proc: Path = PROC) -> Stat:
    """Raises one of GONE when there is no such process any more."""
    fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    state, parent, threads, start = fields[0], fields[1], fields[17], fields[19]
    return Stat(Key(pid, int(start)), int(parent), state in _ENDED and int(threads) <= 1)


def listed(proc: Path = PROC) -> dict[Key, Stat]:
    """Every process of the host, those that have ended and were not reaped included."""
    found: dict[Key, Stat] = {}
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                seen = stat(int(name), proc)
            except GONE:
                continue
            found[seen.key] = seen
    return found


def ancestors_of(pid: int) -> list[int]:
    """Parent, its parent and so on up to pid 1, as they are now."""
    found: list[int] = []
    while pid > 1:
        pid = stat(pid).parent
        found.append(pid)
    return found if found and found[-1] == 1 else found[:-1]


def cpu_s(pid: int) -> float:
    """CPU time of the process so far, of its ended threads too, to the nanosecond. Raises OSError when it is gone."""
    clock = (~pid << 3) | _CPU_OF_PROCESS  # clock_getcpuclockid(3) of any process: kernel/time/posix-cpu-timers.c
    return time.clock_gettime_ns(clock) / 1e9
