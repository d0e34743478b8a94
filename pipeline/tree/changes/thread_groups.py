"""Threads and their process: what is told of one, when it ended, and what it says of its process.

Rules of this file:
- A thread has ended when the kernel told that; else with the next exec of its process, or with the end of that; else
  when a walk began that did not find it, but not before the last record of it. Worked out anew with each record that
  may say otherwise, so that the order in which they come is of no matter.
- A group leader may end and its process go on. From then until its next exec, whose caller is the leader then, what
  other threads tell of their rights and namespaces is told of the process; a mere rename stays theirs. When the leader
  ended and who took over is remembered: a record of another thread counts by its own time, also where the leader's end,
  or that exec, is told after it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import reduce
from operator import or_
from sys import intern
from typing import Any

from pipeline.events import Namespaces, ThreadEnd, ThreadRunning, ThreadStart
from pipeline.tree.changes.folding import insert, withdraw
from pipeline.tree.known.group_leader import end_before, leader_end, remember_takeovers, takeovers
from pipeline.tree.known.history import (
    BIRTH,
    GROUPS,
    HOW,
    IDS,
    IMAGE,
    MORE_SPACES,
    NAME,
    SPACES,
    change,
    how,
    miss_before,
    most,
    versions,
)
from pipeline.tree.known.state import Key, Process, State
from pipeline.tree.known.threads import OF_PROCESS, Thread, ThreadChange

_OF_LEADER = IDS | GROUPS | SPACES | MORE_SPACES
"""What a process has of its leader, and without one of the others."""

LEADER_ENDS_MAX = 16
"""Ends of a process's leaders, each but the last followed by an exec, that are remembered."""


def began(state: State, event: ThreadStart, process: Process) -> None:
    found = state.threads.get((event.tid, event.thread_start_ns))
    if event.tid == process.pid or (found is not None and found.birth_ns):
        state.bad("thread_start_twice")
        return
    thread = _thread(state, process, (event.tid, event.thread_start_ns), event.ns_tid)
    if thread is None:
        return
    thread.birth_tid, thread.birth_ns = event.birth_tid, event.stamp.time_ns
    if event.stamp.time_ns < process.latest_ns:
        process.groups_differ = True  # it may have been made before its process got others
    _tell(state, process, thread, ThreadChange(thread.start_ns, NAME | BIRTH, intern(event.comm)), event.stamp.time_ns)


def found_running(state: State, event: ThreadRunning, process: Process) -> None:
    """By a walk: what it is called then, and that it lives, whatever a walk before has said."""
    thread = _thread(state, process, (event.tid, event.thread_start_ns), event.ns_tid)
    if thread is not None:
        time_ns = event.stamp.time_ns
        if thread.missed_ns is not None and time_ns > thread.missed_ns:
            thread.missed_ns = None
        _tell(state, process, thread, ThreadChange(time_ns, NAME | how(state), intern(event.comm)), time_ns)


def changed(state: State, process: Process, key: Key, ns_tid: int, told: ThreadChange) -> bool:
    """Another name, other rights or namespaces, of a thread that is not the leader. False: that was bad."""
    thread = _thread(state, process, key, ns_tid)
    if thread is None:
        return False
    _tell(state, process, thread, told, told.since_ns)
    if told.credentials is not None and told.credentials.groups != process.credentials.groups:
        process.groups_differ = True
    if told.told & _OF_LEADER and process.leader_ends and leader_end(process, told.since_ns) is not None:
        _tell_process(state, process, thread, told)
    return True


def ended(state: State, event: ThreadEnd, process: Process) -> None:
    """Not the leader."""
    if event.stamp.time_ns < event.thread_start_ns:
        state.bad("thread_exit_before_start")
        return
    thread = _thread(state, process, (event.tid, event.thread_start_ns), event.ns_tid)
    if thread is None:
        return
    if thread.told_end_ns is None or event.stamp.time_ns < thread.told_end_ns:
        thread.told_end_ns, thread.end_name = event.stamp.time_ns, intern(event.comm)
    settle(state, process, thread)
    _trim(state)


def missed(state: State, process: Process, thread: Thread, begin_ns: int) -> None:
    """A walk that began then has not found it."""
    if thread.end_ns is None:
        thread.missed_ns = begin_ns
        settle(state, process, thread)


def unseen(process: Process, time_ns: int) -> list[Key]:
    """Those that a walk which comes to their process then has still to find."""
    threads = (process.threads or {}).values()
    return [one.key for one in threads if one.end_ns is None and (one.birth_ns or one.start_ns) <= time_ns]


def _thread(state: State, process: Process, key: Key, ns_tid: int) -> Thread | None:
    """The one that is known; where none is, whatever is told of it makes it."""
    thread = state.threads.get(key)
    if thread is not None:
        if thread.process == process.key:
            return thread
        state.bad("thread_of_another_process")
        return None
    assert state.boot is not None
    thread = Thread(state.boot, process.key, key, ns_tid)
    if thread.entity_id in state.threads.evicted:
        state.bad("thread_forgotten")
        return None
    state.threads.add(thread, process)
    return thread


def _tell(state: State, process: Process, thread: Thread, told: ThreadChange, time_ns: int) -> None:
    state.threads.tell(thread, told, state.versions_max, found=bool(told.told & HOW))
    thread.seen_ns = max(thread.seen_ns, time_ns)
    settle(state, process, thread)
    _trim(state)


def _trim(state: State) -> None:
    for gone in state.threads.trim():
        owner = state.processes.peek(gone.process)
        if owner is not None and owner.threads is not None:
            owner.threads_forgotten += 1
            del owner.threads[gone.key]
            owner.threads = owner.threads or None


# Ends.


