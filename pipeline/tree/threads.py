"""Threads beside group leaders: what each was called, whose rights it had, from when to when.

Rules of this file:
- A thread is known by (tid, start). Its leader is the process itself.
- It ends when that is told; or with the next exec of its process, or with its end, whatever comes first.
- What it was not told of its own it has from its process.
- Over ``threads_max`` the ended go, longest unused first; with its process go all of one. What lives stays: where that
  alone is more, ``threads_over_bound`` counts and what a thread was before its last change is not kept.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from pipeline.counters import Counters
from pipeline.process import Credentials, entity_id

if TYPE_CHECKING:
    from pipeline.tree.state import Boot, Key, Process


class ThreadChange(NamedTuple):
    since_ns: int
    name: str | None  # None: not told
    credentials: Credentials | None  # likewise


class Thread:
    __slots__ = (
        "birth_tid",
        "changes",
        "dropped",
        "end_ns",
        "entity_id",
        "key",
        "ns_tid",
        "process",
        "seen_ns",
        "start_ns",
        "tid",
    )

    def __init__(self, boot: Boot, process: Key, key: Key, ns_tid: int, birth_tid: int, seen_ns: int) -> None:
        self.key = key
        self.tid, self.start_ns = key
        self.process = process
        self.entity_id = entity_id(boot.id, boot.pid_ns, *key)
        self.ns_tid = ns_tid
        self.birth_tid = birth_tid  # 0: not told, it ran already
        self.changes: list[ThreadChange] = []  # oldest first
        self.dropped = 0  # of them, not known any more
        self.seen_ns = seen_ns  # it lived then: the record of its beginning, or of its being found, was made
        self.end_ns: int | None = None

    def __repr__(self) -> str:
        """``<Thread 902@5000 worker of 900>``"""
        return f"<Thread {self.tid}@{self.start_ns} {self.name} of {self.process[0]}>"

    @property
    def name(self) -> str:
        return next((change.name for change in reversed(self.changes) if change.name is not None), "")

    @property
    def credentials(self) -> Credentials | None:
        """None: those of its process."""
        return next((change.credentials for change in reversed(self.changes) if change.credentials is not None), None)

    def tell(self, change: ThreadChange, changes_max: int) -> int:
        """Where its time says. Returns how many had to go for it."""
        self.changes.insert(bisect_right(self.changes, change.since_ns, key=_since), change)
        gone = max(len(self.changes) - changes_max, 0)
        if gone:
            del self.changes[1 : 1 + gone]  # the first says what it began as
            self.dropped += gone
        return gone

    def at(self, time_ns: int) -> tuple[str, Credentials | None, int, int | None]:
        """Name and credentials then, since when, and until when; before what is known, as it was first."""
        index = max(bisect_right(self.changes, time_ns, key=_since), 1)
        until = self.changes[:index]
        name = next((change.name for change in reversed(until) if change.name is not None), "")
        who = next((change.credentials for change in reversed(until) if change.credentials is not None), None)
        after = self.changes[index].since_ns if index < len(self.changes) else self.end_ns
        return name, who, until[-1].since_ns if until else self.start_ns, after


def _since(change: ThreadChange) -> int:
    return change.since_ns


class Threads:
    """By identity."""

    def __init__(self, threads_max: int, counters: Counters) -> None:
        self.threads_max = threads_max
        self.counters = counters
        self.clear()

    def clear(self) -> None:
        self.living: dict[Key, Thread] = {}
        self.ended: LRUCache[Key, Thread] = LRUCache(math.inf)  # the bound is on both together
        self.by_id: dict[str, Thread] = {}
        self.evicted_ids: OrderedDict[str, None] = OrderedDict()  # threads_max of them

    def __len__(self) -> int:
        return len(self.by_id)

    def get(self, key: Key) -> Thread | None:
        """The thread, or None. Counts as access."""
        found = self.living.get(key)
        return self.ended[key] if found is None and key in self.ended else found

    def with_id(self, entity_id: str) -> Thread | None:
        """Likewise."""
        found = self.by_id.get(entity_id)
        return None if found is None else self.get(found.key)

    def add(self, thread: Thread, process: Process) -> None:
        if process.threads is None:
            process.threads = {}
        process.threads[thread.key] = thread
        self.by_id[thread.entity_id] = thread
        self.living[thread.key] = thread
        self.counters.threads_over_bound += len(self.living) > self.threads_max

    def tell(self, thread: Thread, change: ThreadChange, changes_max: int) -> None:
        """It has another name, or other rights."""
        bound = 1 if len(self.living) > self.threads_max else changes_max
        self.counters.versions_dropped += thread.tell(change, bound)

    def end(self, thread: Thread, time_ns: int) -> None:
        """The earliest end that is told counts."""
        if thread.end_ns is None:
            del self.living[thread.key]
            self.ended[thread.key] = thread
        elif thread.end_ns <= time_ns:
            return
        thread.end_ns = time_ns

    def trim(self) -> list[Thread]:
        """Whoever had to go for want of room."""
        gone: list[Thread] = []
        while len(self.by_id) > self.threads_max and self.ended:
            _, thread = self.ended.popitem()
            self._forget(thread)
            self.counters.threads_evicted += 1
            gone.append(thread)
        return gone

    def _forget(self, thread: Thread) -> None:
        del self.by_id[thread.entity_id]
        self.evicted_ids[thread.entity_id] = None
        if len(self.evicted_ids) > self.threads_max:
            self.evicted_ids.popitem(last=False)

    def forget(self, process: Process) -> None:
        """Their process is not known any more."""
        for thread in (process.threads or {}).values():
            self.living.pop(thread.key, None)
            self.ended.pop(thread.key, None)
            self._forget(thread)
        process.threads = None
