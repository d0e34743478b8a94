"""What may happen to a process, and when. The only way by which the state of the tree changes.

The table is the whole of it: a row an event, a column a phase of the process it is about. A cell is the step that
changes the state (they are in ``steps``, ``properties``, ``snapshot`` and ``late``; nothing else calls them), or the
reason why the event is bad. A bad transition changes nothing and is counted under its reason.

Phases: *seen* is alive, but nobody told of its birth (the snapshot found it, or its fork was lost); *closed*: its pid
is another's by now, or a walk over all that runs did not find it alive, so it has ended, though nobody said so;
*forgotten*: it has ended and was evicted.

Rules of this file:
- An identity is (pid, start): a pid used again is another process, at once.
- The birth parent is what a Fork says and never changes after. A process whose fork nobody told of has the parent that
  its first record names, with a doubt.
- A record that is older than what is known of its process does not change what is newer: it goes among the versions
  (``late``, ``folding``). So does the birth of whom the snapshot had found, or another record told of first: it takes
  the process back to its birth, and the snapshot's image is the one of the exec that counts the same. One that was
  found dead already is told of in the same way, and stays dead.
- What is told of a process before anything else is held until that comes (``steps.hold``), with a bound.
- After a loss a walk repairs (see ``snapshot``). Its records stand among the events, each in the order of its own
  process. A parent that a record names may have ended by then: who adopted its children is meant (``folding.present``).
- A loss of execs or ends makes it unsure what whatever lives is, and whose child, until a record of its task that was
  made after the loss: that counts its execs and names its parent. Who has executed more than was told stays in doubt
  until that image is told; so does a child born of it, whose Fork has counted the same. Both are doubts.
- ``since_ns`` rises with every change of a process, by 1 where time stands still, so that (entity id, since_ns) names
  one state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline import wire
from pipeline.events import (
    Cgroup,
    CommandLine,
    CredentialChange,
    DirectoryChange,
    Exec,
    Exit,
    Fork,
    HostFacts,
    Loss,
    NamespaceChange,
    Rename,
    Running,
    SessionChange,
    SnapshotBegin,
    SnapshotEnd,
    ThreadEnd,
    ThreadRunning,
    ThreadStart,
)
from pipeline.tree.changes import artifacts, properties, snapshot, steps
from pipeline.tree.changes.folding import refold
from pipeline.tree.changes.late import LATE
from pipeline.tree.changes.reapers import follow, join
from pipeline.tree.known.state import FORGOTTEN, UNKNOWN, Boot, Key, Process, State

Step = Callable[[State, Any, Key, Any], Process | None]
"""(state, event, identity, the process if it is known) -> the process it is about."""

Cell = Step | str

_ABOUT_THREADS = frozenset({ThreadStart, ThreadEnd, ThreadRunning})

# fmt: off
TABLE: dict[type, tuple[Cell, Cell, Cell, Cell, Cell, Cell, Cell]] = {
    # event: unknown, seen, born, closed, seen and ended, ended, forgotten
    Fork: (
        steps.born, steps.told_birth, "fork_twice",
        steps.told_birth_after_all, steps.told_birth, "fork_twice", "fork_twice",
    ),
    Exec: (
        steps.executed, steps.executed, steps.executed,
        steps.executed_after_all, "exec_after_exit", "exec_after_exit", "exec_after_exit",
    ),
    Exit: (
        steps.ended, steps.ended, steps.ended, steps.ended, "exit_twice", "exit_twice", "exit_twice",
    ),
    ThreadStart: (
        steps.hold, steps.thread_began, steps.thread_began,
        steps.thread_after_end, steps.thread_after_end, steps.thread_after_end, steps.thread_after_end,
    ),
    ThreadEnd: (
        steps.hold, steps.thread_ended, steps.thread_ended,
        steps.thread_after_end, steps.thread_after_end, steps.thread_after_end, steps.thread_after_end,
    ),
    ThreadRunning: (
        steps.hold, snapshot.found_thread, snapshot.found_thread,
        steps.thread_after_end, steps.thread_after_end, steps.thread_after_end, steps.thread_after_end,
    ),
    **{
        kind: (
            steps.hold, step, step,
            properties.after_end, properties.after_end, properties.after_end, properties.after_end,
        )
        for kind, step in (
            (Rename, properties.renamed),
            (CredentialChange, properties.new_credentials),
            (SessionChange, properties.new_session),
            (NamespaceChange, properties.new_namespaces),
            (DirectoryChange, properties.new_directory),
            (Cgroup, properties.new_cgroup),
        )
    },
    Running: (
        snapshot.found_running, snapshot.looked_again, snapshot.looked_again,
        snapshot.found_ended, snapshot.found_ended, snapshot.found_ended, snapshot.found_ended,
    ),
    CommandLine: (
        snapshot.held_args, snapshot.told_args, snapshot.told_args,
        "command_line_too_late", "command_line_too_late", "command_line_too_late", "command_line_too_late",
    ),
}
# fmt: on

AFTER_END = (properties.after_end, "exec_after_exit")
"""Cells of what cannot be after an end: what it tells was before, and goes there."""

ANCESTRY = frozenset({wire.FORK, wire.EXEC, wire.EXIT})
"""Kinds of record whose loss puts lineages in doubt; what others would have told, the next of these tells."""

_OF_A_TASK = frozenset({Fork, Exec, Exit, Running, CredentialChange, SessionChange, NamespaceChange})
_ENDS_THE_TELLING = frozenset({Fork, Exec, Exit})


def apply(state: State, event: Any) -> Process | None:
    """Change the state as the event says. Returns the process it is about, None where there is none."""
    kind = type(event)
    row = TABLE.get(kind)
    if row is None:
        _about_no_process(state, event)
        return None
    if state.boot is None:
        state.bad("before_host_facts")
        return None
    if state.unsettled and kind in _ENDS_THE_TELLING:
        snapshot.settle(state)

    if kind in _OF_A_TASK:
        about = event.task
        key: Key = (about[0], about[2])  # Task.pid, start_ns
    else:
        key = (event.pid, event.start_ns)
    time_ns = event.stamp.time_ns
    if time_ns > state.newest_ns:
        state.newest_ns = time_ns
    processes = state.processes
    process = processes.pinned.get(key) or processes.find(key)  # the first is what most are, and need not be called for
    cell: Cell
    if process is not None:
        cell = row[process.phase]
        if cell in AFTER_END and process.end_ns is not None and time_ns <= process.end_ns:
            cell = LATE[kind]
    elif key[0] == 0:
        cell = "pid_zero"
    else:
        cell = row[FORGOTTEN if key in processes.evicted else UNKNOWN]
    if isinstance(cell, str):
        state.bad(cell)
        return None
    if process is not None and time_ns < process.latest_ns and kind in LATE:
        cell = LATE[kind]
    process = cell(state, event, key, process)
    if process is not None:
        if kind in artifacts.FEEDS:
            artifacts.note(state, process, event)
        if process.youngest_ns > time_ns and kind not in _ABOUT_THREADS and cell is not LATE.get(kind):  # told already
            state.stirred.append((process, time_ns))
    if state.stirred or state.handed_over:
        _tell_the_rest(state)
    if processes.known > processes.processes_max:
        for gone in processes.trim():
            state.threads.forget(gone)
    if state.early and key in state.early and processes.find(key) is not None:
        _catch_up(state, key)
    return process


def _catch_up(state: State, key: Key) -> None:
    events = state.early.pop(key)
    state.early_events -= len(events)
    told_late = state.told_late
    for event in events:
        apply(state, event)
    state.told_late = told_late


def _tell_the_rest(state: State) -> None:
    """What the event means for others: children born of another version than was known, parents that had ended."""
    stirred, state.stirred = state.stirred, []
    for process, from_ns in stirred:
        refold(state, process, from_ns)
    handed_over, state.handed_over = state.handed_over, []
    for child in handed_over:
        follow(state, child)
    for child in (*handed_over, *state.handed_over):  # nothing is folded any more from here on, so this comes to an end
        join(state, child)
    state.handed_over.clear()


def _about_no_process(state: State, event: object) -> None:
    if isinstance(event, HostFacts):
        boot = Boot(event.boot_id, event.pid_ns)
        if state.boot is not None and state.boot != boot:
            state.forget()  # no process of another boot is among those of this one
        state.boot = boot
    elif isinstance(event, Loss):
        state.loss_seen = state.loss_seen or not ANCESTRY.isdisjoint(event.lost)
        if wire.EXEC in event.lost or wire.EXIT in event.lost:
            state.interruptions += 1
            state.interrupted_ns = event.stamp.time_ns
            state.epoch += 1
    elif isinstance(event, SnapshotBegin):
        snapshot.begin(state, event)
    elif isinstance(event, SnapshotEnd):
        snapshot.settle(state)
        snapshot.finish(state)
    else:
        raise TypeError(f"not an event of the tree: {event!r}")