def last_told(process: Process) -> int:
    """When the last record of one of its threads was made. It lived then."""
    return max((max(one.seen_ns, one.told_end_ns or 0) for one in (process.threads or {}).values()), default=0)


def settle(state: State, process: Process, thread: Thread, execs: Sequence[int] | None = None) -> None:
    """When it ended, by all that is known. ``execs``: when its process executed something, where that is known."""
    if thread.told_end_ns is not None:
        end_ns: int | None = thread.told_end_ns
    else:
        end_ns = _end_of_others(process, thread, execs)
        if thread.missed_ns is not None:
            missed_ns = max(thread.missed_ns, thread.seen_ns)
            end_ns = missed_ns if end_ns is None else min(end_ns, missed_ns)
    if end_ns != thread.end_ns:
        state.threads.end(thread, end_ns)


def end_threads(state: State, process: Process) -> None:
    """It has executed something, or has ended: so have its threads beside the leader that lived before that."""
    if process.threads is not None:
        execs = _execs(process)
        for thread in process.threads.values():
            if thread.told_end_ns is None:
                settle(state, process, thread, execs)


def _end_of_others(process: Process, thread: Thread, execs: Sequence[int] | None) -> int | None:
    """When it ended for sure, having lived when the last record of it was made: with the next exec of its process, else
    with that."""
    seen_ns, known_ns = thread.seen_ns, thread.end_by_exec_ns
    if known_ns is not None and known_ns < seen_ns:
        known_ns = None
    if process.latest_ns >= seen_ns:
        if execs is None:
            execs = _execs(process)
        place = bisect_left(execs, seen_ns)
        if place < len(execs) and (known_ns is None or execs[place] < known_ns):
            known_ns = execs[place]
    thread.end_by_exec_ns = known_ns
    return process.end_ns if known_ns is None else known_ns


def _execs(process: Process) -> list[int]:
    """When it executed something, as the kernel told it."""
    return [one.since_ns for one in versions(process) if one.told & IMAGE and not one.told & HOW]


# The leader.


def leader_ended(state: State, process: Process, time_ns: int) -> None:
    """The others go on without it."""
    if time_ns < process.start_ns:
        state.bad("thread_exit_before_start")
        return
    if time_ns in process.leader_ends or (process.end_ns is not None and time_ns > process.end_ns):
        return
    ends = list(process.leader_ends)
    insort(ends, time_ns)
    if len(ends) > LEADER_ENDS_MAX:
        state.counters.versions_dropped += 1
        if ends[0] == time_ns:
            return
        del ends[0]
    process.leader_ends = tuple(ends)
    remember_takeovers(process)
    tell_again(state, process, time_ns)


def tell_again(state: State, process: Process, from_ns: int) -> None:
    """It has become known when its leader lived: what other threads have told from then on counts by that.

    What was told of the process is marked, so that it is told once, also where its version has been dropped since. Of
    what is told anew no more than the newest can stay; the first of those counts the others as missing before it.
    """
    if not process.leader_ends or process.threads is None:
        return
    from_ns = max(from_ns, process.leader_ends[0])  # what ended before that is not remembered
    changes = [(one, thread) for thread in process.threads.values() for one in _counting_from(thread, from_ns)]
    if not changes:
        return  # nearly always: nothing is late
    ends, taken_over = process.leader_ends, takeovers(process)
    told: list[tuple[ThreadChange, Thread]] = []
    for one, thread in sorted(changes, key=lambda pair: pair[0].since_ns):
        counts, is_told = end_before(ends, taken_over, one.since_ns) is not None, one.told & OF_PROCESS != 0
        if counts and not is_told:
            told.append((one, thread))
        elif is_told and not counts:
            thread.mark(one, of_process=False)
            withdraw(state, process, one.since_ns, thread.tid)
    room = most(state)
    for place, (one, thread) in enumerate(told):
        missing = len(told) - room - place
        if missing > 0:
            thread.mark(one, of_process=True)
            state.counters.versions_dropped += 1
            continue
        _tell_process(state, process, thread, one)
        if missing == 0 and place:
            told_before = (earlier.told for earlier, _ in told[:place])
            miss_before(process, one.since_ns, place, reduce(or_, told_before) & (_OF_LEADER | NAME))


def _counting_from(thread: Thread, from_ns: int) -> list[ThreadChange]:
    first = bisect_left(thread.changes, from_ns, key=lambda one: one.since_ns)
    return [one for one in thread.changes[first:] if one.told & _OF_LEADER]


def _tell_process(state: State, process: Process, thread: Thread, told: ThreadChange) -> None:
    """Its leader has ended: whose rights and namespaces that one has, the process has, and its name goes with them."""
    thread.mark(told, of_process=True)
    since_ns, what = told.since_ns, told.told & (_OF_LEADER | NAME)
    values: dict[str, Any] = {"thread_name": told.name, "tid": thread.tid}
    who = told.credentials
    if who is not None:
        values["credentials"] = process.credentials if who == process.credentials else who  # kept once
        values["cut"] = GROUPS if told.groups_cut else 0
    if told.namespaces is not None and told.namespaces.mnt:
        spaces, known = told.namespaces, process.namespaces
        if not what & MORE_SPACES:
            spaces = known if spaces[:3] == known[:3] else Namespaces(*spaces[:3], *known[3:])
        values["namespaces"] = spaces
    if since_ns > max(process.latest_ns, process.since_ns, process.youngest_ns):
        change(state, process, since_ns, what)
        if who is not None:
            values["cut"] |= process.cut & ~GROUPS
        for name, value in values.items():
            setattr(process, name, value)
        return
    insert(state, process, since_ns, what, values)
    if since_ns < process.latest_ns:
        state.told_late = True
    process.latest_ns = max(process.latest_ns, since_ns)
