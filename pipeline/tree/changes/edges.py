"""Who is whose child. A birth told by a Fork is certain; every other edge carries a doubt.

A child may be told of before its parent; then it waits, and is given its parent when that appears. Only what comes out
of order can close a circle, so only then is looked for one.
"""

from __future__ import annotations

from pipeline.tree.changes.births import PROPERTIES
from pipeline.tree.changes.entries import learn_of
from pipeline.tree.changes.folding import end_at, insert, refold
from pipeline.tree.changes.reapers import join, join_all, leave
from pipeline.tree.changes.thread_groups import end_threads
from pipeline.tree.known import doubts
from pipeline.tree.known.history import BY_REPAIR, IMAGE, at, moment_at, versions
from pipeline.tree.known.process_version import ROOTS, moment
from pipeline.tree.known.state import CLOSED, Key, Process, State

UNSURE_BIRTHS_MAX = 1024
"""Children of one process, born with an image of it that was missed, that are remembered; more stay in doubt."""


def keep(state: State, process: Process) -> None:
    """A new process: close who had its pid, give it the children that waited for it."""
    if state.began_ns is None:
        state.began_ns = process.told_ns
    gone = state.processes.add(process)
    if gone is not None:
        next_ns = state.processes.by_pid[process.pid].start_ns
        if gone.since_ns > next_ns:
            end_at(state, gone, next_ns)  # adopted after that, by what was known: it had ended
        gone.end_ns = max(gone.since_ns, next_ns)
        close(state, gone)
        tell_closed(state, gone)
        state.handed_over.append(gone)  # its parent may have ended before
    if process.key in state.with_unknown_reaper:
        join_all(state, process)
    if state.missing and process.key in state.missing:
        learn_of(state, process)
    if process.key not in state.processes.waiting:
        return
    for child in state.processes.waiters(process):
        child.birth = moment_at(process, child.birth_ns)
        if child.found_running or child.birth_told:
            parent_is_certain(child)
        state.processes.adopt(child, process)
        if child.reaper_key == process.key:
            join(state, child)
        state.epoch += 1
    state.stirred.append((process, 0))


def close(state: State, process: Process) -> None:
    """It has ended, and nobody said so. It keeps its children: if its end is told after all, so is who gets them."""
    leave(state, process)
    process.phase = CLOSED
    process.ended_unsure = process.sure_of != state.interruptions
    end_threads(state, process)
    state.processes.release(process)


def tell_closed(state: State, process: Process) -> None:
    if process.key in state.ends_told:
        state.ends_told.discard(process.key)  # by the record of its end
        return
    state.closed_keys.append(process.key)
    state.counters.closed_unseen += 1


def take_present_parent(state: State, process: Process, parent_key: Key) -> None:
    """For want of a birth: the parent it has. What the snapshot found refers to it as it is at the snapshot's end."""
    parent = state.processes.find(parent_key)
    if parent is not None and would_close_circle(state, parent, process.key):
        state.bad("parent_cycle")
        return
    process.parent_key = parent_key
    if parent is not None:
        if not process.found_running:
            process.birth = moment(parent)
        state.processes.adopt(process, parent)
    else:
        if parent_key[0] != 0:
            state.processes.wait(process)
        if not process.found_running:
            doubt_parent(state, process)


def go_without_parent(state: State, process: Process) -> None:
    """A Fork has named a parent, ``parent_key``, that is not known."""
    if process.parent_key in state.processes.evicted:
        process.own_doubt |= doubts.EVICTED
        return
    doubt_parent(state, process)
    if process.parent_key[0] != 0:
        state.processes.wait(process)


def doubt_parent(state: State, process: Process) -> None:
    """Its lineage begins with unknown."""
    if process.pid not in ROOTS:
        state.counters.unknown_parents += 1
        process.own_doubt |= doubts.UNKNOWN_PARENT | (doubts.LOSS if state.loss_seen else 0)


def parent_is_certain(process: Process) -> None:
    """Whoever is known as its parent is the one that bore it, unless the snapshot saw it below a reaper."""
    known = doubts.UNKNOWN_PARENT if process.own_doubt & doubts.SNAPSHOT else doubts.UNKNOWN_PARENT | doubts.LOSS
    process.own_doubt &= ~known


def compare_birth(state: State, child: Process, parent: Process, exec_id: int) -> bool:
    """Whether its parent has the image that it had when the child was born; remembers the child where it has not.

    The child's record counts its parent's execs: more than are known, and one was missed.
    """
    child.birth_exec_id = exec_id
    if child.birth_ns >= parent.since_ns and exec_id <= parent.exec_id:
        return True  # nearly always, and no version has to be made for it
    if exec_id <= at(parent, child.birth_ns).exec_id or _has_executed_by(state, parent, exec_id, child.birth_ns):
        return True
    child.birth_unsure = True
    if parent.alive and exec_id > parent.counted:
        parent.counted = exec_id
    births, birth_key = state.unsure_births, parent.key
    if birth_key not in births and len(births) >= state.processes.processes_max:
        return False  # it stays in doubt
    of_this = births.setdefault(birth_key, [])
    if len(of_this) < UNSURE_BIRTHS_MAX:
        of_this.append(child.key)
    return False


def _has_executed_by(state: State, parent: Process, exec_id: int, time_ns: int) -> bool:
    """A birth counts an exec of the parent that is known from later on: it was no later than that birth."""
    known = next((version for version in versions(parent) if version.exec_id == exec_id), None)
    if known is None:
        return False
    if known.since_ns > time_ns:
        values = {name: getattr(known, name) for name in PROPERTIES[IMAGE]}
        insert(state, parent, time_ns, IMAGE | BY_REPAIR, values)
    return True


def correct_births(state: State, parent: Process) -> None:
    """The image that was missed has been told: by a walk, or by an exec that a birth overtook.

    It is what those children were born of that count as many execs, and what they are themselves until they exec.
    """
    later: list[Key] = []
    from_ns = parent.since_ns
    for key in state.unsure_births.pop(parent.key, ()):
        child = state.processes.find(key)
        if child is None or not child.birth_unsure or child.birth_exec_id < parent.exec_id:
            continue
        if child.birth_exec_id > parent.exec_id:  # of a later one, which was missed as well
            later.append(key)
            continue
        _has_executed_by(state, parent, child.birth_exec_id, child.birth_ns)
        from_ns = min(from_ns, child.birth_ns)
    refold(state, parent, from_ns)  # once for all: into them, and into those born of them
    if later:
        state.unsure_births[parent.key] = later


def forget_missed_births(state: State) -> None:
    """After a walk: what it has not corrected never will be, but where another exec was missed on the way."""
    pinned = state.processes.pinned
    state.unsure_births = {
        key: children
        for key, children in state.unsure_births.items()
        if (parent := pinned.get(key)) is not None and parent.alive and parent.counted > parent.exec_id
    }


def would_close_circle(state: State, parent: Process | None, key: Key) -> bool:
    """Whether ``parent`` is the process ``key``, or below it, or below one that waits for it."""
    while parent is not None:
        if parent.key == key or parent.parent_key == key:
            return True
        parent = None if parent.waits else state.processes.find(parent.parent_key)
    return False
