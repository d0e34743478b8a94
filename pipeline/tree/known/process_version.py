"""Makes what leaves the tree: a ``ProcessVersion``, and the ``Ancestor`` values and chains in it. Changes no state.

Rules of this file:
- A process is one ``Ancestor`` for as long as nothing in it changes, and all who refer to it share that value.
- Siblings born in the same state of their parent share one tuple of ancestors.
- A chain is made when it is first asked for, and made again only after an edge somewhere above may have changed:
  ``state.epoch`` says so. What was known of an evicted ancestor stays in the chains that had it.
"""

from __future__ import annotations

from functools import lru_cache

from pipeline.events import Credentials, Session
from pipeline.process import ANCESTORS_MAX, Ancestor, Image, ProcessVersion, entity_id
from pipeline.tree.known.doubts import CUT, LOSS, WORDS
from pipeline.tree.known.history import (
    CUT_WORDS,
    Version,
    at,
    earlier_images,
    is_counted_after,
    is_kernel_thread,
    missed_an_exec_after,
    moment_at,
    moment_of,
)
from pipeline.tree.known.state import INIT_PID, KTHREADD_PID, Boot, Entry, Key, Process, State

NAMED_MAX = 1024
"""Processes of which no more is known than that somebody named them, kept as others refer to them."""

ROOTS = (INIT_PID, KTHREADD_PID)

_new = tuple.__new__  # a fifth of the time of calling the NamedTuple, which is what an event would cost most


def moment(process: Process) -> Ancestor:
    """The process as others refer to it, now."""
    made = process.moment
    if made is None:
        made = process.moment = moment_of(process, process)
    return made


def complete_chain(state: State, process: Process) -> None:
    """See to it that ``ancestors``, ``depth``, ``complete`` and ``chain_doubt`` of the process are right."""
    epoch = state.epoch
    if process.epoch == epoch:
        return
    find = state.processes.find
    above = None if process.waits else find(process.parent_key)
    if above is None or above.epoch == epoch:  # a birth, as a rule
        _make_chain(process, above)
        process.epoch = epoch
        return
    below: list[tuple[Process, Process | None]] = []
    climber: Process | None = process
    while climber is not None and climber.epoch != epoch:
        parent = None if climber.waits else find(climber.parent_key)
        below.append((climber, parent))
        climber = parent
    for child, parent in reversed(below):
        _make_chain(child, parent)
        child.epoch = epoch


def _make_chain(child: Process, parent: Process | None) -> None:
    if parent is not None:
        child.ancestors = _chain_below(parent, child.birth or moment(parent))
        child.depth = parent.depth + 1
        child.complete = parent.complete
        child.chain_doubt = child.own_doubt | parent.chain_doubt | (LOSS if child.birth_unsure else 0)
    elif child.birth is None:
        child.ancestors = ()
        child.depth = 0
        child.complete = child.pid in ROOTS
        child.chain_doubt = child.own_doubt
    else:  # the parent has been evicted since: the chain was made when it was known
        child.chain_doubt |= child.own_doubt
    child.for_children = None


def _chain_below(parent: Process, birth: Ancestor) -> tuple[Ancestor, ...]:
    if birth is not parent.moment:  # born before the parent's last change
        return (birth, *parent.ancestors[: ANCESTORS_MAX - 1])
    chain = parent.for_children
    if chain is None:
        chain = parent.for_children = (birth, *parent.ancestors[: ANCESTORS_MAX - 1])
    return chain


def version(state: State, process: Process) -> ProcessVersion:
    """The process at this moment of the stream."""
    if process.epoch != state.epoch:
        complete_chain(state, process)
    doubt = process.chain_doubt
    if process.image.cut or process.cut:
        doubt |= CUT
    if process.counted > process.exec_id:
        doubt |= LOSS  # it has executed something unseen
    elif process.sure_of != state.interruptions and (process.alive or process.ended_unsure):
        doubt |= LOSS  # it may have, or have got another parent; or might when it ended
    reaper_key = process.reaper_key
    _, session_id, group_id, session_start_ns, group_start_ns = process.session
    group_key = (group_id, group_start_ns)
    session_key = (session_id, session_start_ns)
    group = _leader(state, process, group_key)
    session = group if session_key == group_key else _leader(state, process, session_key)
    judged = process.entry
    if judged is None:
        entry, entry_type = None, ""
    else:
        entry_key, entry, entry_type = judged
        entry = session if entry_key == session_key and session is not None else _entry(state, process, judged)
    return _new(
        ProcessVersion,
        (
            process.entity_id,
            process.since_ns,
            process.pid,
            process.ns_pid,
            process.pid_ns,
            process.start_ns,
            process.image,
            process.previous,
            CUT_WORDS[process.cut],
            process.working_directory,
            process.credentials,
            process.session,
            process.thread_name,
            process.tid,
            process.cgroup_id,
            process.contained[0],
            process.namespaces,
            process.sockets,
            process.kernel_thread and is_kernel_thread(process, process.image),
            process.filtered,
            process.ancestors,
            process.depth,
            process.complete,
            None if process.ancestors or process.complete else _named(state, process.parent_key),
            WORDS[doubt],
            None if reaper_key == process.parent_key else _other(state, reaper_key) or _named(state, reaper_key),
            group,
            session,
            entry,
            entry_type,
            0 if state.boot is None else state.boot.pid_ns,
            process.exit_status,
            process.end_ns,
        ),
    )


