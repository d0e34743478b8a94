"""Threads beside group leaders: what each was called, whose rights it had, from when to when.

Rules of this file:
- A thread is known by (tid, start). Its leader is the process itself.
- What is told of it goes where its time says: the same is known of it in whatever order that comes. Whatever is told of
  a thread first makes it, be it its beginning or not.
- What it was not told of its own it has from the thread that made it, as that was then (see ``thread_rights``).
- At most ``versions_max`` changes a thread, and where all together are more than ``SHARE`` times ``threads_max``, no
  more than that of those which change most; the first and the present one stay, and the next one counts what is missing
  before it (``dropped``).
- Over ``threads_max`` the ended go, longest unused first; with its process go all of one. What lives stays: where that
  alone is more, ``threads_over_bound`` counts, and of what a thread was only the first and the present is kept.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

from pipeline.counters import Counters
from pipeline.events import Credentials, Namespaces
from pipeline.process import entity_id
from pipeline.tree.known.retention import fair

if TYPE_CHECKING:
    from pipeline.tree.known.state import Boot, Key, Process

CHANGES_MIN = 2
"""The first and the present."""

SHARE = 4
"""Changes of a thread that nobody else's can take the room of: 100 MiB for 32768 threads, twice that at most."""

WHAT = (1 << 16) - 1
"""Bits of ``told`` that say what was told; those above say how."""


MORE_SPACES = 128
"""The bit of history: not of mounts, network and cgroups alone."""

OF_PROCESS = 1 << 20
"""It has been told of the process as well, whose leader had ended: see ``changes.thread_groups``."""


class ThreadChange(NamedTuple):
    since_ns: int
    told: int  # bits of history: what, and how that was learnt
    name: str
    credentials: Credentials | None = None  # None: not told
    groups_cut: bool = False
    dropped: int = 0  # changes just before this one that are not known any more
    namespaces: Namespaces | None = None
    """None: not told. They are no answer, but its process's once the leader has ended. ``told`` says whether whole."""


class Thread:
    __slots__ = (
        "birth_ns",
        "birth_tid",
        "changes",
        "end_by_exec_ns",
        "end_name",
        "end_ns",
        "entity_id",
        "key",
        "missed_ns",
        "ns_tid",
        "process",
        "seen_ns",
        "start_ns",
        "tid",
        "told_end_ns",
    )

    def __init__(self, boot: Boot, process: Key, key: Key, ns_tid: int) -> None:
        self.key = key
        self.tid, self.start_ns = key
        self.process = process
        self.entity_id = entity_id(boot.id, boot.pid_ns, *key)
        self.ns_tid = ns_tid
        self.birth_tid = 0  # not told, it ran already
        self.birth_ns = 0  # when the record of its beginning was made
        self.changes: list[ThreadChange] = []  # oldest first; a change of rights or namespaces has its name too
        self.seen_ns = self.start_ns  # it lived then: a record of it was made
        self.end_ns: int | None = None  # by all that is known: see ``thread_groups.settle``
        self.told_end_ns: int | None = None  # by the kernel
        self.end_by_exec_ns: int | None = None  # an exec of its process that came after it; its version may be dropped
        self.end_name: str | None = None  # what it was called then
        self.missed_ns: int | None = None  # a walk that began then has not found it

    def __repr__(self) -> str:
        """``<Thread 902@5000 worker of 900>``"""
        return f"<Thread {self.tid}@{self.start_ns} {self.name} of {self.process[0]}>"

    @property
    def name(self) -> str:
        return self.changes[-1].name if self.changes else self.end_name or ""

    @property
    def credentials(self) -> Credentials | None:
        """None: none of its own were told."""
        return next((change.credentials for change in reversed(self.changes) if change.credentials is not None), None)

    def tell(self, change: ThreadChange, changes_max: int) -> int:
        """Where its time says. Returns how many had to go for it."""
        changes = self.changes
        changes.insert(bisect_right(changes, change.since_ns, key=_since), change)
        gone = 0
        while len(changes) > max(changes_max, CHANGES_MIN):
            changes[1:3] = [_merged(changes[1], changes[2])]
            gone += 1
        return gone

    def mark(self, change: ThreadChange, *, of_process: bool) -> None:
        """Whether a change of its own has been told of its process as well."""
        for place in range(bisect_left(self.changes, change.since_ns, key=_since), len(self.changes)):
            if self.changes[place] is change:
                told = change.told | OF_PROCESS if of_process else change.told & ~OF_PROCESS
                self.changes[place] = change._replace(told=told)
                return

    def tell_found(self, change: ThreadChange, changes_max: int) -> int:
        """By a walk. Of those that found nothing new, one after the other, the first and the last are enough."""
        gone = self.tell(change, changes_max)
        changes = self.changes
        place = bisect_right(changes, change.since_ns, key=_since) - 1
        if place >= CHANGES_MIN and changes[place][1:] == changes[place - 1][1:] == changes[place - 2][1:]:
            del changes[place - 1]
        return gone


def _since(change: ThreadChange) -> int:
    return change.since_ns


def _merged(gone: ThreadChange, after: ThreadChange) -> ThreadChange:
    """What the one that goes has told, and the next has not, is told by that."""
    own = after.told
    after = after._replace(told=own | gone.told & WHAT, dropped=after.dropped + gone.dropped + 1)
    if after.credentials is None:
        after = after._replace(credentials=gone.credentials, groups_cut=gone.groups_cut)
    if after.namespaces is None:
        after = after._replace(namespaces=gone.namespaces)
    elif gone.namespaces is not None and gone.told & MORE_SPACES and not own & MORE_SPACES:
        after = after._replace(namespaces=Namespaces(*after.namespaces[:3], *gone.namespaces[3:]))
    return after


class GoneThread(NamedTuple):
    """What is left of an evicted thread."""

    tid: int
    start_ns: int
    end_ns: int
    process: Key


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
        self.changes = 0  # of all of them
        self.evicted: OrderedDict[str, GoneThread] = OrderedDict()  # by entity id, threads_max of them

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

    def tell(self, thread: Thread, change: ThreadChange, changes_max: int, *, found: bool = False) -> None:
        """It was called that, or had those rights, from then on. ``found``: by a walk."""
        is_over_bound = len(self.living) > self.threads_max
        bound = CHANGES_MIN if is_over_bound else fair(changes_max, SHARE, self.changes, self.threads_max)
        tell = thread.tell_found if found else thread.tell
        before = len(thread.changes)
        self.counters.versions_dropped += tell(change, bound)
        self.changes += len(thread.changes) - before

    def end(self, thread: Thread, time_ns: int | None) -> None:
        """None: it lives, after all."""
        if thread.end_ns is None and time_ns is not None:
            del self.living[thread.key]
            self.ended[thread.key] = thread
        elif thread.end_ns is not None and time_ns is None:
            del self.ended[thread.key]
            self.living[thread.key] = thread
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
        self.changes -= len(thread.changes)
        end_ns = thread.seen_ns if thread.end_ns is None else thread.end_ns
        self.evicted[thread.entity_id] = GoneThread(thread.tid, thread.start_ns, end_ns, thread.process)
        if len(self.evicted) > self.threads_max:
            self.evicted.popitem(last=False)

    def forget(self, process: Process) -> None:
        """Their process is not known any more."""
        for thread in (process.threads or {}).values():
            self.living.pop(thread.key, None)
            self.ended.pop(thread.key, None)
            self._forget(thread)
        process.threads = None
