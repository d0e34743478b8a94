"""When a process's group leader lived. It may end, and its process go on, until another thread executes something."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from pipeline.tree.known.history import BIRTH, IMAGE, versions
from pipeline.tree.known.state import Process


def leader_end(process: Process, time_ns: int | None = None) -> int | None:
    """When its leader ended, where that was so at that moment and others went on. None: it lived, or nobody did."""
    ends = process.leader_ends
    if not ends:
        return None
    return end_before(ends, takeovers(process), time_ns)


def end_before(ends: Sequence[int], taken_over: Sequence[int], time_ns: int | None) -> int | None:
    """The leader's last end until then, unless somebody has taken over since. None as time: now."""
    place = len(ends) if time_ns is None else bisect_right(ends, time_ns)
    if place == 0:
        return None
    end_ns = ends[place - 1]
    after = bisect_left(taken_over, end_ns)
    is_over = after < len(taken_over) and (time_ns is None or taken_over[after] <= time_ns)
    return None if is_over else end_ns


def takeovers(process: Process) -> list[int]:
    """When it executed something: whoever called that was the leader from then on.

    Of those whose versions were dropped, the first after each end of its leader.
    """
    known = versions(process)
    execs = [one.since_ns for one in known if one.told & IMAGE and not one.told & BIRTH]
    if process.taken_over:
        there = {one.since_ns for one in known}
        execs = sorted((*execs, *(time_ns for time_ns in process.taken_over if time_ns not in there)))
    return execs


def remember_takeovers(process: Process, time_ns: int | None = None) -> None:
    """After an exec, then, or after an end of its leader has become known: its versions may be dropped."""
    execs = takeovers(process)
    if time_ns is not None:
        insort(execs, time_ns)
    places = (bisect_left(execs, end_ns) for end_ns in process.leader_ends)
    process.taken_over = tuple(sorted({execs[place] for place in places if place < len(execs)}))
