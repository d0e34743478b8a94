"""Questions to Elasticsearch. It is asked once and never waited for.

The newest document of each process is had by collapsing on ``process.entity_id``, so an answer is one process a row
whatever number of documents it has.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, shown
from pipeline.query.base import Fields, Found
from pipeline.query.lineage_query import LineageQuery, condition, iso
from pipeline.sinks.client import new_client
from pipeline.sinks.mappings import DATA_STREAMS
from pipeline.sinks.translate import check_version, translated

PROCESSES_MAX = 10_000
"""As many rows as one search may return (``index.max_result_window``)."""

_NEWEST_FIRST: list[dict[str, Any]] = [
    {"@timestamp": "desc"},
    {"event.sequence": {"order": "desc", "unmapped_type": "long"}},
]


class ElasticsearchArchive:
    """Raises SinkError and SinkUnavailable, from asking too."""

    def __init__(self, config: Config) -> None:
        self.name = f"Elasticsearch at {shown(config.elasticsearch.url)}"
        self._settings = config.elasticsearch
        self._client: AsyncElasticsearch = new_client(config.elasticsearch)

    async def find(self, query: LineageQuery, since: datetime, limit: int) -> Found:
        found = await self._newest([condition(query), {"range": {"@timestamp": {"gte": iso(since)}}}], limit + 1)
        return Found(found[:limit], len(found) > limit)

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        filters: list[dict[str, Any]] = [{"range": {"@timestamp": {"gte": iso(since), "lte": iso(until)}}}]
        if pid is not None:
            named = await self._newest([*filters, {"term": {"process.pid": pid}}], PROCESSES_MAX)
            filters.append(_family(named))
        found = await self._newest(filters, PROCESSES_MAX)
        return Found(found, len(found) == PROCESSES_MAX)

    async def _newest(self, filters: list[dict[str, Any]], limit: int) -> list[Fields]:
        with translated(self._settings, "search"):
            await check_version(self._client, self._settings)
            answer = await self._client.search(
                index=DATA_STREAMS,
                query={"bool": {"filter": [*filters, {"exists": {"field": "process.entity_id"}}]}},
                collapse={"field": "process.entity_id"},
                sort=_NEWEST_FIRST,
                size=min(limit, PROCESSES_MAX),
                track_total_hits=False,
                ignore_unavailable=True,
            )
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    async def aclose(self) -> None:
        await self._client.close()


def _family(processes: list[Fields]) -> dict[str, Any]:
    """These processes, all below them, and all above them."""
    own = [process["process"]["entity_id"] for process in processes]
    above = {
        ancestor
        for process in processes
        for ancestor in process.get("lineage", {}).get("ancestors", {}).get("entity_id", [])
    }
    return {
        "bool": {
            "should": [
                {"terms": {"process.entity_id": [*own, *sorted(above)]}},
                {"terms": {"lineage.ancestors.entity_id": own}},
            ],
            "minimum_should_match": 1,
        }
    }
