"""A recording as a tree to ask, in a program of one's own: no kernel, no root, no agent.

    from pipeline.offline import read
    from pipeline.tree import LineageKey

    recorded = read(Path("incident.lineage"))
    process = recorded.tree.by_pid(9012)
    when_ns = recorded.boot_ns(datetime.fromisoformat("2026-03-02T12:14:03.481+00:00"))
    lineage = recorded.tree.lineage(LineageKey(process.process.entity_id, when_ns, max_depth=5))

The same records give the same tree as they gave the agent. Of a recording that is cut, or is still being written,
``read(path, partial=True)`` gives the tree of what is there, and ``recorded.error`` says where it ends.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import anyio

from pipeline.counters import Counters
from pipeline.enrich.tables import Tables
from pipeline.errors import RecordingError
from pipeline.events import Account, Clock, Container, HostFacts, Loss
from pipeline.sources.decode import decode_batch
from pipeline.sources.ebpf.losses import count_lost
from pipeline.sources.recording import RecordingSource
from pipeline.tree import ProcessTree
from pipeline.tree.tree import ARTIFACTS_MAX, VERSIONS_MAX

PROCESSES_MAX = THREADS_MAX = 32768
_EPOCH = datetime.fromtimestamp(0, UTC)


class Recorded(NamedTuple):
    tree: ProcessTree
    tables: Tables  # names of users, groups and containers, the host, the wall clock
    counters: Counters  # records, events, lost_records, what could not be decoded, what did not fit or had no room
    error: RecordingError | None = None  # None: it is whole

    def boot_ns(self, time: datetime) -> int:
        """Nanoseconds since boot of a moment of the wall clock, as the tree counts them.

        Raises ValueError for a time without a zone: whose would it be, of this host or of the recorded one?
        """
        if time.tzinfo is None:
            raise ValueError(f"{time.isoformat()} has no zone: say tzinfo=UTC, or use time.astimezone()")
        return self.tables.boot_ns((time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000)

    def time(self, boot_ns: int) -> datetime:
        """The other way, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.tables.wall_ns(boot_ns) // 1000)


def read(
    path: str | PathLike[str],
    *,
    partial: bool = False,
    processes_max: int = PROCESSES_MAX,
    threads_max: int = THREADS_MAX,
    versions_max: int = VERSIONS_MAX,
    artifacts_max: int = ARTIFACTS_MAX,
) -> Recorded:
    """The tree as it is at the end of a recording. Raises RecordingError for a foreign, damaged or cut one.

    ``partial``: of a damaged or cut one the tree as it is at the end of what can be read, and ``error`` beside it.
    """
    counters = Counters()
    tree = ProcessTree(processes_max, threads_max, counters, versions_max=versions_max, artifacts_max=artifacts_max)
    recorded = Recorded(tree, Tables(counters), counters)
    try:
        anyio.run(_take_in, RecordingSource(Path(path)), recorded)
    except RecordingError as error:
        if not counters.records:
            raise
        if not partial:
            raise RecordingError(error.message, "partial=True gives the tree of what is before that") from error
        return recorded._replace(error=error)
    return recorded


async def _take_in(source: RecordingSource, recorded: Recorded) -> None:
    counters = recorded.counters
    try:
        while True:
            batch = await source.receive()
            counters.records += len(batch)
            events = decode_batch(batch, counters)
            counters.events += len(events)
            for event in events:
                if isinstance(event, (HostFacts, Account, Clock, Container)):
                    recorded.tables.learn(event)
                elif isinstance(event, Loss):
                    count_lost(counters, event.lost)
                if not isinstance(event, (Account, Clock, Container)):
                    recorded.tree.apply(event)
    except anyio.EndOfStream:
        return
    finally:
        await source.aclose()
