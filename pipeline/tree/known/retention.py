"""Which processes stay known. Nothing here looks at what a process is, only at why it is kept.

Rules of this file:
- A process is pinned while it lives, and while a child of it is pinned: so nothing alive and no ancestor of something
  alive is ever evicted. Pins are counted, one by itself and one by each pinned child, so that no process needs a set of
  its children: one parent with a million short-lived children costs nothing.
- What is not pinned waits its turn in order of last access, and goes when more than ``processes_max`` are known.
  If the pinned alone are more, all are kept and ``over_bound`` counts.
- A late child of an ended process pins it again, and all above it that are still there, up to the first that has gone.
- An evicted process leaves its identity, its end and its parent behind, ``evicted_max`` of them in order of eviction:
  "not known any more" and "never told of" are different answers. A child keeps the ancestors it was born with: values.
  Of who goes from there as well a number is left with its parent (``beyond``): so many more it has had.
- A child may be told of before its parent. It waits under its parent's identity and is handed over when that appears.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from cachetools import Cache, LRUCache

from pipeline.counters import Counters

if TYPE_CHECKING:
    from pipeline.tree.known.state import Key, Process


EVICTED_MIN = 8_192
"""Identities that are remembered at least, also where fewer processes are: about 4 MiB."""


class Gone(NamedTuple):
    """What is left of an evicted process."""

    entity_id: str
    end_ns: int
    parent_key: Key


class Beyond(NamedTuple):
    """Of one that is known, or remembered as evicted: whom it has had below it that is not even remembered."""

    children: int
    descendants: int
    first_ns: int  # start of the first of them


def fair(most: int, share: int, together: int, holders_max: int) -> int:
    """How much one may hold: ``most``, but where all together hold more than ``share`` each, no more than that."""
    return min(share, most) if together > share * holders_max else most


class Retention:
    """Processes by identity."""

    def __init__(self, processes_max: int, texts_max_bytes: int, counters: Counters) -> None:
        self.processes_max = processes_max
        self.texts_max_bytes = texts_max_bytes
        self.evicted_max = max(processes_max, EVICTED_MIN)
        self.counters = counters
        self.clear()

    def clear(self) -> None:
        self.pinned: dict[Key, Process] = {}
        # Never full of itself: the bound is on both together, and trim() keeps it.
        self.idle: LRUCache[Key, Process] = LRUCache(math.inf)
        self.evicted: OrderedDict[Key, Gone] = OrderedDict()
        self.beyond: dict[Key, Beyond] = {}
        self.waiting: dict[Key, dict[Key, Process]] = {}  # parent nobody has told of -> its children
        self.by_pid: dict[int, Process] = {}  # the youngest known
        self.sharing_pids: dict[int, dict[Key, Process]] = {}  # all known, of a pid that several have had
        self.by_id: dict[str, Process] = {}
        self.evicted_ids: set[str] = set()
        self.known = 0  # pinned and idle
        self.past_versions = 0  # of all of them: see history
        self.text_bytes = 0  # likewise: see texts
        self.artifacts = 0  # likewise

    def __len__(self) -> int:
        return self.known

    @property
    def is_over_bound(self) -> bool:
        """More is kept for good than there is room for: no more detail than is needed."""
        return len(self.pinned) > self.processes_max

    def __iter__(self) -> Iterator[Process]:
        """In the order in which they became known. Counts as no access, which to go through ``idle`` would."""
        return iter(self.by_id.values())

    def find(self, key: Key) -> Process | None:
        """The process, or None. Counts as access."""
        found = self.pinned.get(key)
        if found is None and key in self.idle:
            return self.idle[key]  # which makes it the last used
        return found

    def add(self, process: Process) -> Process | None:
        """Keep a new living process. Returns one that this shows to be gone: another alive under the same pid."""
        process.pins = 1
        self.pinned[process.key] = process
        self.by_id[process.entity_id] = process
        self.known += 1
        if len(self.pinned) > self.processes_max:
            self.counters.over_bound += 1
        youngest = self.by_pid.get(process.pid)
        if youngest is None:
            self.by_pid[process.pid] = process
            return None
        self.sharing_pids.setdefault(process.pid, {youngest.key: youngest})[process.key] = process
        older = process
        if youngest.start_ns <= process.start_ns:
            self.by_pid[process.pid] = process
            older = youngest
        return older if older.alive else None

    def adopt(self, child: Process, parent: Process) -> None:
        """The child's parent is known from now on; ``child.parent_key`` names it."""
        if parent.offspring is None:
            parent.offspring = {}
        parent.offspring[child.key] = child
        if child.birth_ns > parent.youngest_ns:
            parent.youngest_ns = child.birth_ns
        if child.pins:
            child.holds_parent = True
            self._pin(parent)

    def abandon(self, child: Process) -> None:
        """The child's ``parent_key`` is about to change."""
        self._stop_waiting(child)
        self._leave_family(child)
        if child.holds_parent:
            child.holds_parent = False
            self.release(self.pinned[child.parent_key])

    def release(self, process: Process) -> None:
        """One reason less to keep it. Without any, it may go, and is one reason less for its parent."""
        process.pins -= 1
        while process.pins == 0:
            del self.pinned[process.key]
            self.idle[process.key] = process
            if not process.holds_parent:
                break
            process.holds_parent = False
            process = self.pinned[process.parent_key]
            process.pins -= 1

    def _pin(self, process: Process) -> None:
        process.pins += 1
        while process.pins == 1:
            del self.idle[process.key]
            self.pinned[process.key] = process
            parent = self.pinned.get(process.parent_key) or self.idle.get(process.parent_key)
            if parent is None:
                break
            process.holds_parent = True
            parent.pins += 1
            process = parent

    def _leave_family(self, child: Process) -> None:
        """Without counting as access to its parent."""
        parent = self.peek(child.parent_key)
        if parent is not None and parent.offspring is not None:
            parent.offspring.pop(child.key, None)
            if not parent.offspring:
                parent.offspring = None

    def _leave_pid(self, process: Process) -> None:
        pid = process.pid
        others = self.sharing_pids.get(pid)
        if others is not None:
            del others[process.key]
            if len(others) == 1:
                del self.sharing_pids[pid]
            if self.by_pid[pid] is process:
                self.by_pid[pid] = max(others.values(), key=lambda other: other.start_ns)
        elif self.by_pid.get(pid) is process:
            del self.by_pid[pid]

    def peek(self, key: Key) -> Process | None:
        """The process, or None. Does not count as access."""
        found = self.pinned.get(key)
        if found is None and key in self.idle:
            return Cache.__getitem__(self.idle, key)
        return found

    def with_pid(self, pid: int) -> list[Process]:
        """All known that have or had it, youngest first."""
        others = self.sharing_pids.get(pid)
        if others is not None:
            return sorted(others.values(), key=lambda process: -process.start_ns)
        only = self.by_pid.get(pid)
        return [] if only is None else [only]

    def wait(self, child: Process) -> None:
        """Until ``child.parent_key`` is told of."""
        child.waits = True
        self.waiting.setdefault(child.parent_key, {})[child.key] = child

    def waiters(self, parent: Process) -> tuple[Process, ...]:
        """Children that were told of before their parent, in the order they came; they wait no more."""
        children = self.waiting.pop(parent.key, None)
        if children is None:
            return ()
        for child in children.values():
            child.waits = False
        return tuple(children.values())

    def _stop_waiting(self, child: Process) -> None:
        if child.waits:
            child.waits = False
            siblings = self.waiting[child.parent_key]
            del siblings[child.key]
            if not siblings:
                del self.waiting[child.parent_key]

    def trim(self) -> list[Process]:
        """Evict what is idle, longest unused first, down to the bound. Between steps, so that none loses its own.

        Returns those of them that had threads.
        """
        had_threads: list[Process] = []
        while self.known > self.processes_max and self.idle:
            key, process = self.idle.popitem()
            self._stop_waiting(process)
            self._leave_family(process)
            self._leave_pid(process)
            del self.by_id[process.entity_id]
            end_ns = process.latest_ns if process.end_ns is None else process.end_ns
            self.evicted[key] = Gone(process.entity_id, end_ns, process.parent_key)
            self.evicted_ids.add(process.entity_id)
            if len(self.evicted) > self.evicted_max:
                self._remember_less()
            self.counters.processes_evicted += 1
            self.known -= 1
            self.past_versions -= len(process.past or ())
            self.text_bytes -= process.text_bytes
            if process.artifacts is not None:
                self.artifacts -= len(process.artifacts.noted)
            if process.threads is not None:
                had_threads.append(process)
        return had_threads

    def _remember_less(self) -> None:
        """Of the longest evicted nothing stays but a number."""
        key, gone = self.evicted.popitem(last=False)
        self.evicted_ids.remove(gone.entity_id)
        own, parent_key = self.beyond.pop(key, None), gone.parent_key
        if parent_key in self.pinned or parent_key in self.idle or parent_key in self.evicted:
            children, descendants, first_ns = self.beyond.get(parent_key, (0, 0, key[1]))
            below = 0 if own is None else own.descendants
            self.beyond[parent_key] = Beyond(children + 1, descendants + 1 + below, min(first_ns, key[1]))
