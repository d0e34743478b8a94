"""Whose rights a thread had, of its own or from whoever made it.

Rules of this file:
- What was told of its own counts. Where nobody has told that yet, it has those of the thread that made it, as they were
  when it did: fork copies them. Where nobody has told which one did, or that one is not known any more, its process's,
  as they were then.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.events import Credentials
from pipeline.tree.known import history
from pipeline.tree.known.state import Key, Process
from pipeline.tree.known.threads import Thread

RIGHTS = history.IDS | history.GROUPS


class Held(NamedTuple):
    credentials: Credentials
    unsure: int  # bits of history: of these nobody knows whether it had them


class Rights:
    """Of the threads of one process, for as long as a question takes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._by_tid: dict[int, list[Thread]] | None = None
        self._at_birth: dict[Key, Held] = {}

    def of(self, tid: int, time_ns: int) -> Held | None:
        """Of the one beside the leader that had that tid then. None: nobody has told of it."""
        found = self._with_tid(tid, time_ns)
        if found is None:
            return None
        told = _told_by(found, time_ns)
        return self.at_birth(found) if told is None else Held(told, 0)

    def at_birth(self, found: Thread) -> Held:
        """Of who made it, then. Not by recursion: threads may have made one another, one after the other."""
        below: list[Key] = []
        known: Held | None = None
        while known is None:
            known = self._at_birth.get(found.key)
            if known is not None:
                break
            below.append(found.key)
            born_ns = found.birth_ns or found.start_ns
            by_leader = found.birth_tid in (0, self._process.pid)
            maker = None if by_leader else self._with_tid(found.birth_tid, born_ns, before_ns=found.start_ns)
            if maker is None:
                held = history.as_at(self._process, born_ns).credentials
                known = Held(held, history.unsure_at(self._process, born_ns) & RIGHTS)
            else:
                told = _told_by(maker, born_ns)
                known = None if told is None else Held(told, 0)
                found = maker
        for key in below:
            self._at_birth[key] = known
        return known

    def _with_tid(self, tid: int, time_ns: int, *, before_ns: int | None = None) -> Thread | None:
        """Who had it then. ``before_ns``: it has begun before that."""
        if self._by_tid is None:
            self._by_tid = {}
            for one in (self._process.threads or {}).values():
                self._by_tid.setdefault(one.tid, []).append(one)
        began_ns = time_ns + 1 if before_ns is None else before_ns
        for one in self._by_tid.get(tid, ()):
            if one.start_ns < began_ns and (one.end_ns is None or one.end_ns >= time_ns):
                return one
        return None


def _told_by(found: Thread, time_ns: int) -> Credentials | None:
    """Its own rights then; None: nobody has told of any by then."""
    told = (one.credentials for one in reversed(found.changes) if one.since_ns <= time_ns and one.credentials)
    return next(told, None)
