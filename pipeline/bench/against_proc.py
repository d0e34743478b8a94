"""A tree of processes compared with /proc, process by process, on a host that does not stand still.

Rules of this file:
- equal is: the same processes alive, each with the same pid, start in clock ticks and present parent. One that waits to
  be reaped is not alive;
- what differs is looked at again, LOOKS_MAX times at most: a process that was born, ended or was adopted between the
  two answers differs in one look, a wrong tree in all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pipeline.bench.processes import TICK_NS, Key, Stat

LOOKS_MAX = 20
LOOK_EVERY_S = 0.1
NAMED_MAX = 3
MISSING, LEFT, ENDED, PARENT = "not in the tree", "not in /proc", "ended long ago", "another parent"

Told = Mapping[Key, int]
"""What the tree says: the present parent of each process that is alive, 0 for none."""
Seen = Mapping[Key, Stat]
"""What /proc says."""


class Comparison(NamedTuple):
    """``alive``: processes by /proc at the last look. ``different``: what differed in all looks, and in what way."""

    alive: int
    looks: int
    different: dict[Key, str]

    def __str__(self) -> str:
        """``another parent: 4, as pid 41, 42, 43``; empty when all is equal"""
        parts = []
        for way in sorted(set(self.different.values())):
            pids = [key.pid for key, each in sorted(self.different.items()) if each == way]
            parts.append(f"{way}: {len(pids)}, as pid {', '.join(map(str, pids[:NAMED_MAX]))}")
        return "; ".join(parts)


def differences(told: Told, seen: Seen) -> dict[Key, str]:
    """By process, in what way the tree's answer is not what /proc says."""
    different: dict[Key, str] = {}
    for key, parent in told.items():
        now = seen.get(key)
        if now is None:
            different[key] = LEFT
        elif now.ended:
            different[key] = ENDED
        elif now.parent != parent:
            different[key] = PARENT
    return different | {key: MISSING for key, now in seen.items() if not now.ended and key not in told}


def compare(tell: Callable[[], Told], see: Callable[[], Seen], wait: Callable[[], None]) -> Comparison:
    """``tell`` asks the tree, ``see`` looks into /proc, ``wait`` lets a moment pass between two looks."""
    seen: Seen = {}
    different: dict[Key, str] = {}
    for look in range(1, LOOKS_MAX + 1):
        if look > 1:
            wait()
        told, seen = tell(), see()
        now = differences(told, seen)
        different = {key: way for key, way in now.items() if look == 1 or key in different}
        if not different:
            break
    return Comparison(sum(not each.ended for each in seen.values()), look, different)


def a_moment() -> None:
    time.sleep(LOOK_EVERY_S)


def in_ticks(alive: list[tuple[int, int, int]]) -> dict[Key, int]:
    """A witness's answer: pid, start in ns, present parent."""
    return {Key(pid, start_ns // TICK_NS): parent for pid, start_ns, parent in alive}
