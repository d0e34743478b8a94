"""Each sink against the same contract."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from pipeline.config import MIB, Config, Elasticsearch
from pipeline.counters import Counters
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client
from pipeline.sinks.elasticsearch import ElasticsearchSink
from pipeline.sinks.install import ensure
from pipeline.sinks.ndjson import NdjsonSink
from pipeline.sinks.store import StoreSink
from tests.contracts.sinks import Arrived, SinkContract
from tests.sinks.scripted_server import ScriptedServer, scripted_server


class TestStore(SinkContract):
    @pytest.fixture
    async def sink(self, tmp_path: Path) -> AsyncIterator[StoreSink]:
        sink = StoreSink(tmp_path / "events.db", 16 * MIB, Counters())
        sink.open()
        yield sink
        await sink.aclose()

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Arrived:
        async def bodies() -> list[bytes]:
            connection = sqlite3.connect(tmp_path / "events.db")
            try:
                return [body for (body,) in connection.execute("SELECT body FROM documents")]
            finally:
                connection.close()

        return bodies


class TestNdjson(SinkContract):
    idempotent = False

    @pytest.fixture
    async def sink(self, tmp_path: Path) -> AsyncIterator[NdjsonSink]:
        sink = NdjsonSink(str(tmp_path / "out.ndjson"))
        sink.open()
        yield sink
        await sink.aclose()

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Arrived:
        async def bodies() -> list[bytes]:
            return (tmp_path / "out.ndjson").read_bytes().split(b"\n")[:-1]

        return bodies


class TestElasticsearchScripted(SinkContract):
    @pytest.fixture
    async def server(self) -> AsyncIterator[ScriptedServer]:
        async with scripted_server() as server:
            yield server

    @pytest.fixture
    async def sink(self, server: ScriptedServer) -> AsyncIterator[ElasticsearchSink]:
        sink = ElasticsearchSink(Config(elasticsearch=Elasticsearch(url=server.url)))
        sink.open()
        yield sink
        await sink.aclose()

    @pytest.fixture
    def arrived(self, server: ScriptedServer) -> Arrived:
        async def bodies() -> list[bytes]:
            return list(server.bodies.values())

        return bodies


@pytest.mark.elasticsearch
class TestElasticsearch(SinkContract):
    """A real server with our templates: without them there is no data stream."""

    exact = False  # the ingest pipeline takes documents apart

    @pytest.fixture
    def config(self, elasticsearch_url: str, namespace: str) -> Config:
        return Config(namespace=namespace, elasticsearch=Elasticsearch(url=elasticsearch_url))

    @pytest.fixture
    async def sink(self, config: Config) -> AsyncIterator[ElasticsearchSink]:
        await ensure(config)
        sink = ElasticsearchSink(config)
        sink.open()
        yield sink
        await sink.aclose()

    @pytest.fixture
    def arrived(self, config: Config) -> Arrived:
        async def bodies() -> list[bytes]:
            client = new_client(config.elasticsearch)
            try:
                stream = data_stream("process", config.namespace)
                if not await client.indices.exists(index=stream):
                    return []
                await client.indices.refresh(index=stream)
                hits = (await client.search(index=stream, size=1000))["hits"]["hits"]
                for hit in hits:
                    hit["_source"]["event"].pop("ingested", None)  # the pipeline's own
                return [orjson.dumps(hit["_source"]) for hit in hits]
            finally:
                await client.close()

        return bodies