def _leader(state: State, process: Process, key: Key) -> Ancestor | None:
    """Itself, when the process leads."""
    return process.moment or moment(process) if key[0] == process.pid else _other(state, key)


def _other(state: State, key: Key) -> Ancestor | None:
    """Another process as it is now; None when it is not known, or is gone (its start is 0 then)."""
    processes = state.processes
    found = processes.pinned.get(key) or processes.find(key)  # the first is what most are, and need not be called for
    return None if found is None else found.moment or moment(found)


def known_or_named(state: State, key: Key) -> Ancestor | None:
    """Whom a record names, as it is now; None where it names nobody."""
    return _other(state, key) or _named(state, key)


def known_or_named_at(state: State, key: Key, time_ns: int) -> Ancestor | None:
    """Likewise, as it was then."""
    return _other_at(state, key, time_ns) or _named(state, key)


def _named(state: State, key: Key) -> Ancestor | None:
    """Somebody whom a record names and nobody else has told of; None where it names nobody."""
    return None if state.boot is None or 0 in key else _nobody_else_told_of(state.boot, key)


@lru_cache(NAMED_MAX)
def _nobody_else_told_of(boot: Boot, key: Key) -> Ancestor:
    identity = entity_id(boot.id, boot.pid_ns, *key)
    nobody = Credentials(0, 0, 0, 0, 0, 0, 0, 0)
    return Ancestor(identity, 0, key[0], 0, key[1], Image("", "", ()), "", nobody, Session())


def _entry(state: State, process: Process, judged: Entry) -> Ancestor | None:
    """The entry leader; as it was last seen, when it is not known any more."""
    seen = _leader(state, process, judged.key)
    if seen is None or seen is judged.leader:
        return judged.leader
    process.entry = judged._replace(leader=seen)
    return seen


def version_at(state: State, process: Process, time_ns: int) -> ProcessVersion:
    """The process as it was then, all others as they were then; before what is known, as it was first."""
    if time_ns >= process.since_ns:
        return present_at(state, process, time_ns)
    return version_of_past(state, process, at(process, time_ns), time_ns)


def present_at(state: State, process: Process, time_ns: int) -> ProcessVersion:
    """Its present version, all others as they were then: they may have changed since, and it not."""
    now = version(state, process)
    for other in (now.reaper, now.group_leader, now.session_leader, now.entry_leader):
        if other is not None and other.began_ns > time_ns:
            reaper, group, session, entry = _others_at(state, process, process, time_ns)
            return now._replace(reaper=reaper, group_leader=group, session_leader=session, entry_leader=entry)
    return now


def before_its_end(made: ProcessVersion) -> ProcessVersion:
    """How it ended and when, its last two fields, was still to come. A fifth of the time of ``_replace``."""
    return _new(ProcessVersion, (*made[:-2], None, None))


def _others_at(
    state: State, process: Process, it: Version | Process, time_ns: int
) -> tuple[Ancestor | None, Ancestor | None, Ancestor | None, Ancestor | None]:
    """Whom that version refers to, as they were then: reaper, group leader, session leader, entry leader."""
    reaper = None
    if it.reaper_key != process.parent_key:
        reaper = known_or_named_at(state, it.reaper_key, time_ns)
    _, session_id, group_id, session_start_ns, group_start_ns = it.session
    group_key, session_key = (group_id, group_start_ns), (session_id, session_start_ns)
    group = _other_at(state, group_key, time_ns)
    session = group if session_key == group_key else _other_at(state, session_key, time_ns)
    if it.entry is None:
        entry = None
    elif it.entry.key == session_key and session is not None:
        entry = session
    else:
        entry = _other_at(state, it.entry.key, time_ns) or it.entry.leader
    return reaper, group, session, entry


def version_of_past(state: State, process: Process, past: Version, time_ns: int) -> ProcessVersion:
    if process.epoch != state.epoch:
        complete_chain(state, process)
    doubt = process.chain_doubt | (CUT if past.image.cut or past.cut else 0)
    unsure = process.sure_of != state.interruptions and (process.alive or process.ended_unsure)
    if missed_an_exec_after(process, past) or (unsure and not is_counted_after(process, past)):
        doubt |= LOSS  # it was something else for a part of that time
    reaper, group, session, entry = _others_at(state, process, past, time_ns)
    return _new(
        ProcessVersion,
        (
            process.entity_id,
            past.since_ns,
            process.pid,
            process.ns_pid,
            process.pid_ns,
            process.start_ns,
            past.image,
            earlier_images(process, past.since_ns),
            CUT_WORDS[past.cut],
            past.working_directory,
            past.credentials,
            past.session,
            past.thread_name,
            past.tid,
            past.cgroup_id,
            past.contained.container,
            past.namespaces,
            past.sockets,
            is_kernel_thread(process, past.image),
            process.filtered,
            process.ancestors,
            process.depth,
            process.complete,
            None if process.ancestors or process.complete else _named(state, process.parent_key),
            WORDS[doubt],
            reaper,
            group,
            session,
            entry,
            "" if past.entry is None else past.entry.type,
            0 if state.boot is None else state.boot.pid_ns,
            None,
            None,
        ),
    )


def _other_at(state: State, key: Key, time_ns: int) -> Ancestor | None:
    found = state.processes.find(key)
    if found is None:
        return None
    return moment(found) if time_ns >= found.since_ns else moment_at(found, time_ns)
