"""The tree that the kernel's events make, fed in the order in which the collector hands them over."""

from __future__ import annotations

import time

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import CommandLine, Event, Fork, SnapshotBegin, SnapshotEnd, Stamp
from pipeline.process import ProcessVersion
from pipeline.sources import hostfacts
from pipeline.sources.decode import decode
from pipeline.sources.ebpf.details import Details
from pipeline.sources.ebpf.snapshot import Snapshot
from pipeline.sources.ebpf.syscall import Program
from pipeline.tree.tree import ProcessTree
from tests.kernel.tracer import Tracer


class Grown:
    """Takes a snapshot, and whatever the tracer tells from then on: ``catch_up`` is part of every question."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.counters = Counters()
        self.tree = ProcessTree(processes_max=1 << 16, threads_max=1 << 16, counters=self.counters)
        self._starts: dict[int, int] = {}
        self._asked: dict[int, int] = {}
        self._sequence = 0
        tracer.drain()
        self._first = self._at = len(tracer.events)  # what was told before is in the snapshot
        self.tree.apply(hostfacts.host_record(self._stamp(wire.HOST), 0))
        self._tell_snapshot()

    def _stamp(self, kind: int) -> Stamp:
        self._sequence += 1
        return Stamp(time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0, self._sequence, kind)

    def walk(self) -> Snapshot:
        snapshot = Snapshot(Program(self.tracer.handover.snapshot), self.tracer.ring)
        snapshot.walk()
        return snapshot

    def _tell_snapshot(self, *, again: bool = False) -> None:
        snapshot = self.walk()
        details = Details(self._stamp, self.counters)
        self._take(SnapshotBegin(self._stamp(wire.SNAPSHOT_BEGIN)))
        for found in snapshot.found():
            self._take(decode(found.record))
            for record in details.of(found, again=again):
                self._take(decode(record))
        for record in snapshot.threads():
            self._take(decode(record))
        self._take(SnapshotEnd(self._stamp(wire.SNAPSHOT_END)))
        self.tracer.records += snapshot.held
        self.tracer.events += [decode(record) for record in snapshot.held]

    def _take(self, event: Event) -> None:
        pid, start_ns = about(event)
        if pid and not isinstance(event, CommandLine):
            self._starts[pid] = start_ns
        self.tree.apply(event)  # type: ignore[arg-type]  # no other facts come from the kernel

    def miss(self) -> None:
        """What was told since the last question is lost: the tree never hears of it."""
        self.tracer.drain()
        self._at = len(self.tracer.events)

    def look_again(self) -> None:
        """As a repair does, when nothing happens meanwhile."""
        self.catch_up()
        self._tell_snapshot(again=True)

    def catch_up(self) -> None:
        self.tracer.drain()
        for event in self.tracer.events[self._at :]:
            self._take(event)
        self._at = len(self.tracer.events)

    def news(self, pid: int) -> list[Event]:
        """What was told of that process since this was asked before, of whatever kind."""
        self.catch_up()
        since = self._asked.get(pid, self._first)
        self._asked[pid] = self._at
        return [event for event in self.tracer.events[since : self._at] if about(event)[0] == pid]

    def children(self, pid: int) -> list[int]:
        """Who was born of it since the snapshot, oldest first."""
        self.catch_up()
        events = self.tracer.events[self._first :]
        return [event.task.pid for event in events if isinstance(event, Fork) and event.birth_pid == pid]

    def of(self, pid: int) -> ProcessVersion:
        """The last process that had that pid, as it is now."""
        self.catch_up()
        version = self.tree.get(pid, self._starts[pid])
        assert version is not None
        return version


def about(event: Event) -> tuple[int, int]:
    """pid and start of the process that an event is about."""
    task = getattr(event, "task", None)
    if task is not None:
        return task.pid, task.start_ns
    return (getattr(event, "pid", 0), getattr(event, "start_ns", 0))
