"""The process tree: events in, processes with their whole lineage out.

    tree = ProcessTree(processes_max=32768, threads_max=32768, counters=Counters())
    for event in events:
        process = tree.apply(event)

Pure: no clock, no environment, no I/O, nothing to wait for. The same events give the same answers.
The stream begins with HostFacts; then comes what the snapshot found, SnapshotEnd, and what the kernel tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.config import MIB
from pipeline.counters import Counters
from pipeline.events import Exec, HostFacts, ProcessEvent
from pipeline.process import ProcessVersion
from pipeline.tree.changes import transitions
from pipeline.tree.known.artifacts import Kind
from pipeline.tree.known.group_leader import leader_end
from pipeline.tree.known.process_version import version, version_at
from pipeline.tree.known.state import Process, State
from pipeline.tree.known.threads import Thread
from pipeline.tree.questions import families, forgotten, parents, processes, threads
from pipeline.tree.questions.answers import (
    ArtifactsAnswer,
    Edge,
    LineageAnswer,
    LineageKey,
    ParentAnswer,
    ProcessAnswer,
    ProcessKey,
    ThreadAnswer,
    ThreadKey,
)
from pipeline.tree.questions.forgotten import Relatives
from pipeline.tree.questions.processes import Versions
from pipeline.tree.routes import Route, Source

VERSIONS_MAX = 256
ARTIFACTS_MAX = 64
TEXTS_MAX_BYTES = 128 * MIB


class Sizes(NamedTuple):
    alive: int
    ended: int
    pinned: int  # those alive, and whoever they descend from: while these are more than the bound, detail is dropped
    processes_max: int
    threads: int  # alive, beside group leaders
    threads_ended: int
    threads_max: int


class ProcessTree:
    """At most ``processes_max`` processes and ``threads_max`` threads beside group leaders (see ``retention``),
    ``versions_max`` versions of each (see ``history``), and ``texts_max_bytes`` of long text (see ``changes.texts``).
    ``source``: what it is built from (see ``routes``).
    """

    def __init__(
        self,
        processes_max: int,
        threads_max: int,
        counters: Counters,
        *,
        versions_max: int = VERSIONS_MAX,
        artifacts_max: int = ARTIFACTS_MAX,
        texts_max_bytes: int = TEXTS_MAX_BYTES,
        source: Source = "both",
    ) -> None:
        self._state = State(processes_max, threads_max, versions_max, artifacts_max, texts_max_bytes, counters)
        self._route = None if source == "both" else Route(source, self._state)

    def __len__(self) -> int:
        """Processes known, ended ones included."""
        return len(self._state.processes)

    def __repr__(self) -> str:
        """``<ProcessTree 3 alive, 1 ended, 2 threads>``: threads beside group leaders."""
        sizes = self.sizes()
        return f"<ProcessTree {sizes.alive} alive, {sizes.ended} ended, {sizes.threads} threads>"

    def sizes(self) -> Sizes:
        """How much is known, beside its bounds."""
        kept, of_them = self._state.processes, self._state.threads
        alive = sum(process.alive for process in kept.pinned.values())
        return Sizes(
            alive=alive,
            ended=len(self) - alive,
            pinned=len(kept.pinned),
            processes_max=kept.processes_max,
            threads=len(of_them.living),
            threads_ended=len(of_them) - len(of_them.living),
            threads_max=of_them.threads_max,
        )

    def apply(self, event: ProcessEvent | HostFacts) -> ProcessVersion | None:
        """The process as it is after the event.

        None where there is no process to speak of (HostFacts, Loss, SnapshotBegin, SnapshotEnd), where a thread came or
        went and its process is as it was (ThreadStart, ThreadEnd, ThreadRunning), where the snapshot is still being
        told (Running, CommandLine; see ``snapshot``), and where the event does not fit and changed nothing: then
        ``counters.bad_transitions`` has its reason. Raises TypeError for what is no event of the tree.
        """
        if self._route is not None and not self._route.takes(event):
            return self._route.by_itself(event)
        state = self._state
        process = transitions.apply(state, event)
        if state.told_late or state.whole is not None:
            return self._of_rare(event, process)
        return None if process is None else version(state, process)

    def _of_rare(self, event: ProcessEvent | HostFacts, process: Process | None) -> ProcessVersion | None:
        """After an event that came late, or brought more text than there is room for."""
        state = self._state
        was_late, whole = state.told_late, state.whole
        state.told_late, state.whole = False, None
        if process is None:
            return None
        made = version_at(state, process, event.stamp.time_ns) if was_late else version(state, process)
        return made._replace(image=whole) if whole is not None and isinstance(event, Exec) else made

    def snapshot(self) -> Iterator[ProcessVersion]:
        """What the last snapshot found that was not known before, parents first; then whom it gave another image.

        For SnapshotEnd.
        """
        for key in (*self._state.snapshot_keys, *self._state.corrected):
            process = self._state.processes.find(key)
            if process is not None:
                yield version(self._state, process)

    def closed(self) -> Iterator[ProcessVersion]:
        """Whom a snapshot, or another process with their pid, has shown to have ended unseen. Each is told once."""
        keys = self._state.closed_keys
        while keys:
            process = self._state.processes.find(keys.popleft())
            if process is not None:
                yield version(self._state, process)

    def get(self, pid: int, start_ns: int) -> ProcessVersion | None:
        """The process as it is now, or as it was when it ended; None when it is not known."""
        process = self._state.processes.find((pid, start_ns))
        return None if process is None else version(self._state, process)

    def process(self, key: ProcessKey) -> ProcessAnswer:
        """The process as it was at that moment. Raises NoAnswer, as all questions do: see ``questions.answers``."""
        return processes.process(self._state, key)

    def versions(self, entity_id: str) -> list[ProcessAnswer]:
        """All that is known of what it has been, oldest first."""
        return processes.known_versions(self._state, entity_id)

    def each_version_of(self, key: ProcessKey) -> Versions:
        """Those that had begun by that moment, the last as of then; each when it is asked for."""
        return processes.Versions(self._state, key)

    def lineage(self, key: LineageKey) -> LineageAnswer:
        """The process and its ancestors at that moment, each as it was when its child was born."""
        return processes.lineage(self._state, key)

    def thread_at(self, key: ThreadKey) -> ThreadAnswer:
        """The thread as it was at that moment; a group's leader has the entity id of its process."""
        return threads.thread(self._state, key)

    def thread_versions(self, entity_id: str) -> list[ThreadAnswer]:
        """All that is known of what the thread has been, oldest first."""
        return threads.known_thread_versions(self._state, entity_id)

    def threads_of(self, key: ProcessKey) -> list[ThreadAnswer]:
        """Threads of a process that had begun by that moment, ended ones too, its leader first."""
        return list(self.each_thread_of(key))

    def each_thread_of(self, key: ProcessKey) -> Iterator[ThreadAnswer]:
        """Likewise, each when it is asked for."""
        return threads.threads_of(self._state, key)

    def parents(self, key: ProcessKey) -> list[ParentAnswer]:
        """Who gave birth to it, then whoever would have reaped it, each from when to when."""
        return parents.parents(self._state, key)

    def children(self, key: ProcessKey, edge: Edge = "birth") -> Iterator[ProcessAnswer]:
        """Born by then, ended ones too; with ``reaper``, whom it would have reaped at that moment."""
        return families.children(self._state, key, edge)

    def descendants(self, key: ProcessKey) -> Iterator[ProcessAnswer]:
        """Born by then of it and of those born of it, parents before their children."""
        return families.descendants(self._state, key)

    def siblings(self, key: ProcessKey) -> Iterator[ProcessAnswer]:
        """Other children of its birth parent."""
        return families.siblings(self._state, key)

    def session_members(self, key: ProcessKey) -> Iterator[ProcessAnswer]:
        """Alive at that moment, and in the same session."""
        return families.session_members(self._state, key)

    def by_pid(self, pid: int, from_ns: int | None = None, until_ns: int | None = None) -> ProcessAnswer:
        """Who had the pid between those moments; without any, the last that had it."""
        return processes.by_pid(self._state, pid, from_ns, until_ns)

    def earlier_with_pid(self, pid: int) -> ProcessAnswer | None:
        """Who had the pid before the last that had it; None where nobody is known."""
        return processes.earlier_with_pid(self._state, pid)

    def by_tid(self, tid: int, from_ns: int | None = None, until_ns: int | None = None) -> ThreadAnswer:
        """Likewise of a thread's; a group's leader has that of its process."""
        return threads.by_tid(self._state, tid, from_ns, until_ns)

    def artifacts(self, key: ProcessKey, kind: Kind) -> ArtifactsAnswer:
        """What it did of that kind until that moment, oldest first."""
        return processes.artifacts(self._state, key, kind)

    def alive_at(self, time_ns: int | None = None) -> Iterator[ProcessAnswer]:
        """Who lived at that moment, in the order of birth. Raises NoAnswer: before_memory."""
        return families.alive(self._state, time_ns)

    def forgotten_at(self, time_ns: int) -> int:
        """How many that lived at that moment are not known any more: what ``alive_at`` cannot tell."""
        return families.forgotten_at(self._state, time_ns)

    def forgotten(self, key: ProcessKey, relatives: Relatives) -> int:
        """How many of these, born by that moment, are not known any more: what an answer about them cannot tell."""
        return forgotten.count(self._state, key, relatives)

    def alive(self) -> Iterator[ProcessVersion]:
        """Processes that have not ended, in the order they became known."""
        for process in self._living():
            yield version(self._state, process)

    def threads(self, pid: int, start_ns: int) -> tuple[int, ...]:
        """Thread ids of a living process, its leader's first unless that has ended; () when there is none."""
        process = self._state.processes.find((pid, start_ns))
        if process is None or not process.alive:
            return ()
        others = tuple(thread.tid for thread in (process.threads or {}).values() if thread.end_ns is None)
        return others if leader_end(process) is not None else (pid, *others)

    def thread(self, tid: int, start_ns: int) -> Thread | None:
        """A living thread beside the group leaders."""
        return self._state.threads.living.get((tid, start_ns))

    def _living(self) -> list[Process]:
        return [process for process in self._state.processes.pinned.values() if process.alive]
