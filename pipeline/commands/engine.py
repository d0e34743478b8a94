"""What `run` and `replay` share: the parts put together, privileges dropped, signals heard, the summary told.

``open_delivery`` and the source are made by the starting user; ``Engine.run`` drops every privilege before the first
byte is read from the source or sent to a sink.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import anyio
import structlog
from anyio.abc import TaskStatus
from rich.cells import cell_len
from rich.console import Console

from pipeline.allocator import give_back_what_is_freed
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.enrich import Describer
from pipeline.enrich.lineage import ARROW
from pipeline.enrich.masking import Masker
from pipeline.errors import LineageError
from pipeline.flow import Flow
from pipeline.garbage import seldom_collecting
from pipeline.sinks import open_sink, sink_name
from pipeline.sinks.base import Sink, SinkClosed
from pipeline.sinks.outbox import Outbox, open_outbox
from pipeline.sources.base import Source
from pipeline.sources.ebpf import privileges
from pipeline.tree import ProcessTree
from pipeline.view import summary
from pipeline.view.live import Feed

STATUS_EVERY_S = 1.0
IMPORTED_LATE = (
    "anyio._core._signals",
    "concurrent.futures.thread",
    "encodings.idna",
    "encodings.unicode_escape",
    "rich._emoji_codes",
    "rich.live",
    "stringprep",
    "traceback",
)
"""Modules that the libraries import only when they need them."""

Background = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


class Delivery(NamedTuple):
    sink: Sink
    outbox: Outbox
    name: str

    @property
    def uses_stdout(self) -> bool:
        return self.name == "ndjson:-"


def open_delivery(config: Config, spec: str | None, counters: Counters, *, block: bool | None = None) -> Delivery:
    """Sink and outbox, opened; Elasticsearch gets its templates first. Raises UsageError, SinkError."""
    name = sink_name(spec, config)
    sink = open_sink(name, config, counters)
    prepare: Callable[[], Awaitable[None]] | None = None
    if name == "elasticsearch":
        from pipeline.sinks.install import Step, preparation

        def tell(step: Step) -> None:
            if step.outcome != "unchanged":
                log.info("mappings", step=str(step))

        prepare = preparation(config, tell)
    return Delivery(sink, open_outbox(sink, config, counters, prepare=prepare, block=block), name)


def become_unprivileged(config: Config, groups: tuple[int, ...]) -> None:
    """Give up root for good, if we are root. Called first thing in the event loop, before any thread and any task.

    The interpreter and its packages may lie where only root can read, so what Python would import later is imported
    now; a test runs the agent with every later import forbidden.
    """
    if os.geteuid() != 0:
        return
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    cell_len(ARROW)  # rich loads a table of widths, one for each kind of terminal, at the first sign beyond ASCII
    identity = privileges.drop(config.account, groups)
    log.info("privileges dropped", uid=identity.uid, gid=identity.gid, **({"groups": groups} if groups else {}))


class Engine:
    """One run from the first record to the summary."""

    def __init__(
        self,
        config: Config,
        source: Source,
        delivery: Delivery,
        counters: Counters,
        *,
        feed: bool,
        shutdown_s: float | None = None,
    ) -> None:
        self.config = config
        self.source = source
        self.ending = False
        self.delivery = delivery
        self.counters = counters
        self.describer = Describer(config.namespace, config.mask_patterns, counters)
        self.feed = self._make_feed() if feed else None
        self.tree = ProcessTree(
            config.processes_max,
            config.threads_max,
            counters,
            versions_max=config.versions_max,
            artifacts_max=config.artifacts_max,
            texts_max_bytes=config.texts_max_bytes,
            source=config.tree_source,
        )
        self.flow = Flow(
            source,
            self.tree,
            self.describer,
            delivery.outbox,
            counters,
            shutdown_s=config.shutdown_s if shutdown_s is None else shutdown_s,
            watch=self.feed.watch if self.feed else None,
            ready=self._tell_ready,
        )

    def _tell_ready(self) -> None:
        gc.freeze()  # what the snapshot found is here to stay: no look is wasted on it
        log.info("ready", processes=len(self.tree))

    def _make_feed(self) -> Feed:
        tables = self.describer.tables
        return Feed(
            Console(highlight=False),
            self.counters,
            wall_ns=tables.wall_ns,
            user_name=tables.user_of,
            mask=Masker(self.config.mask_patterns).mask,
            status=self._status,
            reader_gone=self.source.finish,
        )

    def _status(self) -> str:
        if self.ending:
            left = self.delivery.outbox.held_documents
            return f"ending: {left:,} documents left, up to {self.flow.shutdown_s:.0f} s; Ctrl-C again ends at once"
        return str(self.delivery.outbox.status())

    def _status_is_seen(self) -> bool:
        """On a terminal, in the line below the feed, so that a notice would say the same again.

        Who sends standard error somewhere else reads it there.
        """
        return self.feed is not None and self.feed.shows_status and sys.stderr.isatty()

    def _end(self) -> None:
        """What the first signal does."""
        self.ending = True
        self.source.finish()
        left = self.delivery.outbox.held_documents
        if left and not self._status_is_seen():
            log.info(
                "ending: what is left is delivered first; a second signal ends at once",
                documents_left=left,
                seconds_at_most=self.flow.shutdown_s,
            )

    def run(self, what: str, *, ends_after_s: float | None = None, background: Background | None = None) -> int:
        """Drop privileges, let it flow, print the summary. Raises LineageError when documents were not delivered."""
        log.info(what, sink=self.delivery.name)
        give_back_what_is_freed()
        began_s = time.monotonic()
        try:
            with seldom_collecting():
                anyio.run(self._run, ends_after_s, background)
        except BaseExceptionGroup as group:
            if group.subgroup(SinkClosed) is None:
                raise
            return SinkClosed.exit_code
        finally:
            for line in summary.lines(self.counters, time.monotonic() - began_s):
                print(line, file=sys.stderr)  # noqa: T201 - the summary, for people
        return self._verdict()

    def _verdict(self) -> int:
        lost_for_good = self.counters.refused.total() + self.counters.dropped.total()
        if lost_for_good:
            raise LineageError(
                f"{lost_for_good:,} documents were not delivered",
                f"see the lines above, and {self.delivery.outbox.dead_letters_path}"
                if self.delivery.sink.may_refuse
                else "see the lines above",
            )
        return 0

    async def _run(self, ends_after_s: float | None, background: Background | None) -> None:
        become_unprivileged(self.config, self.source.groups)
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(end_on_signal, self._end, tasks.cancel_scope)
                if ends_after_s is not None:
                    tasks.start_soon(end_after, self.source, ends_after_s)
                if self.feed is not None:
                    tasks.start_soon(self.feed.run)
                if background is not None:
                    tasks.start_soon(background)
                if not self._status_is_seen():
                    tasks.start_soon(self._tell_trouble)
                tasks.start_soon(self.source.run)
                await self.flow.run()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self.source.aclose()
                await self.delivery.outbox.aclose()
            if self.feed is not None:
                self.feed.close()  # now that nobody else prints

    async def _tell_trouble(self) -> None:
        """Waiting is visible without a terminal too: one line when it begins, one when it is over."""
        told = ""
        while True:
            status = self.delivery.outbox.status()
            if status.waiting_for and status.waiting_for != told:
                log.warning("waiting", reason=status.waiting_for, documents_held=status.held_documents)
            elif told and not status.waiting_for:
                log.info("delivering again", delivered=self.counters.delivered)
            told = status.waiting_for
            await anyio.sleep(STATUS_EVERY_S)


async def end_on_signal(
    end: Callable[[], None], scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """The first Ctrl-C, SIGTERM or closed terminal ends the source and lets everything drain; the second ends at once.

    Started with ``await tasks.start``: who reads that we are ready may send the signal at once.
    """
    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        heard.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*heard) as signals:
        task_status.started()
        first = True
        async for _ in signals:
            if not first:
                log.warning("ended at once; what was not delivered is counted below")
                scope.cancel()
                return
            first = False
            end()


async def end_after(source: Source, seconds: float) -> None:
    await anyio.sleep(seconds)
    source.finish()
