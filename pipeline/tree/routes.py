"""What the tree is built from: the live stream, the walks over all that runs, both, or nothing.

| source    | the tree knows                                | documents of births, execs and ends                     |
|-----------|-----------------------------------------------|---------------------------------------------------------|
| `both`    | what the kernel tells, and what walks find    | whole                                                   |
| `events`  | what the kernel tells: nobody older than that | lineages begin with ``unknown`` at what ran before      |
| `signals` | what walks find, the first and those after it | of the record, with the lineage that the last walk found |
| `none`    | nobody                                        | of the record alone                                     |

Rules of this file, for a record that changes no tree:
- who gave birth is what a Fork says, or what a walk has found; else the parent that the record names stands for it,
  with the doubt ``unknown_parent``, since it may have adopted the process;
- an image is of the same execs as the record counts, or it is not told: of a Fork and an end no more than comm is;
- what the process has of others (their lineage, an entry leader, a container) is as the last walk found it. A parent
  that has executed something since is in doubt: ``loss``.
"""

from __future__ import annotations

import sys
from typing import Any, Literal, NamedTuple

from pipeline.counters import Counters
from pipeline.events import (
    Cgroup,
    CommandLine,
    Exec,
    Exit,
    Fork,
    HostFacts,
    Loss,
    Running,
    SnapshotBegin,
    SnapshotEnd,
    ThreadRunning,
)
from pipeline.process import ANCESTORS_MAX, Ancestor, ProcessVersion
from pipeline.tree.changes import transitions
from pipeline.tree.changes.folding import HIERARCHIES_MAX, told_container
from pipeline.tree.known import doubts
from pipeline.tree.known.history import at, moment_of
from pipeline.tree.known.process_version import ROOTS, complete_chain, known_or_named, moment, version
from pipeline.tree.known.state import NOT_CONTAINED, Key, Process, State

Source = Literal["none", "events", "signals", "both"]

_SIGNALS = frozenset({Running, CommandLine, ThreadRunning, SnapshotBegin, SnapshotEnd})
_HAVE_DOCUMENTS = (Fork, Exec, Exit)


class _Above(NamedTuple):
    """What a process has from who gave birth to it."""

    parent_key: Key
    ancestors: tuple[Ancestor, ...]
    depth: int
    complete: bool
    doubt: int


