"""Between the flow and its sink: holds what is accepted until the sink has confirmed it, and tries again.

The seam of delivery: ``put``, ``run``, ``drain``, ``status``. A durable spool takes this class's place with the same
four. What it promises:

- Every accepted document ends in exactly one counter: delivered, duplicates, refused or dropped. None is forgotten.
- ``outbox_max_bytes`` is never exceeded, documents on their way included. Above seven eighths it is full: when it has
  been so for ``outbox_hold_s``, or at the end of the last eighth at once, the oldest documents go, alerts last.
  ``put`` waits for nothing then, since whoever waits here lets the kernel's ring run over. With ``block`` it waits.
- A batch that found nobody closes the gate: one batch at a time is tried, after a pause between nothing and twice the
  last (full jitter), until one gets through. Documents that were turned away while others beside them were taken wait
  on their own, and say nothing about the gate: one that never gets through must not hold up the others.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.lowlevel

from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.sinks.base import Dead, Delivery, Sink, SinkClosed
from pipeline.sinks.batch import Batcher, weight_of
from pipeline.sinks.dead_letters import DeadLetters
from pipeline.sinks.gate import Gate
from pipeline.timer import SystemTimer, Timer

TRIES_MAX = 30
"""Tries of a document that is turned away while others are taken; then it is dead. About ten minutes by default."""


class Status(NamedTuple):
    """How delivery stands. ``str()`` is a line for people, empty while all is well."""

    waiting_for: str  # what the sink last complained of; "" when it takes documents
    tries: int  # that have failed in a row
    next_try_s: float
    held_documents: int
    held_bytes: int

    def __str__(self) -> str:
        if not self.waiting_for:
            return ""
        return (
            f"waiting: {self.waiting_for}, try {self.tries + 1} in {self.next_try_s:.0f} s, "
            f"{self.held_documents:,} documents held"
        )


class _Batch(NamedTuple):
    due: float
    order: int  # keeps the heap from comparing documents
    tries: int
    documents: Sequence[Document]
    held_bytes: int
    singled_out: bool = False  # others in the same request were taken


def open_outbox(
    sink: Sink,
    config: Config,
    counters: Counters,
    *,
    prepare: Callable[[], Awaitable[None]] | None = None,
    block: bool | None = None,
) -> Outbox:
    """An outbox before an opened sink, with its dead letter file open. Call it before privileges are dropped.

    ``prepare`` runs once the sink answers and before the first document is sent (to install templates); it may raise
    SinkUnavailable to be called again. ``block`` overrides ``outbox_full``: a replay never drops. Raises SinkError.
    """
    max_bytes = config.dead_letters_max_bytes if sink.may_refuse else 0
    dead_letters = DeadLetters(config.state_directory / "dead-letters.ndjson", max_bytes, counters)
    dead_letters.open()
    return Outbox(sink, config, counters, dead_letters, prepare=prepare, block=block)


class Outbox:
    def __init__(
        self,
        sink: Sink,
        config: Config,
        counters: Counters,
        dead_letters: DeadLetters,
        *,
        prepare: Callable[[], Awaitable[None]] | None = None,
        block: bool | None = None,
        timer: Timer | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._config = config
        self._counters = counters
        self._dead_letters = dead_letters
        self._prepare = prepare
        self._block = config.outbox_full == "block" if block is None else block
        self._timer = timer or SystemTimer()

        self._fresh = Batcher(config.flush_age_ms / 1000)
        self._alerts = Batcher(0.0)
        self._retries: list[_Batch] = []  # a heap by due
        self._order = itertools.count()
        self._flying: dict[int, _Batch] = {}
        self._held_bytes = 0
        self._full_since: float | None = None

        self._gate = Gate(config.retry_pause_max_s, jitter)
        self._connected = False
        self._draining = False
        self._error: SinkError | None = None
        self._changed = anyio.Event()
        self._room = anyio.Event()
        self._ended = anyio.Event()
        self._scope: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return (
            f"<Outbox {self.held_documents} documents, {self._held_bytes} bytes, {len(self._flying)} in flight, "
            f"{len(self._retries)} to try again>"
        )

    @property
    def dead_letters_path(self) -> Path:
        return self._dead_letters.path

    @property
    def held_documents(self) -> int:
        """Accepted and in no final counter yet."""
        waiting = sum(len(batch.documents) for batch in self._retries)
        flying = sum(len(batch.documents) for batch in self._flying.values())
        return len(self._fresh) + len(self._alerts) + waiting + flying

    def status(self) -> Status:
        next_try_s = max(0.0, self._gate.opens_at - self._timer.now())
        return Status(self._gate.trouble, self._gate.failures, next_try_s, self.held_documents, self._held_bytes)

    # Taking in.

    async def put(self, documents: Sequence[Document]) -> None:
        """Accept documents. They are held, and counted, from here on; after the end of ``run`` counted alone."""
        weight = weight_of(documents)
        while self._block and self._held_bytes and self._held_bytes + weight > self._config.outbox_max_bytes:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()
        if self._error or self._ended.is_set():
            self._counters.dropped[self._cause()] += len(documents)
            await anyio.lowlevel.checkpoint()  # lets in the cancellation that the error of ``run`` brings
            return
        now = self._timer.now()
        alerts = [document for document in documents if document.stream == "alert"]
        if alerts:
            self._alerts.add(alerts, now)
            documents = [document for document in documents if document.stream != "alert"]
        was_empty = not len(self._fresh)
        self._fresh.add(documents, now)
        self._hold(weight)
        self._keep_bounds(now)
        if was_empty or alerts or self._fresh.full(self._sink.batch_max_documents, self._sink.batch_max_bytes):
            self._changed.set()

    def _hold(self, weight: int) -> None:
        self._held_bytes += weight
        self._counters.outbox_bytes = self._held_bytes
        if weight < 0:
            self._room.set()

    def _keep_bounds(self, now: float) -> None:
        if self._block:
            return
        highest = self._config.outbox_max_bytes
        mark = highest - highest // 8
        if self._held_bytes <= mark:
            self._full_since = None
            return
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since >= self._config.outbox_hold_s:
            self._drop(self._held_bytes - mark)
        elif self._held_bytes > highest:
            self._drop(self._held_bytes - highest)

    def _drop(self, room_bytes: int) -> None:
        """Oldest first, alerts last. Those to be tried again are the oldest; those in flight cannot be called back."""
        wanted = self._held_bytes - room_bytes
        for batch in sorted(self._retries, key=lambda batch: batch.order):
            if self._held_bytes <= wanted:
                break
            if batch.documents[0].stream == "alert":  # alerts travel in batches of their own
                continue
            self._retries.remove(batch)
            self._dropped(len(batch.documents), batch.held_bytes)
        heapq.heapify(self._retries)
        for batcher in (self._fresh, self._alerts):
            before = batcher.held_bytes
            dropped = batcher.drop_oldest(self._held_bytes - wanted)
            self._dropped(dropped, before - batcher.held_bytes)

    def _dropped(self, count: int, weight: int) -> None:
        if count:
            self._counters.dropped["outbox full"] += count
            self._hold(-weight)

    # Sending.

    async def run(self) -> None:
        """Deliver until ``drain`` has emptied the outbox. Raises SinkError when the sink will take no more, ever."""
        try:
            with anyio.CancelScope() as self._scope:
                async with anyio.create_task_group() as tasks:
                    await self._dispatch(tasks)
        finally:
            self._count_undelivered()
            self._ended.set()
            self._room.set()
        if self._error:
            raise self._error

    async def _dispatch(self, tasks: anyio.abc.TaskGroup) -> None:
        while self._error is None:
            self._changed = anyio.Event()
            now = self._timer.now()
            if not self._connected:
                if self._draining and not self.held_documents:
                    return
                if now >= self._gate.opens_at:
                    await self._connect()
                    continue
            else:
                batch = self._next(now)
                if batch is not None:
                    self._flying[batch.order] = batch
                    tasks.start_soon(self._deliver, batch)
                    continue
                if self._draining and not self.held_documents:
                    return
            await self._timer.wait(self._changed, self._idle_s(now))

    def _idle_s(self, now: float) -> float | None:
        """Until when nothing happens by itself; None: only an event can change anything."""
        if not self._connected:
            return self._gate.opens_at - now
        if len(self._flying) >= self._lanes():
            return None
        dues = [due for due in (self._fresh.due_at(), self._alerts.due_at()) if due is not None]
        if self._retries:
            dues.append(self._retries[0].due)
        return max(0.0, max(min(dues), self._gate.opens_at) - now) if dues else None

    def _lanes(self) -> int:
        return 1 if self._gate.failures else self._sink.in_flight_max

    def _next(self, now: float) -> _Batch | None:
        if now < self._gate.opens_at or len(self._flying) >= self._lanes():
            return None
        if self._retries and self._retries[0].due <= now:
            return heapq.heappop(self._retries)
        for batcher in (self._alerts, self._fresh):
            before = batcher.held_bytes
            documents = batcher.take(now, self._sink.batch_max_documents, self._sink.batch_max_bytes, self._draining)
            if documents:
                return _Batch(now, next(self._order), 0, documents, before - batcher.held_bytes)
        return None

    async def _connect(self) -> None:
        try:
            await self._sink.connect()
            if self._prepare is not None:
                await self._prepare()
        except SinkUnavailable as error:
            self._gate.close(error, self._timer.now())
        except SinkError as error:
            self._error = error
        else:
            self._connected = True
            self._gate.open()

    async def _deliver(self, batch: _Batch) -> None:
        if batch.tries:
            self._counters.retried += len(batch.documents)
        try:
            delivery = await self._sink.send(batch.documents)
        except SinkUnavailable as error:
            self._gate.close(error, self._timer.now())
            self._again(batch, batch.documents, self._gate.opens_at, batch.tries + 1, batch.singled_out)
        except SinkError as error:
            self._error = self._error or error
        else:
            self._settle(batch, delivery)
        finally:
            self._changed.set()

    def _settle(self, batch: _Batch, delivery: Delivery) -> None:
        self._counters.delivered += delivery.done
        self._counters.duplicates += delivery.duplicates
        self._bury(delivery.dead)
        taken = len(batch.documents) - len(delivery.again)
        if taken:
            self._gate.open()
        if not delivery.again:
            self._landed(batch)
        elif taken or batch.singled_out:
            tries = 1 if not batch.singled_out else batch.tries + (not self._gate.failures)
            self._turned_away(batch, delivery, tries)
        else:
            self._gate.close(SinkUnavailable(delivery.trouble), self._timer.now())
            self._again(batch, delivery.again, self._gate.opens_at, batch.tries + 1)

    def _turned_away(self, batch: _Batch, delivery: Delivery, tries: int) -> None:
        if tries < TRIES_MAX:
            self._again(batch, delivery.again, self._timer.now() + self._gate.pause_s(tries), tries, singled_out=True)
            return
        reason = f"turned away {tries} times: {delivery.trouble}"
        self._bury([Dead(document, reason) for document in delivery.again])
        self._landed(batch)

    def _again(
        self, batch: _Batch, documents: Sequence[Document], due: float, tries: int, singled_out: bool = False
    ) -> None:
        self._landed(batch)
        held_bytes = weight_of(documents)
        heapq.heappush(self._retries, _Batch(due, batch.order, tries, documents, held_bytes, singled_out))
        self._hold(held_bytes)

    def _landed(self, batch: _Batch) -> None:
        del self._flying[batch.order]
        self._hold(-batch.held_bytes)

    def _bury(self, dead: Sequence[Dead]) -> None:
        for _, reason in dead:
            self._counters.refused[reason.partition(": ")[0]] += 1
        self._dead_letters.keep(dead)

    # Ending.

    async def drain(self, deadline_s: float) -> None:
        """Deliver what is held, then end ``run``; after ``deadline_s`` give up: counted, and kept where possible."""
        self._draining = True
        now = self._timer.now()
        self._gate.hurry(now)
        self._retries = [batch._replace(due=min(batch.due, now)) for batch in self._retries]
        heapq.heapify(self._retries)
        self._changed.set()
        if not self._ended.is_set():
            await self._timer.wait(self._ended, deadline_s)
        if self._scope is None:
            self._count_undelivered()
        elif not self._ended.is_set():
            self._scope.cancel()
            await self._ended.wait()

    def _count_undelivered(self) -> None:
        """Nothing goes silently: what is still held is counted, and kept in the dead letter file if there is one."""
        retries = [document for batch in sorted(self._retries) for document in batch.documents]
        flying = [document for batch in self._flying.values() for document in batch.documents]
        left = [*flying, *retries, *self._alerts.take_all(), *self._fresh.take_all()]
        self._retries.clear()
        self._flying.clear()
        self._hold(-self._held_bytes)
        if not left:
            return
        cause = self._cause()
        self._counters.dropped[cause] += len(left)
        if isinstance(self._error, SinkClosed):
            return  # nobody wants them
        kept = self._dead_letters.keep([Dead(document, f"not delivered: {cause}") for document in left])
        if self._error:
            where = f"{kept:,} of them kept in {self._dead_letters.path}" if kept else "none of them kept"
            message = f"{self._error.message} ({len(left):,} documents not delivered, {where})"
            self._error = type(self._error)(message, self._error.mend)

    def _cause(self) -> str:
        if self._error is None:
            return "the end came first"
        return "reader went away" if isinstance(self._error, SinkClosed) else "sink failed"

    async def aclose(self) -> None:
        """Close the sink and the dead letter file. Safe to call twice."""
        await self._sink.aclose()
        self._dead_letters.close()
