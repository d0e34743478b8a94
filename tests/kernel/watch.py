"""The tracer's events put through a tree, as ``run`` does it: tests ask the tree what became of a process.

Rules of this file:
- the order is the collector's: host facts, what ran already with its command lines, the mark, then the kernel's events;
- what happens on the rest of the machine goes through the same tree, and nothing of it may be a bad transition;
- whoever has waited for a process has its end in the ring already, so to wait here is to wait for other processors.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from pipeline import wire
from pipeline.counters import Counters
from pipeline.events import (
    Event,
    Exit,
    Fork,
    HostFacts,
    ProcessEvent,
    Running,
    SnapshotBegin,
    SnapshotEnd,
    Stamp,
    ThreadEnd,
    ThreadStart,
)
from pipeline.process import ProcessVersion
from pipeline.sources import hostfacts
from pipeline.sources.decode import decode, decode_batch
from pipeline.sources.ebpf.details import Details
from pipeline.sources.ebpf.snapshot import Snapshot
from pipeline.sources.ebpf.syscall import Program
from pipeline.tree import ProcessTree
from tests.kernel.tracer import Kind, Tracer

PROCESSES_MAX = 32_768
Older = list[ProcessEvent | HostFacts]


class Told(NamedTuple):
    event: Any
    process: ProcessVersion | None  # as the tree had it right after


class Watch:
    """Listens from now on. ``with_snapshot`` False: as if all that runs already had been missed.

    ``meanwhile`` happens when the probes are on and the walk of the snapshot is still to come.
    """

    def __init__(
        self, tracer: Tracer, *, with_snapshot: bool = True, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self.tracer = tracer
        tracer.begin()
        meanwhile()
        host = HostFacts(Stamp(0, 0, 0, wire.HOST), hostfacts.boot_id(), 0, hostfacts.INITIAL_PID_NS, {})
        self.older: Older = [host, *(_snapshot(tracer) if with_snapshot else ())]
        self.counters = Counters()
        self.tree = grown(self.older, self.counters)
        self.told: list[Told] = []

    def catch_up(self) -> None:
        """Drain the ring, and give the tree what is new."""
        self.tracer.drain()
        for event in self.tracer.events[len(self.told) :]:
            self.told.append(Told(event, self.tree.apply(event)))  # type: ignore[arg-type]

    def until(self, told: Callable[[], object]) -> None:
        def caught_up() -> object:
            self.catch_up()
            return told()

        self.tracer.until(caught_up)

    def all(self, kind: type[Kind], pid: int) -> list[Told]:
        return [told for told in self.told if type(told.event) is kind and pid_of(told.event) == pid]

    def one(self, kind: type[Kind], pid: int) -> tuple[Kind, ProcessVersion]:
        """The only event of that kind about that process, and the process after it; waits for it."""
        self.until(lambda: self.all(kind, pid))
        ((event, process),) = self.all(kind, pid)
        if kind in (ThreadStart, ThreadEnd):
            assert process is None  # it is as it was
            process = self.now(pid)
        assert process is not None
        return event, process

    def kinds(self, pid: int) -> list[type]:
        """Of every event about that process, in order."""
        return [type(told.event) for told in self.told if pid_of(told.event) == pid]

    def now(self, pid: int) -> ProcessVersion:
        """The process that has, or had last, this pid."""
        self.catch_up()
        for told in reversed(self.told):
            if pid_of(told.event) == pid and told.process is not None:
                return self.get(told.process)
        return self.get(
            next(event.task for event in self.older if isinstance(event, Running) and event.task.pid == pid)
        )

    def get(self, identity: Any) -> ProcessVersion:
        """The same process as the tree has it now."""
        found = self.tree.get(identity.pid, identity.start_ns)
        assert found is not None
        return found

    def ended(self, pid: int) -> ProcessVersion:
        """The process after its end, which happens exactly once; waits for it."""
        return self.one(Exit, pid)[1]

    def children(self, pid: int) -> list[int]:
        """Whom it gave birth to, oldest first."""
        self.catch_up()
        return [told.event.task.pid for told in self.told if type(told.event) is Fork and told.event.birth_pid == pid]

    def threads(self, process: ProcessVersion) -> tuple[int, ...]:
        return self.tree.threads(process.pid, process.start_ns)


def end_descendants(watch: Watch) -> None:
    """After a test, failed or not: orphans that nobody waits for. Not who ran before it: other tests' server, say."""
    watch.catch_up()
    mine = {watch.now(os.getpid()).entity_id}
    others = {(event.task.pid, event.task.start_ns) for event in watch.older if isinstance(event, Running)}
    for process in watch.tree.alive():  # parents before children
        if (process.pid, process.start_ns) in others:
            continue
        if not mine.isdisjoint(ancestor.entity_id for ancestor in process.ancestors):
            mine.add(process.entity_id)
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def grown(events: Iterable[Event], counters: Counters | None = None) -> ProcessTree:
    """The tree that these events make."""
    tree = ProcessTree(PROCESSES_MAX, PROCESSES_MAX, counters or Counters())
    for event in events:
        tree.apply(event)  # type: ignore[arg-type]
    return tree


def pid_of(event: Any) -> int:
    task = getattr(event, "task", None)
    return getattr(event, "pid", 0) if task is None else int(task.pid)


def below(child: ProcessVersion, parent: ProcessVersion) -> bool:
    """Whether the lineage of the one is that of the other and the other itself, in every respect."""
    ids = [ancestor.entity_id for ancestor in child.ancestors]
    expected = [parent.entity_id, *(ancestor.entity_id for ancestor in parent.ancestors)]
    return (ids, child.depth, child.complete) == (expected[:32], parent.depth + 1, parent.complete)


def _snapshot(tracer: Tracer) -> Older:
    """What runs already. What happened meanwhile is among the tracer's events."""
    walk = Snapshot(Program(tracer.handover.snapshot), tracer.ring)
    walk.walk()
    tracer.records += walk.held
    tracer.events += decode_batch(walk.held, tracer.counters)
    details = Details(lambda kind: Stamp(time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0, 0, kind), Counters())
    records: list[bytes] = []
    for found in walk.found():
        records.append(found.record)
        records += details.of(found, again=False)
    records += walk.threads()
    begin, end = Stamp(0, 0, 0, wire.SNAPSHOT_BEGIN), Stamp(0, 0, 0, wire.SNAPSHOT_END)
    return [SnapshotBegin(begin), *map(decode, records), SnapshotEnd(end)]  # type: ignore[list-item]
