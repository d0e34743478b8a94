"""Questions to Elasticsearch. It is asked once and never waited for.

The newest document of each process is had by collapsing on ``process.entity_id``, so an answer is one process a row
whatever number of documents it has. Nothing here asks for more than a few pages of PROCESSES_MAX rows altogether.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, shown
from pipeline.query.base import Coverage, Fields, Found, View, newest_snapshots
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
_BEGUN_LAST_FIRST: list[dict[str, Any]] = [
    {"process.start": {"order": "desc", "missing": "_last", "unmapped_type": "date"}},
    *_NEWEST_FIRST,
]
_HOW_IT_ENDED = [
    "@timestamp",
    "event.action",
    "host.id",
    "host.boot.id",
    "host.pid_ns_ino",
    "process.entity_id",
    "process.end",
    "process.exit_code",
]
_PAGE = 1000
_HOSTS_MAX = 1000
_RUNS_MAX = 10_000
"""Runs of agents whose snapshots are looked at; processes of others stay what their own documents say."""
_A_MILLISECOND = timedelta(milliseconds=1)
_FORK = {"term": {"event.action": "fork"}}


class ElasticsearchArchive:
    """Raises SinkError and SinkUnavailable, from asking too."""

    def __init__(self, config: Config) -> None:
        self.name = f"Elasticsearch at {shown(config.elasticsearch.url)}"
        self._settings = config.elasticsearch
        self._client: AsyncElasticsearch = new_client(config.elasticsearch)

    async def find(self, query: LineageQuery, since: datetime, limit: int) -> Found:
        fits = [condition(query), _between(since)]
        found = await self._search([*fits, {"bool": {"must_not": [_FORK]}}], limit + 1, _BEGUN_LAST_FIRST)
        known = {_entity(each) for each in found}
        forked, cut = await self._only_forked([*fits, _FORK], known, limit + 1)
        both = sorted([*found, *forked], key=lambda each: str(each["process"].get("start") or ""), reverse=True)
        return Found(both[:limit], cut or len(both) > limit)

    async def _only_forked(
        self, filters: list[dict[str, Any]], known: set[str], wanted: int
    ) -> tuple[list[Fields], bool]:
        """Forks of processes that never executed anything, and whether there may be more than could be looked at."""
        found: list[Fields] = []
        for start in range(0, PROCESSES_MAX, _PAGE):
            page = await self._search(filters, _PAGE, _BEGUN_LAST_FIRST, start=start)
            executed = await self._executed([_entity(each) for each in page if _entity(each) not in known])
            found += [each for each in page if _entity(each) not in known | executed]
            if len(page) < _PAGE or len(found) >= wanted:
                return found[:wanted], False
        return found, True

    async def _executed(self, entity_ids: list[str]) -> set[str]:
        """Those of them that have executed something."""
        if not entity_ids:
            return set()
        filters: list[dict[str, Any]] = [
            {"terms": {"process.entity_id": entity_ids}},
            {"term": {"event.action": "exec"}},
        ]
        return {_entity(each) for each in await self._newest(filters, len(entity_ids), ["process.entity_id"])}

    async def newest(self, entity_ids: list[str]) -> dict[str, Fields]:
        if not entity_ids:
            return {}
        newest = await self._newest([{"terms": {"process.entity_id": entity_ids}}], len(entity_ids), _HOW_IT_ENDED)
        return {_entity(each): each for each in newest}

    async def processes(self, since: datetime, until: datetime, pid: int | None) -> Found:
        filters: list[dict[str, Any]] = [_between(since, until)]
        if pid is not None:
            named = await self._newest([*filters, {"term": {"process.pid": pid}}], PROCESSES_MAX)
            filters.append(_family(named))
        found = await self._newest(filters, PROCESSES_MAX)
        return Found(found, len(found) == PROCESSES_MAX)

    async def coverage(self, since: datetime, until: datetime) -> Coverage:
        keys = ["host.id", "host.boot.id", "host.pid_ns_ino", "agent.ephemeral_id"]
        time = {"field": "@timestamp"}
        snapshots = await self._count(
            [_between(since, until), {"term": {"event.action": "snapshot"}}, {"exists": {"field": "host.boot.id"}}],
            {
                "composite": {
                    "size": _RUNS_MAX,
                    "sources": [{key: {"terms": {"field": key, "missing_bucket": True}}} for key in keys],
                },
                "aggs": {"first": {"min": time}, "last": {"max": time}},
            },
        )
        hosts = await self._count(
            [_between(since, until)],
            {"terms": {"field": "host.name", "size": _HOSTS_MAX}, "aggs": {"last": {"max": time}}},
        )
        runs = [(_view(run["key"]), _moment(run["first"]), _moment(run["last"])) for run in snapshots]
        # Answers are whole milliseconds, documents finer: none of a snapshot shall seem older than it.
        newest = {where: began - _A_MILLISECOND for where, began in newest_snapshots(runs).items()}
        return Coverage(newest, {host["key"]: _moment(host["last"]) for host in hosts})

    async def _count(self, filters: list[dict[str, Any]], counted: dict[str, Any]) -> list[dict[str, Any]]:
        with translated(self._settings, "search"):
            await check_version(self._client, self._settings)
            answer = await self._client.search(
                index=DATA_STREAMS,
                query={"bool": {"filter": filters}},
                aggs={"counted": counted},
                size=0,
                track_total_hits=False,
                ignore_unavailable=True,
            )
        buckets: list[dict[str, Any]] = answer.get("aggregations", {}).get("counted", {}).get("buckets", [])
        return buckets

    async def _newest(self, filters: list[dict[str, Any]], limit: int, source: list[str] | None = None) -> list[Fields]:
        return await self._search(filters, limit, _NEWEST_FIRST, source=source)

    async def _search(
        self,
        filters: list[dict[str, Any]],
        limit: int,
        order: list[dict[str, Any]],
        *,
        start: int = 0,
        source: list[str] | None = None,
    ) -> list[Fields]:
        """The first document, in that order, of each process that has any."""
        with translated(self._settings, "search"):
            await check_version(self._client, self._settings)
            answer = await self._client.search(
                index=DATA_STREAMS,
                query={"bool": {"filter": [*filters, {"exists": {"field": "process.entity_id"}}]}},
                collapse={"field": "process.entity_id"},
                sort=order,
                from_=start,
                size=min(limit, PROCESSES_MAX - start),
                source=True if source is None else {"includes": source},
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


def _between(since: datetime, until: datetime | None = None) -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": iso(since)} | ({"lte": iso(until)} if until else {})}}


def _entity(document: Fields) -> str:
    return str(document["process"]["entity_id"])


def _view(key: dict[str, Any]) -> View:
    return str(key["host.id"] or ""), str(key["host.boot.id"]), str(key["host.pid_ns_ino"] or "")


def _moment(value: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(value["value"] / 1000, UTC)
