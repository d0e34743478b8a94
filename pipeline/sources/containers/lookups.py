"""Asks the runtime about containers as they turn up, in a task of its own; the answers wait until they are taken.

Rules of this file:
- ``want`` and ``take`` wait for nothing: they are called between two batches of kernel records;
- each container is asked for until there is an answer or ``tries_max`` tries are over, then never again while it is
  remembered. "Not known" is such a try too: a runtime may list a container a moment after its first process;
- a runtime that is away uses up no tries: all wait, and it is asked at a pause that doubles up to ``retry_max_s``;
- one question at a time, each with a time-out, and only for ids that a runtime makes. A path cannot smuggle another
  question in, since a cgroup may have any name;
- whatever ends ends in one counter: described, unknown or dropped.
"""

from __future__ import annotations

import heapq
import itertools
import re
from typing import NamedTuple

import anyio
from cachetools import LRUCache

from pipeline.counters import Counters
from pipeline.errors import ContainerRuntimeError
from pipeline.sources.containers.base import Facts, Runtime
from pipeline.sources.containers.facts import bounded
from pipeline.timer import SystemTimer, Timer

_ASKABLE = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}-[0-9]{1,20}")  # not the names of systemd-nspawn and LXC
_AWAY = frozenset({"unreachable", "closed", "timeout"})


class _Wanted(NamedTuple):
    due: float  # on the timer's clock
    number: int
    container_id: str
    tries: int  # that are over


class Lookups:
    def __init__(
        self,
        runtime: Runtime,
        counters: Counters,
        *,
        waiting_max_ids: int = 1024,
        known_max_ids: int = 8192,
        tries_max: int = 6,
        timeout_s: float = 2.0,
        retry_s: float = 0.5,
        retry_max_s: float = 60.0,
        timer: Timer | None = None,
    ) -> None:
        """``waiting_max_ids`` bounds questions, and answers that nobody has taken yet; ``known_max_ids`` what is
        remembered as answered or given up. After n tries a container is asked for again in ``retry_s`` * 2**n."""
        self.trouble = ""
        """What the runtime last failed with, for people; empty while it answers."""
        self._runtime = runtime
        self._counters = counters
        self._waiting_max_ids = waiting_max_ids
        self._tries_max = tries_max
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self._timer = timer or SystemTimer()
        self._waiting: set[str] = set()
        self._queue: list[_Wanted] = []  # a heap
        self._numbers = itertools.count()
        self._known: LRUCache[str, None] = LRUCache(known_max_ids)
        self._answers: list[tuple[str, Facts]] = []
        self._failures = 0  # of a runtime that is away, in a row
        self._opens_at = 0.0
        self._changed = anyio.Event()

    def __repr__(self) -> str:
        away = f", {self.trouble}" if self.trouble else ""
        return f"<Lookups {len(self._waiting)} waiting, {len(self._answers)} to take, {len(self._known)} known{away}>"

    def want(self, container_id: str) -> None:
        """Ask for it, unless that was done, or it is no id that a runtime makes. Cheap when repeated."""
        if container_id in self._waiting or container_id in self._known or not _ASKABLE.fullmatch(container_id):
            return
        if len(self._waiting) >= self._waiting_max_ids:
            self._counters.container_lookups_dropped["full"] += 1
            return
        self._waiting.add(container_id)
        self._push(container_id, 0, self._timer.now())
        self._changed.set()

    def take(self) -> list[tuple[str, Facts]]:
        """Answers since the last call: container id, and what is known of it."""
        if not self._answers:
            return []
        taken, self._answers = self._answers, []
        self._changed.set()
        return taken

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            self._changed = anyio.Event()
            wait_s = self._wait_s()
            if wait_s is None or wait_s > 0:
                await self._timer.wait(self._changed, wait_s)
            else:
                await self._ask(heapq.heappop(self._queue))

    async def aclose(self) -> None:
        """Hang up; what was answered can still be taken."""
        await self._runtime.aclose()

    def _wait_s(self) -> float | None:
        """How long until the next question; None: until something changes."""
        if not self._queue or len(self._answers) >= self._waiting_max_ids:
            return None
        return max(self._queue[0].due, self._opens_at) - self._timer.now()

    async def _ask(self, wanted: _Wanted) -> None:
        try:
            with anyio.fail_after(self._timeout_s):
                facts = await self._runtime.describe(wanted.container_id)
        except TimeoutError:
            self._fail(wanted, "timeout", f"no answer within {self._timeout_s:g} s")
        except ContainerRuntimeError as error:
            self._fail(wanted, error.reason, str(error))
        else:
            self._failures, self._opens_at, self.trouble = 0, 0.0, ""
            if facts is not None:
                self._answers.append((wanted.container_id, bounded(facts, self._counters)))
                self._counters.containers_described += 1
                self._forget(wanted)
            elif not self._again(wanted):
                self._counters.containers_unknown += 1
                self._forget(wanted)

    def _fail(self, wanted: _Wanted, reason: str, trouble: str) -> None:
        self._counters.container_lookups_failed[reason] += 1
        self.trouble = trouble
        if reason in _AWAY:
            pause_s = min(self._retry_max_s, self._retry_s * 2.0 ** min(self._failures, 30))
            self._failures += 1
            self._opens_at = self._timer.now() + pause_s
        if reason == "unreachable":
            self._push(wanted.container_id, wanted.tries, wanted.due)
        elif not self._again(wanted):
            self._counters.container_lookups_dropped["failed"] += 1
            self._forget(wanted)

    def _again(self, wanted: _Wanted) -> bool:
        """Whether another try is left; it is in the queue then."""
        tries = wanted.tries + 1
        if tries >= self._tries_max:
            return False
        self._push(wanted.container_id, tries, self._timer.now() + self._retry_s * 2.0**wanted.tries)
        return True

    def _push(self, container_id: str, tries: int, due: float) -> None:
        heapq.heappush(self._queue, _Wanted(due, next(self._numbers), container_id, tries))

    def _forget(self, wanted: _Wanted) -> None:
        """It waits no more; that it was asked for is remembered."""
        self._waiting.discard(wanted.container_id)
        self._known[wanted.container_id] = None
