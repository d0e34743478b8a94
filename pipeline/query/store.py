"""Questions to the local store, also while an agent writes to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import anyio.to_thread

from pipeline.query.base import Fields, Found
from pipeline.query.lineage_query import LineageQuery, iso
from pipeline.sinks.store_reader import StoreReader


class StoreArchive:
    """Raises SinkError when there is no store at ``path``, or none that can be read."""

    def __init__(self, path: Path) -> None:
        self.name = f"the store {path}"
        self._path = path
        StoreReader(path).close()

    async def find(self, query: LineageQuery, since: datetime, limit: int) -> Found:
        return await anyio.to_thread.run_sync(self._find, str(query), iso(since), limit)

    def _find(self, lineage: str, since: str, limit: int) -> Found:
        """A process has several documents of one lineage, so more are read until there are enough processes."""
        asked = 4 * (limit + 1)
        with StoreReader(self._path) as reader:
            while True:
                documents = reader.find_lineage(lineage, since, asked)
                newest = _newest_each(documents)
                if len(newest) > limit or len(documents) < asked:
                    return Found(newest[:limit], len(newest) > limit)
                asked *= 4

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        """All of them: the local store is one host's, and what is not drawn is left out later."""
        return await anyio.to_thread.run_sync(self._processes, iso(since), iso(until))

    def _processes(self, since: str, until: str) -> Found:
        with StoreReader(self._path) as reader:
            return Found(list(reader.processes(since, until)), more=False)

    async def aclose(self) -> None:
        """Each question has a connection of its own, so that the writer's log can be emptied between them."""


def _newest_each(documents: list[dict[str, Any]]) -> list[Fields]:
    """The first document of each process; they come newest first."""
    seen: dict[str, Fields] = {}
    for number, document in enumerate(documents):
        seen.setdefault(document.get("process", {}).get("entity_id") or f"#{number}", document)
    return list(seen.values())
