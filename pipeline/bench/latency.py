"""From an exec to a search that finds it: the live agent, a real Elasticsearch with its default refresh of a second.

One true(1) at a time, at intervals that share no rhythm with the refresh; meanwhile one search after the other asks for
all that are there. Measured is from just before posix_spawn to the answer of the first search that has its document:
the way through kernel, tree, outbox (``flush_age_ms``), indexing and refresh, and one search.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Set
from typing import Any

import anyio
import anyio.to_thread
from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch

from pipeline.bench.agent import Agent
from pipeline.bench.base import CannotRun, Setting
from pipeline.bench.programs import Program, storm_program
from pipeline.bench.trial import namespace_of_our_own
from pipeline.errors import LineageError
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client, why
from pipeline.view.figures import Figure

NAME = "latency"
EXECS, EXECS_QUICK = 200, 20
EVERY_S = 0.137
SEARCH_EVERY_S = 0.02
DEADLINE_S = 60.0
SHARD_NOT_YET_THERE = 503  # of a data stream just made
PART = 10  # execs a step of the progress bar


def steps(quick: bool) -> int:
    return (EXECS_QUICK if quick else EXECS) // PART


def run(setting: Setting) -> list[Figure]:
    setting.needs_root()
    setting.needs_elasticsearch()
    with (
        namespace_of_our_own(setting.config) as namespace,
        storm_program() as load,
        Agent(setting, sink="elasticsearch", keys={"namespace": namespace}) as agent,
    ):
        agent.wait_until_ready()
        seconds = anyio.run(_measure, setting, load, data_stream("process", namespace))
        agent.end()
    flush = setting.config.flush_age_ms
    note = f"{len(seconds)} execs, one every {EVERY_S * 1000:.0f} ms; flush_age_ms {flush}, refresh_interval 1s"
    return [
        Figure(NAME, "exec to searchable, p50", statistics.median(seconds) * 1000, "ms", note=note),
        Figure(NAME, "exec to searchable, p99", _p99(seconds) * 1000, "ms"),
    ]


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


async def _measure(setting: Setting, load: Program, index: str) -> list[float]:
    """Seconds of each exec. Raises CannotRun when one was never found."""
    count = EXECS_QUICK if setting.quick else EXECS
    async with new_client(setting.config.elasticsearch) as client:
        search = _Search(client, index, load.pid)
        # The first document makes the data stream: that is no latency.
        await search.until_found({(await _exec(load))[0]})
        began_s: dict[int, float] = {}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(search.until_cancelled)
            for number in range(count):
                pid, at_s = await _exec(load)
                began_s[pid] = at_s
                if number % PART == PART - 1:
                    setting.step()
                await anyio.sleep(EVERY_S)
            tasks.cancel_scope.cancel()
        await search.until_found(began_s.keys())
    return [search.found_s[pid] - at_s for pid, at_s in began_s.items()]


class _Search:
    """One search after the other, and when each exec below ``parent`` was first in an answer."""

    def __init__(self, client: AsyncElasticsearch, index: str, parent: int) -> None:
        self._client = client
        self._index = index
        filters: list[dict[str, Any]] = [{"term": {"process.parent.pid": parent}}, {"term": {"event.action": "exec"}}]
        self._query = {"bool": {"filter": filters}}
        self.found_s: dict[int, float] = {}

    async def until_cancelled(self) -> None:
        while True:
            await self._once()
            await anyio.sleep(SEARCH_EVERY_S)

    async def until_found(self, pids: Set[int]) -> None:
        """Raises CannotRun when they are not all there within DEADLINE_S."""
        deadline_s = time.monotonic() + DEADLINE_S
        await self._once()
        while missing := len(pids - self.found_s.keys()):
            if time.monotonic() > deadline_s:
                raise CannotRun(f"{missing} of {len(pids)} execs were not found within {DEADLINE_S:.0f} s")
            await anyio.sleep(SEARCH_EVERY_S)
            await self._once()

    async def _once(self) -> None:
        try:
            answer = await self._client.search(
                index=self._index,
                query=self._query,
                size=1000,
                source=False,
                docvalue_fields=[{"field": "process.pid"}],
                ignore_unavailable=True,
                track_total_hits=False,
            )
        except ApiError as error:
            if error.meta.status == SHARD_NOT_YET_THERE:
                return
            raise LineageError(f"Elasticsearch refuses the search: {str(error)[:200]}") from error
        except TransportError as error:
            raise LineageError(f"Elasticsearch does not answer the search: {why(error)}") from error
        now = time.monotonic()
        for hit in answer["hits"]["hits"]:
            self.found_s.setdefault(hit["fields"]["process.pid"][0], now)


async def _exec(load: Program) -> tuple[int, float]:
    answer = await anyio.to_thread.run_sync(load.ask, "mark")
    return int(answer["pid"]), float(answer["at_s"])
