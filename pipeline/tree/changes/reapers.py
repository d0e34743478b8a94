"""Who is whose parent now: who would reap it. The parent that gave birth to it never changes: see ``edges``.

Rules of this file:
- ``reaper_key`` is what the last record says, whether that process is known or not. One that becomes known later gets
  at once whom it bore and whom it had adopted;
- a living process has its living children in ``children``, so that its end can hand them over; so has one that was
  closed, since its end may still be told. Ended ones are not in it: a parent of a million short-lived children has as
  many entries as it has living ones;
- an end is told before the kernel gives the children away: who is named as a parent and has ended stands for whom its
  own end named, ``heir``.
"""

from __future__ import annotations

from pipeline.tree.changes.folding import HEIRS_MAX, insert, present, refold
from pipeline.tree.known.history import PARENT, at, change, versions
from pipeline.tree.known.state import CLOSED, UNSURE, Key, Process, State


def join(state: State, child: Process) -> None:
    """``reaper_key`` is set: if it lives, be among that process's children, or its heir's."""
    if not child.alive:
        return
    if child.below is not None:
        leave(state, child)
    find = state.processes.find
    parent = find(child.reaper_key)
    if parent is None or not _may_hand_over(parent):
        if parent is not None and parent.heir is not None:
            state.handed_over.append(child)
        named = present(state, child.reaper_key)
        parent = find(named)
        if parent is None:
            if named in state.with_unknown_reaper or len(state.with_unknown_reaper) < state.processes.processes_max:
                state.with_unknown_reaper.setdefault(named, {})[child.key] = None
                child.below = named
            else:
                state.counters.unknown_reapers_dropped += 1
    if parent is not None and _may_hand_over(parent):
        if parent.children is None:
            parent.children = {}
        parent.children[child.key] = child
        child.below = parent.key


def join_all(state: State, reaper: Process) -> None:
    """It has become known: whoever it has adopted before that is among its children."""
    for key in state.with_unknown_reaper.pop(reaper.key, ()):
        child = state.processes.find(key)
        if child is None:
            continue
        child.below = None
        if present(state, child.reaper_key) == reaper.key:
            reaper.has_adopted = True
            join(state, child)


def _may_hand_over(parent: Process) -> bool:
    return parent.alive or parent.phase == CLOSED


def leave(state: State, child: Process) -> None:
    """It has ended, or is about to get another parent."""
    key, child.below = child.below, None  # not reaper_key: a fact that came late may have changed that
    if key is None:
        return
    parent = state.processes.find(key)
    if parent is None:
        below = state.with_unknown_reaper.get(key)
        if below is not None:
            below.pop(child.key, None)
            if not below:
                del state.with_unknown_reaper[key]
    elif parent.children is not None:
        parent.children.pop(child.key, None)
        if not parent.children:
            parent.children = None


def adopt(state: State, child: Process, reaper_key: Key) -> None:
    """Another parent from now on."""
    leave(state, child)
    child.reaper_key = reaper_key
    adopter = state.processes.find(reaper_key)
    if adopter is not None:
        adopter.has_adopted = True
    join(state, child)


def hand_over(state: State, process: Process, reaper_key: Key | None) -> None:
    """Its end was told: its children go to ``reaper_key``; None: nobody knows to whom, their next records will say.

    Until then what is known of them is not sure.
    """
    process.heir = reaper_key
    children, process.children = process.children, None
    for child in (children or {}).values():
        child.below = None
        if reaper_key is None:
            child.sure_of = UNSURE
        else:
            give(state, child, reaper_key, process.end_ns or 0)
            join(state, child)
    if reaper_key is not None and process.end_ns is not None:
        _give_those_who_went_on(state, process, reaper_key, process.end_ns)


def _give_those_who_went_on(state: State, process: Process, reaper_key: Key, end_ns: int) -> None:
    """Children of whom a later record than this end was told, or their own end: that names who adopted them, but not
    since when."""
    if state.newest_ns <= end_ns:
        return  # nearly always
    family = state.processes if process.has_adopted else (process.offspring or {}).values()
    for child in list(family):
        went_on = end_ns > child.start_ns and (child.end_ns is None or child.end_ns > end_ns)
        if went_on and at(child, end_ns).reaper_key == process.key:
            insert(state, child, end_ns, PARENT, {"reaper_key": reaper_key})


def give(state: State, child: Process, reaper_key: Key, time_ns: int) -> None:
    """Its parent has ended then, and that one adopted it."""
    adopter = state.processes.find(reaper_key)
    if adopter is not None:
        adopter.has_adopted = True
    if time_ns > child.youngest_ns and time_ns >= child.since_ns:  # else others were born of it, or judged by it, since
        change(state, child, time_ns, PARENT)
        child.reaper_key = reaper_key
    else:
        insert(state, child, time_ns, PARENT, {"reaper_key": reaper_key})


def follow(state: State, child: Process) -> None:
    """A parent that a record named had ended when that was made known here: the child has whoever adopted it."""
    named = child.reaper_key
    child.reaper_key = present(state, named, child.since_ns)  # an end is told before children are given away
    if child.reaper_key != named and child.session.id == child.pid:
        refold(state, child, child.since_ns)  # whether it is an entry leader hangs on that
    for _ in range(HEIRS_MAX):
        found = _handed_over(state, child)
        if found is None:
            return
        give(state, child, *found)


def _handed_over(state: State, child: Process) -> tuple[Key, int] | None:
    """To whom, and when, by an end that lies within one of its versions."""
    known = versions(child)
    for place, version in enumerate(known):
        parent = state.processes.find(version.reaper_key)
        if parent is None:
            continue
        parent.has_adopted = parent.has_adopted or parent.key != child.parent_key
        if parent.heir is None or parent.end_ns is None:
            continue
        until_ns = known[place + 1].since_ns if place + 1 < len(known) else child.end_ns
        if version.since_ns < parent.end_ns and (until_ns is None or parent.end_ns < until_ns):
            return parent.heir, parent.end_ns
    return None
