"""Who is whose child. A birth told by a Fork is certain; every other edge carries a doubt.

A child may be told of before its parent; then it waits, and is given its parent when that appears. Only what comes out
of order can close a circle, so only then is looked for one.
"""

from __future__ import annotations

from pipeline.tree import doubts
from pipeline.tree.reapers import hand_over, leave
from pipeline.tree.state import BORN, CLOSED, ENDED, Key, Process, State, Thread
from pipeline.tree.versions import ROOTS, moment


def keep(state: State, process: Process) -> None:
    """A new process: close who had its pid, give it the children that waited for it."""
    gone = state.processes.add(process)
    if gone is not None:
        close(state, gone)
    if process.key not in state.processes.waiting:
        return
    for child in state.processes.waiters(process):
        child.birth = moment(process)
        if child.found_running or child.phase in (BORN, ENDED):
            child.own_doubt &= ~(doubts.UNKNOWN_PARENT | doubts.LOSS)
        state.processes.adopt(child, process)
        state.epoch += 1


def close(state: State, process: Process) -> None:
    """It has ended, and nobody said so."""
    leave(state, process)
    process.phase = CLOSED
    end_threads(state, process)
    hand_over(state, process, None)
    state.processes.release(process)


def add_thread(state: State, process: Process, thread: Thread) -> None:
    if process.threads is None:
        process.threads = {}
    process.threads[thread.tid, thread.start_ns] = None
    gone = state.threads.add(thread)
    if gone is not None:
        owner = state.processes.pinned[gone.process]  # alive: its threads would have ended with it
        assert owner.threads is not None
        del owner.threads[(gone.tid, gone.start_ns)]


def end_threads(state: State, process: Process) -> None:
    """All but the leader."""
    for thread_key in process.threads or ():
        state.threads.remove(thread_key)
    process.threads = None


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


def would_close_circle(state: State, parent: Process | None, key: Key) -> bool:
    """Whether ``parent`` is the process ``key``, or below it, or below one that waits for it."""
    while parent is not None:
        if parent.key == key or parent.parent_key == key:
            return True
        parent = None if parent.waits else state.processes.find(parent.parent_key)
    return False
