"""Gives each process its entry leader, by the rules of ``leaders`` or from those it has it from.

Called by ``transitions`` alone. Inheritance is from parent, session leader and group leader, in this order; it is a key
and the last seen value, so that an entry leader that is no ancestor does not stay known for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.tree.leaders import INIT_PID, KTHREADD_PID, UNKNOWN, Situation, entry_type
from pipeline.tree.state import Entry, Process, State
from pipeline.tree.versions import moment


def inherit_entry(state: State, process: Process, parent: Process | None) -> bool:
    """From the parent, else from the leaders; whether there was anything to inherit."""
    if process.kernel_thread:
        return False
    if parent is not None and _take(process, parent):
        return True
    find = state.processes.find
    for key in (
        (process.session.id, process.session.start_ns),
        (process.session.group_id, process.session.group_start_ns),
    ):
        if key != process.key:
            leader = find(key)
            if leader is not None and _take(process, leader):
                return True
    return False


def judge_entry(state: State, process: Process) -> None:
    """After an exec or setsid: whether it is an entry leader now. Who leads no session keeps what it inherited."""
    if process.session.id != process.pid:
        if process.entry is None and not _has_none(process):
            inherit_entry(state, process, state.processes.find(process.parent_key))
        return
    if not _has_none(process) and not _is_entry(state, process):
        process.entry = None
        if not inherit_entry(state, process, state.processes.find(process.parent_key)):
            _make_entry(process, UNKNOWN)


def judge_entries(state: State, parents_first: Sequence[Process]) -> None:
    """For all that a snapshot found: leaders need not be ancestors, so what the rules say goes before inheritance."""
    find = state.processes.find
    left: list[Process] = []
    for process in parents_first:
        if process.entry is not None or _has_none(process):
            continue
        leads = process.session.id == process.pid
        if not (leads and _is_entry(state, process)):
            parent = find(process.parent_key)
            if parent is None or not _take(process, parent):
                left.append(process)
    for process in _leaders_first(left):
        inherits = process.entry is not None or inherit_entry(state, process, find(process.parent_key))
        if not inherits and process.session.id == process.pid:
            _make_entry(process, UNKNOWN)


def _leaders_first(processes: Iterable[Process]) -> list[Process]:
    return sorted(processes, key=lambda process: process.session.id != process.pid)


def _is_entry(state: State, process: Process) -> bool:
    parents: list[str] = []
    if process.birth is not None:
        parents.append(process.birth.image.name)
    now = state.processes.find(process.reaper_key)
    if now is not None:
        parents.append(now.image.name)
    kind = entry_type(Situation(process.image.name, process.session.tty, process.reaper_key[0], tuple(parents)))
    if kind is None:
        return False
    _make_entry(process, kind)
    return True


def _make_entry(process: Process, kind: str) -> None:
    process.entry = Entry(process.key, None, kind)


def _take(process: Process, other: Process) -> bool:
    entry = other.entry
    if entry is None:
        return False
    if entry.key == other.key and entry.leader is not (seen := moment(other)):
        entry = other.entry = entry._replace(leader=seen)  # one for all who take it
    process.entry = entry
    return True


def _has_none(process: Process) -> bool:
    return process.kernel_thread or process.pid in (INIT_PID, KTHREADD_PID)
