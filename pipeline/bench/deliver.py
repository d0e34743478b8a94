"""Our delivery beside the Elasticsearch client's own helper: the same documents, the same server, in turn.

Ours is the outbox and the sink as `run` uses them. The other is ``elasticsearch.helpers.async_streaming_bulk`` with its
defaults, given the documents as dictionaries that were made before: it serialises them itself, which is its way. Both
send to data streams with the same template, after a round each that warms the server up. CPU time is this process's.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import anyio
import orjson
from elastic_transport import TransportError
from elasticsearch import ApiError
from elasticsearch.helpers import BulkIndexError, async_streaming_bulk

from pipeline.bench.base import Setting
from pipeline.bench.mix import records
from pipeline.bench.trial import namespace_of_our_own
from pipeline.config import Config
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.enrich import Describer
from pipeline.errors import LineageError
from pipeline.flow import Flow
from pipeline.sinks import open_sink
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client
from pipeline.sinks.install import ensure
from pipeline.sinks.outbox import open_outbox
from pipeline.sources.base import Batch
from pipeline.sources.decode import decode_batch
from pipeline.tree import ProcessTree
from pipeline.view.figures import Figure

NAME = "deliver"
EVENTS, EVENTS_QUICK = 20_000, 2_000
ROUNDS, ROUNDS_QUICK = 3, 1
WARM_ROUNDS, WARM_ROUNDS_QUICK = 2, 1
DRAIN_S = 120.0

Way = Callable[[Config, Sequence[Document]], Awaitable["Took"]]


class Took(NamedTuple):
    wall_s: float
    cpu_s: float


def steps(quick: bool) -> int:
    return ROUNDS_QUICK + WARM_ROUNDS_QUICK if quick else ROUNDS + WARM_ROUNDS


def run(setting: Setting) -> list[Figure]:
    setting.needs_elasticsearch()
    config = setting.config.model_copy(update={"state_directory": setting.folder / "state"})
    config.state_directory.mkdir(exist_ok=True)
    ways: tuple[Way, Way] = (ours, helper)
    with namespace_of_our_own(config) as first, namespace_of_our_own(config) as second:
        configs = [config.model_copy(update={"namespace": name}) for name in (first, second)]
        taken: tuple[list[Took], list[Took]] = ([], [])
        count = 0
        for number in range(steps(setting.quick)):
            for way, own, took in zip(ways, configs, taken, strict=True):
                documents = made(own, EVENTS_QUICK if setting.quick else EVENTS, seed=number)
                count = len(documents)
                took.append(anyio.run(way, own, documents))
            setting.step()
    warm = WARM_ROUNDS_QUICK if setting.quick else WARM_ROUNDS
    figures: list[Figure] = []
    for name, took in zip(("ours", "async_streaming_bulk"), taken, strict=True):
        rate = statistics.median(count / each.wall_s for each in took[warm:])
        cpu_us = statistics.median(each.cpu_s * 1e6 / count for each in took[warm:])
        figures.append(Figure(NAME, name, rate, "documents/s", note=f"{len(took) - warm} rounds of {count:,}"))
        figures.append(Figure(NAME, f"{name}, client's CPU", cpu_us, "us/document"))
    return figures


def made(config: Config, events: int, *, seed: int) -> list[Document]:
    """Documents as ``flow`` makes them."""
    counters = Counters()
    tree = ProcessTree(config.processes_max, config.threads_max, counters)
    describer = Describer(config.namespace, config.mask_patterns, counters)
    flow = Flow(_Nothing(), tree, describer, _Nowhere(), counters, shutdown_s=0.0)
    return [document for batch in records(events, seed=seed) for document in flow.work(decode_batch(batch, counters))]


async def ours(config: Config, documents: Sequence[Document]) -> Took:
    """Outbox and sink, from the first document to the last confirmation."""
    counters = Counters()
    outbox = open_outbox(open_sink("elasticsearch", config, counters), config, counters, block=True)
    await ensure(config)
    try:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            for at in range(0, len(documents), 256):
                await outbox.put(documents[at : at + 256])
            await outbox.drain(DRAIN_S)
        took = Took(time.perf_counter() - began_s, time.process_time() - cpu_s)
    finally:
        await outbox.aclose()
    _all_there(counters.delivered, documents)
    return took


async def helper(config: Config, documents: Sequence[Document]) -> Took:
    """The client's helper, as its documentation shows it."""
    index = data_stream("process", config.namespace)
    actions = [
        {"_op_type": "create", "_index": index, "_id": each.id, "_source": orjson.loads(each.body)}
        for each in documents
    ]
    delivered = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # aiohttp's, on bodies of more than a MiB
        try:
            async with new_client(config.elasticsearch) as client:
                await client.info()
                began_s, cpu_s = time.perf_counter(), time.process_time()
                async for ok, _ in async_streaming_bulk(client, actions):
                    delivered += ok
                took = Took(time.perf_counter() - began_s, time.process_time() - cpu_s)
        except (ApiError, TransportError, BulkIndexError) as error:
            raise LineageError(f"async_streaming_bulk gave up: {str(error)[:200]}") from error
    _all_there(delivered, documents)
    return took


def _all_there(delivered: int, documents: Sequence[Document]) -> None:
    if delivered != len(documents):
        raise LineageError(f"{len(documents) - delivered:,} of {len(documents):,} documents were not taken")


class _Nothing:
    """A source that has ended."""

    groups: tuple[int, ...] = ()

    async def run(self) -> None:
        """Nothing."""

    async def receive(self) -> Batch:
        raise anyio.EndOfStream

    def finish(self) -> None:
        """It has."""

    async def aclose(self) -> None:
        """Nothing was opened."""


class _Nowhere:
    """An outbox for documents that are wanted themselves."""

    async def put(self, documents: Sequence[Document]) -> None:
        """Never called: nothing is received."""

    async def run(self) -> None:
        """Nothing to deliver."""

    async def drain(self, deadline_s: float) -> None:
        """Nothing to deliver."""
