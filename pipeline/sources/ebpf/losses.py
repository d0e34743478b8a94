"""What the kernel could not hand over, by kind of record: counted by the programs, and by the kernel about them.

Rules of this file:
- the programs' counters are a frozen map, seen through a mapping that cannot be written;
- the kernel itself skips a program that is running on that CPU already. It counts those apart, and here they count as
  lost records of that program's kind; looked at once a second, since it costs a file of /proc for each program.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping

import structlog

from pipeline import wire
from pipeline.counters import Counters
from pipeline.sources.ebpf.syscall import open_info, skipped_runs

SKIPPED_EVERY_NS = 1_000_000_000
WARNED_EVERY_NS = 60_000_000_000
_BYTES = 8 * wire.LOSS_KINDS
NAMES = {
    wire.FORK: "fork",
    wire.EXEC: "exec",
    wire.EXIT: "exit",
    wire.THREAD_START: "thread_start",
    wire.THREAD_END: "thread_end",
    wire.RUNNING: "running",
    wire.RENAME: "rename",
    wire.CREDENTIALS: "credentials",
    wire.SESSION: "session",
    wire.NAMESPACES: "namespaces",
    wire.DIRECTORY: "directory",
    wire.CGROUP: "cgroup",
    wire.THREAD_RUNNING: "thread_running",
}
_KIND_OF_PROGRAM = {
    "on_fork": wire.FORK,
    "on_exec": wire.EXEC,
    "on_exit": wire.EXIT,
    "on_rename": wire.RENAME,
    "on_credentials": wire.CREDENTIALS,
    "on_prctl_begin": wire.CREDENTIALS,
    "on_prctl_end": wire.CREDENTIALS,
    "on_setsid": wire.SESSION,
    "on_setpgid_begin": wire.SESSION,
    "on_setpgid_end": wire.SESSION,
    "on_setns": wire.NAMESPACES,
    "on_unshare": wire.NAMESPACES,
    "on_directory": wire.DIRECTORY,
    "on_cgroup": wire.CGROUP,
    "on_snapshot_call": wire.RUNNING,
}


def count_lost(counters: Counters, lost: Mapping[int, int]) -> None:
    """``lost``: how many of each kind of record."""
    counters.lost_records.update({NAMES.get(kind, str(kind)): count for kind, count in lost.items()})


log = structlog.get_logger()


class Losses:
    """Made as root, read after privileges are gone. ``began_ns``: from when on there could be any."""

    def __init__(self, descriptor: int, programs: dict[str, int], began_ns: int = 0) -> None:
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        self.infos = {name: open_info(descriptor) for name, descriptor in programs.items()}
        self._seen = bytes(_BYTES)
        self._skipped = dict.fromkeys(programs, 0)
        self._look_at_skipped = False
        self._skipped_ns = began_ns  # when they were looked at
        self._counted_ns = began_ns  # likewise the counters
        self.since_ns = began_ns

    def since_last(self, now_ns: int) -> dict[int, int]:
        """Records lost since the call before, by kind; empty: none. ``since_ns`` is when the first may have been.

        ``now_ns`` is read before the call: what is lost while it counts is in this answer or in the next.
        """
        lost: dict[int, int] = {}
        self.since_ns, self._counted_ns = self._counted_ns, now_ns
        if self._look_at_skipped or now_ns - self._skipped_ns >= SKIPPED_EVERY_NS:
            lost = self._newly_skipped()
            if lost:
                self.since_ns = self._skipped_ns
            self._skipped_ns = now_ns
            self._look_at_skipped = False
        current = self._map[:_BYTES]
        if current != self._seen:
            before, now = memoryview(self._seen).cast("Q"), memoryview(current).cast("Q")
            for kind, count in enumerate(now):
                if count != before[kind]:
                    lost[kind] = lost.get(kind, 0) + count - before[kind]
            self._seen = current
        return lost

    def _newly_skipped(self) -> dict[int, int]:
        lost: dict[int, int] = {}
        for name, info in self.infos.items():
            skipped = skipped_runs(info)
            if skipped != self._skipped[name]:
                kind = _KIND_OF_PROGRAM[name]
                lost[kind] = lost.get(kind, 0) + skipped - self._skipped[name]
                self._skipped[name] = skipped
        return lost

    def look_at_all(self) -> None:
        """Make the next ``since_last`` look at skipped programs too, whenever it last did."""
        self._look_at_skipped = True

    def close(self) -> None:
        self._map.close()
        while self.infos:
            os.close(self.infos.popitem()[1])


class LossWarning:
    """Tells people of losses while they happen: of the first at once, of all since then once in WARNED_EVERY_NS."""

    def __init__(self) -> None:
        self._untold = 0
        self._told_ns: int | None = None

    def add(self, records: int) -> None:
        self._untold += records

    def tell(self, now_ns: int) -> None:
        """Warn of what was lost since the last warning; where that is too young, a later call does."""
        if not self._untold or (self._told_ns is not None and now_ns - self._told_ns < WARNED_EVERY_NS):
            return
        log.warning("records lost: the kernel's ring was full", lost=self._untold, mend="raise ring_bytes")
        self._told_ns, self._untold = now_ns, 0
