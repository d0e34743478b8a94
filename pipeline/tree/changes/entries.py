"""Gives each process its entry leader, by the rules of ``leaders`` or from those it has it from.

Rules of this file:
- A process has at its birth what its parent has then; an exec or setsid of a session leader judges anew. What the rules
  do not fit has what it was born with, else what its session's or group's leader has then. It is a property as all
  others are: the same for every order in which records come. See ``folding``, which asks ``entry_of``.
- What was found running, or first told of by something else than a birth, has for its past what it was found with.
- Whoever is asked for another's entry remembers until when he was (``youngest_ns``): what is told of him later, and is
  older, may change that.
- An entry leader is a key and the last seen value, so that one that is no ancestor does not stay known for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.tree.changes.leaders import UNKNOWN, Situation, entry_type
from pipeline.tree.known.history import BIRTH, HOW, IMAGE, Version, as_at, is_kernel_thread
from pipeline.tree.known.process_version import moment
from pipeline.tree.known.state import INIT_PID, KTHREADD_PID, Entry, Key, Process, State


def inherit_entry(state: State, process: Process, parent: Process | None) -> bool:
    """New: from the parent, as that is, else from the leaders; whether there was anything to inherit."""
    if is_kernel_thread(process, process.image):
        return False
    if parent is not None and _take(process, parent):
        return True
    process.entry = _of_leaders(state, process, process)
    return process.entry is not None


def judge_entry(state: State, process: Process) -> None:
    """After an exec or setsid: whether it is an entry leader now. Who leads no session keeps what it inherited."""
    if process.session[1] != process.pid and process.entry is not None:
        return
    if not _has_none(process, process):
        first = process.past[0] if process.past else process
        process.entry = _judged(state, process, first, process, process.entry)


def judge_entries(state: State, parents_first: Sequence[Process]) -> None:
    """For all that a snapshot found: leaders need not be ancestors, so what the rules say goes before inheritance."""
    find = state.processes.find
    left: list[Process] = []
    for process in parents_first:
        if process.entry is not None or _has_none(process, process):
            continue
        kind = _kind(state, process, process, None) if process.session.id == process.pid else None
        if kind is not None:
            process.entry = Entry(process.key, None, kind)
            continue
        parent = find(process.parent_key)
        if parent is None or not _take(process, parent):
            left.append(process)
    for process in _leaders_first(left):
        inherits = process.entry is not None or inherit_entry(state, process, find(process.parent_key))
        if not inherits and process.session.id == process.pid:
            process.entry = Entry(process.key, None, UNKNOWN)
    for process in parents_first:  # what was told between the look at it and now changes nothing of that
        for place, version in enumerate(process.past or ()):
            if process.past is not None and version.entry is None:
                process.past[place] = version._replace(entry=process.entry)


def _leaders_first(processes: Iterable[Process]) -> list[Process]:
    return sorted(processes, key=lambda process: process.session.id != process.pid)


def entry_of(state: State, process: Process, first: Version, before: Version | None, version: Version) -> Entry | None:
    """Of one version of the process, by the one before it; of the first, by what it was born with.

    ``before``: None where nobody knows.
    """
    found, had = _entry_of(state, process, first, before, version), version.entry
    if found is None or (before is not None and found is before.entry and not version.told & BIRTH):
        return found  # one and the same for all versions that have it
    if found == had:
        return had  # with the leader as it was seen since
    leader = state.processes.find(found.key) if found.leader is None and found.key != process.key else None
    return found if leader is None else found._replace(leader=moment(leader))


def _entry_of(state: State, process: Process, first: Version, before: Version | None, it: Version) -> Entry | None:
    if _has_none(process, it):
        return None
    if it.told & BIRTH and before is not None:
        return before.entry or _of_leaders(state, process, it)
    if it.told & BIRTH and process.birth is None:
        return _of_leaders(state, process, it)
    executed = it.told & IMAGE and not it.told & HOW
    if it.dropped and not executed and it.entry is not None and it.entry.key == process.key:
        return it.entry  # by what is not known any more
    if executed or (before is not None and before.session.id != process.pid == it.session.id):
        return _judged(state, process, first, it, it.entry if before is None else before.entry)
    return it.entry if before is None else before.entry


def _judged(
    state: State, process: Process, first: Version | Process, it: Version | Process, had: Entry | None
) -> Entry | None:
    """``first``: its first version; ``it``: the one that is judged; a process has the fields of its present one."""
    if it.session.id != process.pid:
        return had or _born_with(state, process, first) or _of_leaders(state, process, it)
    kind = _kind(state, process, it, it.since_ns)
    if kind is not None:
        return Entry(process.key, None, kind)
    inherited = _born_with(state, process, first) or _of_leaders(state, process, it)
    return inherited or Entry(process.key, None, UNKNOWN)


def _kind(state: State, process: Process, it: Version | Process, time_ns: int | None) -> str | None:
    """By the rules. ``time_ns``: as of when the parent is looked at; None: as it is."""
    parents: list[str] = []
    if process.birth is not None:
        parents.append(process.birth.image.name)
    now = state.processes.find(it.reaper_key)
    if now is not None:
        parents.append(now.image.name if time_ns is None else as_at(now, time_ns).image.name)
        _was_asked(now, it.since_ns)
        now.was_asked = now.was_asked or now.key != process.parent_key
    else:
        _is_missing(state, it.reaper_key, it.since_ns)
    return entry_type(Situation(it.image.name, it.session.tty, it.reaper_key[0], tuple(parents)))


def _born_with(state: State, process: Process, first: Version | Process) -> Entry | None:
    if first.told & BIRTH and not process.kernel_thread:
        return first.entry
    parent = None if process.waits else state.processes.find(process.parent_key)
    return None if parent is None else as_at(parent, process.birth_ns).entry


def _of_leaders(state: State, process: Process, it: Version | Process) -> Entry | None:
    """What its session's leader has then, else its group's."""
    session, time_ns = it.session, it.since_ns
    for key in ((session.id, session.start_ns), (session.group_id, session.group_start_ns)):
        if key == process.key:
            continue
        leader = state.processes.find(key)
        if leader is None:
            _is_missing(state, key, time_ns)
            continue
        _was_asked(leader, time_ns)
        leader.was_asked = True
        entry = as_at(leader, time_ns).entry
        if entry is not None:
            return entry if entry.leader is not None or entry.key != key else entry._replace(leader=moment(leader))
    return None


def _was_asked(process: Process, time_ns: int) -> None:
    if time_ns > process.youngest_ns:
        process.youngest_ns = time_ns


def _is_missing(state: State, key: Key, time_ns: int) -> None:
    """Somebody was asked of whom nobody has told yet; see ``learn_of``."""
    missing = state.missing
    if 0 in key:
        return
    missing[key] = max(missing.get(key, 0), time_ns)
    if len(missing) > state.processes.processes_max:
        del missing[next(iter(missing))]  # who asked first keeps what it found without


def learn_of(state: State, process: Process) -> None:
    """It was asked for before anything was told of it; its own records are older, so who did so is judged again."""
    _was_asked(process, state.missing.pop(process.key))
    process.was_asked = True


def asked(state: State, process: Process, since_ns: int) -> list[Process]:
    """Who was judged by it since then and is no child of its own: a look at all that is known, for what comes late
    alone."""
    key = process.key
    names = _names(key)
    return [
        one
        for one in state.processes
        if one.since_ns >= since_ns and one.parent_key != key and any(map(names, (one, *(one.past or ()))))
    ]


def _names(key: Key) -> Callable[[Version | Process], bool]:
    def names(it: Version | Process) -> bool:
        session = it.session
        return key in (it.reaper_key, (session.id, session.start_ns), (session.group_id, session.group_start_ns))

    return names


def _take(process: Process, other: Process) -> bool:
    entry = other.entry
    if entry is None:
        return False
    if entry.key == other.key and entry.leader is not (seen := moment(other)):
        entry = other.entry = entry._replace(leader=seen)  # one for all who take it
    process.entry = entry
    return True


def _has_none(process: Process, it: Version | Process) -> bool:
    return process.pid in (INIT_PID, KTHREADD_PID) or is_kernel_thread(process, it.image)
