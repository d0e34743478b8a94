"""Who is whose parent now: who would reap it. The parent that gave birth to it never changes: see ``edges``.

Rules of this file:
- ``reaper_key`` is what the last record says, whether that process is known or not. One that becomes known later gets
  the children that it bore at once, and those that it adopted with the next snapshot;
- a living process has its living children in ``children``, so that its end can hand them over; so has one that was
  closed, since its end may still be told. Ended ones are not in it: a parent of a million short-lived children has as
  many entries as it has living ones;
- an end is told before the kernel gives the children away: who is named as a parent and has ended stands for whom its
  own end named, ``heir``.
"""

from __future__ import annotations

from pipeline.tree.state import CLOSED, UNSURE, Key, Process, State

HEIRS_MAX = 64
"""Ends, one after the other, that are followed to a process that lives."""


def join(state: State, child: Process) -> None:
    """``reaper_key`` is set: if it lives, be among that process's children, or its heir's."""
    if not child.alive:
        return
    find = state.processes.find
    parent = find(child.reaper_key)
    if parent is None or not _may_hand_over(parent):
        child.reaper_key = present(state, child.reaper_key)
        parent = find(child.reaper_key)
    if parent is not None and _may_hand_over(parent):
        if parent.children is None:
            parent.children = {}
        parent.children[child.key] = child


def _may_hand_over(parent: Process) -> bool:
    return parent.alive or parent.phase == CLOSED


def leave(state: State, child: Process) -> None:
    """It has ended, or is about to get another parent."""
    parent = state.processes.find(child.reaper_key)
    if parent is not None and parent.children is not None:
        parent.children.pop(child.key, None)
        if not parent.children:
            parent.children = None


def adopt(state: State, child: Process, reaper_key: Key) -> None:
    """Another parent from now on."""
    leave(state, child)
    child.reaper_key = present(state, reaper_key)
    join(state, child)


def hand_over(state: State, process: Process, reaper_key: Key | None) -> None:
    """Its end was told: its children go to ``reaper_key``; None: nobody knows to whom, their next records will say.

    Until then what is known of them is not sure.
    """
    process.heir = reaper_key
    children, process.children = process.children, None
    for child in (children or {}).values():
        if reaper_key is None:
            child.sure_of = UNSURE
        else:
            child.reaper_key = reaper_key
            join(state, child)


def present(state: State, key: Key) -> Key:
    """Whom a record means that names a parent: it may be older than that one's end, which was told already."""
    for _ in range(HEIRS_MAX):
        process = state.processes.find(key)
        if process is None or process.heir is None:
            break
        key = process.heir
    return key