class Route:
    """Stands between the stream and a tree that is not built from all of it."""

    def __init__(self, source: Source, state: State) -> None:
        self.source = source
        self._state = state
        self._alone = State(1, 1, 1, 1, sys.maxsize, Counters())  # forgotten after each event
        self._walking = False
        self._cgroups: list[Cgroup] = []  # of one process, as a walk tells them: of every hierarchy, then of some

    def takes(self, event: Any) -> bool:
        """Whether the tree is built from such events."""
        kind = type(event)
        if self._cgroups and not (kind is Cgroup and self._goes_on(event)):
            self._tell_cgroups()
        if kind is HostFacts:
            transitions.apply(self._alone, event)
            return True
        if kind in _SIGNALS:
            if kind is SnapshotBegin or kind is SnapshotEnd:
                self._walking = kind is SnapshotBegin
            return self.source == "signals"
        if kind is Cgroup and self._walking:  # a walk tells the cgroups of whom it has found, after that
            if self._cgroups or (event.every_hierarchy and self.source == "signals"):
                self._cgroups.append(event)
                return False
            return self.source != "none" and self._state.processes.find((event.pid, event.start_ns)) is not None
        return self.source == "events" or (self.source == "signals" and kind is Loss)

    def _goes_on(self, event: Cgroup) -> bool:
        first = self._cgroups[0]
        same = (event.pid, event.start_ns) == (first.pid, first.start_ns)
        return same and not event.every_hierarchy and len(self._cgroups) <= HIERARCHIES_MAX

    def _tell_cgroups(self) -> None:
        """All that a walk tells of one process at once, if that is another container than was known."""
        told, self._cgroups = self._cgroups, []
        process = self._state.processes.find((told[0].pid, told[0].start_ns))
        if process is None:
            return
        contained = NOT_CONTAINED
        for event in told:
            contained = told_container(contained, event)
        if contained.container != process.contained.container:
            for event in told:
                transitions.apply(self._state, event)

    def by_itself(self, event: Any) -> ProcessVersion | None:
        """What the record says, and nothing that was known before but by walks."""
        if not isinstance(event, _HAVE_DOCUMENTS):
            return None
        alone, counters = self._alone, self._state.counters
        alone.forget()
        process = transitions.apply(alone, event)
        counters.bad_transitions.update(alone.counters.bad_transitions)
        alone.counters.bad_transitions.clear()
        if process is None:
            return None
        told = version(alone, process)._replace(entry_leader=None, entry_type="")  # no record names it
        if self.source == "signals":
            told = self._with_walks(event, told, process)
        counters.unknown_parents += not told.ancestors and told.pid not in ROOTS
        return told

    def _with_walks(self, event: Fork | Exec | Exit, told: ProcessVersion, process: Process) -> ProcessVersion:
        """With what walks have found of the process itself, of its parent and of its leaders."""
        state, task = self._state, event.task
        find = state.processes.find
        known = find(process.key)
        if isinstance(event, Exit) and known is not None and known.alive:
            state.ends_told.add(process.key)  # no walk has to tell of it
        source = find((event.birth_pid, event.birth_start_ns)) if isinstance(event, Fork) else known
        has_image = isinstance(event, Exec) or told.kernel_thread
        if source is not None and not has_image and source.exec_id == task.exec_id:
            told = told._replace(image=source.image)
        if source is not None and source.cgroup_id == task.cgroup_id:
            told = told._replace(container=source.contained.container)
        above = self._above(event, known)
        doubt = above.doubt | (doubts.CUT if told.image.cut or told.cut else 0)
        present_key = (task.parent_pid, task.parent_start_ns)
        _, session_id, group_id, session_start_ns, group_start_ns = told.session
        group_key, session_key = (group_id, group_start_ns), (session_id, session_start_ns)
        leader = source or find(session_key)
        entry = None if leader is None else leader.entry
        entry_leader = None if entry is None else known_or_named(state, entry.key)
        if entry is not None and entry.key == process.key:
            entry_leader = moment(process)
        return told._replace(
            ancestors=above.ancestors,
            depth=above.depth,
            complete=above.complete,
            named_parent=None if above.ancestors or above.complete else known_or_named(state, above.parent_key),
            doubt=doubts.WORDS[doubt],
            reaper=None if present_key == above.parent_key else known_or_named(state, present_key),
            group_leader=told.group_leader or _known(state, group_key),
            session_leader=told.session_leader or _known(state, session_key),
            entry_leader=entry_leader,
            entry_type="" if entry is None else entry.type,
        )

    def _above(self, event: Fork | Exec | Exit, known: Process | None) -> _Above:
        state, task = self._state, event.task
        if isinstance(event, Fork):
            key, own = (event.birth_pid, event.birth_start_ns), 0
        elif known is not None:
            complete_chain(state, known)
            return _Above(known.parent_key, known.ancestors, known.depth, known.complete, known.chain_doubt)
        else:
            key, own = (task.parent_pid, task.parent_start_ns), 0 if task.pid in ROOTS else doubts.UNKNOWN_PARENT
        parent = state.processes.find(key)
        if parent is None:
            return _Above(key, (), 0, task.pid in ROOTS, 0 if task.pid in ROOTS else doubts.UNKNOWN_PARENT)
        complete_chain(state, parent)
        then = at(parent, event.stamp.time_ns)
        if isinstance(event, Fork) and then.exec_id != task.exec_id and not event.kernel_thread:
            own |= doubts.LOSS
        ancestors = (moment_of(parent, then), *parent.ancestors[: ANCESTORS_MAX - 1])
        return _Above(key, ancestors, parent.depth + 1, parent.complete, parent.chain_doubt | own)


def _known(state: State, key: Key) -> Ancestor | None:
    found = state.processes.find(key)
    return None if found is None else moment(found)
