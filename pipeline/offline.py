"""A recording as a tree to ask, in a program of one's own: no kernel, no root, no agent.

    from pipeline.offline import read
    from pipeline.tree import LineageKey

    recorded = read(Path("incident.lineage"))
    process = recorded.tree.by_pid(9012)
    when_ns = recorded.boot_ns(datetime.fromisoformat("2026-03-02T12:14:03.481Z"))
    lineage = recorded.tree.lineage(LineageKey(process.process.entity_id, when_ns, max_depth=5))

The same records give the same tree as they gave the agent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import anyio

from pipeline.counters import Counters
from pipeline.enrich.tables import Tables
from pipeline.events import Account, Clock, Container, HostFacts
from pipeline.sources.decode import decode_batch
from pipeline.sources.recording import RecordingSource
from pipeline.tree import ProcessTree
from pipeline.tree.tree import ARTIFACTS_MAX, VERSIONS_MAX

PROCESSES_MAX = THREADS_MAX = 32768
_EPOCH = datetime.fromtimestamp(0, UTC)


class Recorded(NamedTuple):
    tree: ProcessTree
    tables: Tables  # names of users, groups and containers, the host, the wall clock
    counters: Counters  # among them what could not be decoded, and what did not fit

    def boot_ns(self, time: datetime) -> int:
        """Nanoseconds since boot of a moment of the wall clock, as the tree counts them."""
        return self.tables.boot_ns((time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000)

    def time(self, boot_ns: int) -> datetime:
        """The other way, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.tables.wall_ns(boot_ns) // 1000)


def read(
    path: Path,
    *,
    processes_max: int = PROCESSES_MAX,
    threads_max: int = THREADS_MAX,
    versions_max: int = VERSIONS_MAX,
    artifacts_max: int = ARTIFACTS_MAX,
) -> Recorded:
    """The tree as it is at the end of a recording. Raises RecordingError for a foreign, broken or cut one."""
    counters = Counters()
    tree = ProcessTree(processes_max, threads_max, counters, versions_max=versions_max, artifacts_max=artifacts_max)
    recorded = Recorded(tree, Tables(counters), counters)
    anyio.run(_take_in, RecordingSource(path), recorded)
    return recorded


async def _take_in(source: RecordingSource, recorded: Recorded) -> None:
    try:
        while True:
            for event in decode_batch(await source.receive(), recorded.counters):
                if isinstance(event, (HostFacts, Account, Clock, Container)):
                    recorded.tables.learn(event)
                if not isinstance(event, (Account, Clock, Container)):
                    recorded.tree.apply(event)
    except anyio.EndOfStream:
        return
    finally:
        await source.aclose()
