"""Who is whose parent now: who would reap it. The parent that gave birth to it never changes: see ``edges``.

Rules of this file:
- ``reaper_key`` is what the last record says, whether that process is known or not. One that becomes known later gets
  the children that it bore at once, and those that it adopted with the next snapshot;
- a living process has its living children in ``children``, so that its end can hand them over. Ended ones are not in
  it: a parent of a million short-lived children has as many entries as it has living ones.
"""

from __future__ import annotations

from pipeline.tree.state import Key, Process, State

HEIRS_MAX = 64
"""Ends in a row whose reapers are followed."""


def join(state: State, child: Process) -> None:
    """``reaper_key`` is set: if it lives, be among that process's children."""
    if not child.alive:
        return
    parent = state.processes.pinned.get(child.reaper_key)
    if parent is not None and parent.alive:
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
    reaper_key = present(state, reaper_key)
    if reaper_key != child.reaper_key:
        leave(state, child)
        child.reaper_key = reaper_key
        join(state, child)


def present(state: State, reaper_key: Key) -> Key:
    """Whom a record means that names a parent: the record may be older than that one's end, which was told already."""
    for _ in range(HEIRS_MAX):
        named = state.processes.find(reaper_key)
        if named is None or named.heir is None:
            break
        reaper_key = named.heir
    return reaper_key


def hand_over(state: State, process: Process, reaper_key: Key | None) -> None:
    """It has ended: its children go to ``reaper_key``; None: nobody told to whom, so their next records will."""
    process.heir = reaper_key
    children, process.children = process.children, None
    for child in (children or {}).values():
        if reaper_key is not None:
            child.reaper_key = reaper_key
            join(state, child)
