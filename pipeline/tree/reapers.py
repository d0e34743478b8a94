"""Who is whose parent now: who would reap it. The parent that gave birth to it never changes: see ``edges``.

Rules of this file:
- ``reaper_key`` is what the last record says, whether that process is known or not;
- a living process has its living children in ``children``, so that its end can hand them over; so has one that was
  closed, since its end may still be told. Ended ones are not in it: a parent of a million short-lived children has as
  many entries as it has living ones;
- the kernel tells of an end before it gives the children away: what a record of that moment says is a child's parent
  has ended already, and its ``heir_key`` is the answer.
"""

from __future__ import annotations

from pipeline.tree.state import CLOSED, Key, Process, State

HEIRS_MAX = 8
"""Ended reapers, one the heir of the other, that are looked at: a record is older than the ends by microseconds."""


def join(state: State, child: Process) -> None:
    """``reaper_key`` is set: be among that process's children."""
    parent = state.processes.pinned.get(child.reaper_key)
    if parent is not None and (parent.alive or parent.phase == CLOSED):
        if parent.children is None:
            parent.children = {}
        parent.children[child.key] = child


def leave(state: State, child: Process) -> None:
    """It has ended, or is about to get another parent."""
    parent = state.processes.pinned.get(child.reaper_key)
    if parent is not None and parent.children is not None:
        parent.children.pop(child.key, None)
        if not parent.children:
            parent.children = None


def adopt(state: State, child: Process, reaper_key: Key) -> None:
    """Another parent from now on."""
    leave(state, child)
    child.reaper_key = _living(state, reaper_key)
    if child.alive:
        join(state, child)


def _living(state: State, key: Key) -> Key:
    """The process, or who has inherited its children."""
    for _ in range(HEIRS_MAX):
        process = state.processes.find(key)
        if process is None or process.heir_key is None:
            break
        key = process.heir_key
    return key


def hand_over(state: State, process: Process, reaper_key: Key | None) -> None:
    """It has ended: its children go to ``reaper_key``; None: nobody told to whom, so its end or their records will."""
    if reaper_key is None:
        return
    process.heir_key = reaper_key
    children, process.children = process.children, None
    for child in (children or {}).values():
        if child.alive and child.reaper_key == process.key:
            child.reaper_key = reaper_key
            join(state, child)
