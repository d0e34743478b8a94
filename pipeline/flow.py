"""The only file that knows the order: source, decode, tree, enrich, outbox.

One task drains the source and does all the work in between, which waits for nothing; the outbox delivers in tasks of
its own. Tasks meet in batches, never one event at a time. Nothing behind the tree stops source -> tree: a birth that
is not seen falsifies every lineage below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import anyio

from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich import Describer
from pipeline.events import Account, Clock, Container, Event, Exec, HostFacts, SnapshotBegin, SnapshotEnd
from pipeline.garbage import look_seldom
from pipeline.process import ProcessVersion
from pipeline.sources.base import Source
from pipeline.sources.decode import decode_batch
from pipeline.sources.order import Order
from pipeline.tree import ProcessTree

Watch = Callable[[Exec, ProcessVersion], None]
"""What a person sees: called for each exec that has a document, with the process as it is then."""


class Outbox(Protocol):
    """The seam of delivery: today in memory, later a spool on disk."""

    async def put(self, documents: Sequence[Document]) -> None:
        """Accept documents for delivery; they count as accepted when this returns."""
        ...

    async def run(self) -> None:
        """Deliver until cancelled. Raises SinkError when the sink will not take anything any more."""
        ...

    async def drain(self, deadline_s: float) -> None:
        """Deliver what was accepted; give up, counted, after ``deadline_s``."""
        ...


class Flow:
    def __init__(
        self,
        source: Source,
        tree: ProcessTree,
        describer: Describer,
        outbox: Outbox,
        counters: Counters,
        *,
        shutdown_s: float,
        watch: Watch | None = None,
        ready: Callable[[], None] | None = None,
    ) -> None:
        self.source = source
        self.tree = tree
        self.describer = describer
        self.outbox = outbox
        self.counters = counters
        self.order = Order(counters)
        self.shutdown_s = shutdown_s
        self.watch = watch
        self.ready = ready
        self.is_ready = False
        self.began_ns: int | None = None  # the first snapshot: from then on it is known what runs
        self.last_ns = 0  # the greatest stamp of all events

    async def run(self) -> None:
        """Move everything the source has, deliver it, and return. Errors of any stage come out as they are."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.outbox.run)
            tasks.start_soon(look_seldom)
            try:
                await self._pump()
            finally:
                # Also when the source failed: what was accepted is delivered.
                await self.outbox.drain(self.shutdown_s)
            tasks.cancel_scope.cancel()

    async def _pump(self) -> None:
        while True:
            try:
                batch = await self.source.receive()
            except anyio.EndOfStream:
                return
            self.counters.records += len(batch)
            events = decode_batch(batch, self.counters)
            self.order.look(events)
            documents = self.work(events)
            if documents:
                await self.outbox.put(documents)

    def work(self, events: Sequence[Event]) -> list[Document]:
        """Everything between the source and the outbox, for one batch: pure, synchronous, no await."""
        tree, describer, watch = self.tree, self.describer, self.watch
        documents: list[Document] = []
        self.counters.events += len(events)
        if events:
            # Records of two processors may be exchanged: the greatest stamp need not be the last one's.
            self.last_ns = max(self.last_ns, max([event.stamp.time_ns for event in events]))
        for event in events:
            if isinstance(event, (HostFacts, Account, Clock, Container)):
                describer.learn(event)
                if isinstance(event, HostFacts):
                    tree.apply(event)
                continue
            process = tree.apply(event)
            if process is not None:
                document = describer.describe(event, process)
                if document is not None:
                    documents.append(document)
                    if watch is not None and isinstance(event, Exec):
                        watch(event, process)
            elif isinstance(event, SnapshotEnd):
                documents.extend(describer.describe_snapshot(tree.snapshot(), tree.closed()))
                self._tell_ready(event.stamp.time_ns)
            elif isinstance(event, SnapshotBegin) and self.began_ns is None:
                self.began_ns = event.stamp.time_ns
        documents.extend(describer.describe_snapshot((), tree.closed()))  # whose pid is another's by now
        self.counters.documents += len(documents)
        return documents

    def _tell_ready(self, time_ns: int) -> None:
        """From the first snapshot's end on every lineage is whole. Those that come after only repair."""
        if not self.is_ready:
            self.is_ready = True
            if self.began_ns is None:  # an old recording: nobody said when that snapshot began
                self.began_ns = time_ns
            if self.ready is not None:
                self.ready()
