"""A stream of the real source, fed into a tree, and compared with /proc process by process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.counters import Counters
from pipeline.events import Account, Clock, Container, Event
from pipeline.process import ProcessVersion
from pipeline.tree.tree import ProcessTree
from tests.kernel.tracer import TICK_NS

Shown = tuple[int, int, int, int]
"""Start in ticks, parent now, group, session."""


class Followed:
    """A tree that takes a stream bit by bit."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.tree = ProcessTree(processes_max=1 << 16, threads_max=1 << 16, counters=self.counters)

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            if not isinstance(event, (Account, Clock, Container)):
                self.tree.apply(event)

    def by_pid(self) -> dict[int, ProcessVersion]:
        return {version.pid: version for version in self.tree.alive()}


class Proc:
    """What /proc shows at one moment."""

    def __init__(self) -> None:
        self.at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.alive: dict[int, Shown] = {}
        self.pids: set[int] = set()  # zombies too
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(path.parent.name)
            self.pids.add(pid)
            if fields[0] not in "ZX":
                self.alive[pid] = (int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]))


def differences(before: Proc, followed: Followed, after: Proc) -> dict[int, tuple[Shown | None, Shown | None]]:
    """pid: as /proc shows it, as the tree knows it, where they differ. The tree is as of a moment between the two."""
    known = followed.by_pid()
    differ: dict[int, tuple[Shown | None, Shown | None]] = {}
    for pid, shown in before.alive.items():
        if after.alive.get(pid) == shown and (pid not in known or _known(known[pid]) != shown):
            differ[pid] = shown, _known(known[pid]) if pid in known else None
    for pid, version in known.items():
        if pid not in before.pids | after.pids and version.start_ns < before.at_ns:
            differ[pid] = None, _known(version)
    return differ


def _known(version: ProcessVersion) -> Shown:
    present = version.reaper or version.parent
    return (version.start_ns // TICK_NS, present.pid if present else 0, version.session.group_id, version.session.id)
