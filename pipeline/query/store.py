"""Questions to the local store, also while an agent writes to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import anyio.to_thread

from pipeline.query.base import Coverage, Fields, Found, View, host_name, newest_snapshots, told_at, view
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
        with StoreReader(self._path) as reader:
            found = reader.find_lineage(lineage, since, limit + 1)
        return Found(found[:limit], len(found) > limit)

    async def newest(self, entity_ids: list[str]) -> dict[str, Fields]:
        return await anyio.to_thread.run_sync(self._newest, entity_ids)

    def _newest(self, entity_ids: list[str]) -> dict[str, Fields]:
        with StoreReader(self._path) as reader:
            return {document["process"]["entity_id"]: document for document in reader.newest(entity_ids)}

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        """All of them: the local store is one host's, and what is not drawn is left out later."""
        return await anyio.to_thread.run_sync(self._processes, iso(since), iso(until))

    def _processes(self, since: str, until: str) -> Found:
        with StoreReader(self._path) as reader:
            return Found(list(reader.processes(since, until)), more=False)

    async def coverage(self, since: datetime, until: datetime) -> Coverage:
        return await anyio.to_thread.run_sync(self._coverage, iso(since), iso(until))

    def _coverage(self, since: str, until: str) -> Coverage:
        runs: dict[tuple[View, str], tuple[datetime, datetime]] = {}
        with StoreReader(self._path) as reader:
            for document in reader.found_running(since, until):
                where, time = view(document), told_at(document)
                if where is None:
                    continue
                run = (where, str((document.get("agent") or {}).get("ephemeral_id") or ""))
                first, last = runs.get(run, (time, time))
                runs[run] = min(first, time), max(last, time)
            latest = reader.last(until)
        newest = newest_snapshots((where, first, last) for (where, _), (first, last) in runs.items())
        return Coverage(newest, {host_name(latest): told_at(latest)} if latest else {})

    async def aclose(self) -> None:
        """Each question has a connection of its own, so that the writer's log can be emptied between them."""
