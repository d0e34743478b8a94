"""Delivery into a real Elasticsearch: what only it can say about our requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import orjson
import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, Elasticsearch
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client
from pipeline.sinks.elasticsearch import ElasticsearchSink
from pipeline.sinks.install import ensure
from pipeline.sinks.outbox import open_outbox
from tests.sinks.support import document, documents

pytestmark = pytest.mark.elasticsearch


@pytest.fixture
def config(elasticsearch_url: str, namespace: str, tmp_path: Path) -> Config:
    return Config(namespace=namespace, state_directory=tmp_path, elasticsearch=Elasticsearch(url=elasticsearch_url))


@pytest.fixture
async def client(config: Config) -> AsyncIterator[AsyncElasticsearch]:
    await ensure(config)
    async with new_client(config.elasticsearch) as client:
        yield client


async def deliver(config: Config, *batches: list[Document]) -> Counters:
    counters = Counters()
    sink = ElasticsearchSink(config)
    sink.open()
    outbox = open_outbox(sink, config, counters)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            for batch in batches:
                await outbox.put(batch)
            await outbox.drain(60)
    finally:
        await outbox.aclose()
    return counters


async def count(client: AsyncElasticsearch, config: Config) -> int:
    stream = data_stream("process", config.namespace)
    await client.indices.refresh(index=stream)
    found: int = (await client.count(index=stream))["count"]
    return found


async def test_documents_in_many_batches_all_arrive_once(client: AsyncElasticsearch, config: Config) -> None:
    batches = [documents(500, first=number * 500) for number in range(6)]
    counters = await deliver(config, *batches, batches[0])
    assert (counters.delivered, counters.duplicates) == (3000, 500)
    assert await count(client, config) == 3000


async def test_a_document_that_does_not_fit_the_mapping_is_dead_with_the_servers_reason(
    client: AsyncElasticsearch, config: Config
) -> None:
    fields = orjson.loads(document(2).body)
    fields["@timestamp"] = "not a time"
    counters = await deliver(config, [document(1), Document("id2", "process", orjson.dumps(fields)), document(3)])
    assert counters.delivered == 2
    assert counters.refused == {"400 document_parsing_exception": 1}
    letter = orjson.loads((config.state_directory / "dead-letters.ndjson").read_bytes())
    assert letter["id"] == "id2"
    assert "@timestamp" in letter["reason"]
    assert letter["document"] == fields


async def test_compressed_requests_are_understood(client: AsyncElasticsearch, config: Config) -> None:
    elasticsearch = config.elasticsearch.model_copy(update={"compress": True})
    await deliver(config.model_copy(update={"elasticsearch": elasticsearch}), documents(50))
    assert await count(client, config) == 50


async def test_a_stream_without_template_keeps_its_documents_instead_of_making_an_index(
    client: AsyncElasticsearch, config: Config
) -> None:
    sink = ElasticsearchSink(config)
    await sink.connect()
    delivery = await sink.send([Document("id1", "no-such-template", document(1).body), document(2)])
    await sink.aclose()
    if delivery.done == 1:
        assert [again.id for again in delivery.again] == ["id1"]
        assert delivery.trouble.startswith("404 index_not_found_exception")
        stray = data_stream("no-such-template", config.namespace)
        assert not await client.indices.exists(index=stray)
    else:
        # A cluster with Elastic's own template for logs-*-* makes a data stream of it.
        assert delivery.done == 2


async def test_a_foreign_path_is_told_from_elasticsearch(elasticsearch_url: str, config: Config) -> None:
    elasticsearch = config.elasticsearch.model_copy(update={"url": f"{elasticsearch_url}/nowhere/at/all"})
    sink = ElasticsearchSink(config.model_copy(update={"elasticsearch": elasticsearch}))
    with pytest.raises(SinkError, match="mend ELASTICSEARCH_URL"):
        await sink.connect()
    await sink.aclose()
