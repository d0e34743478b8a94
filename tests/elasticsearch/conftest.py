from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, Elasticsearch
from pipeline.sinks.client import new_client


@pytest.fixture
def config(elasticsearch_url: str, namespace: str) -> Config:
    """Of a real server, and a namespace of the test's own."""
    return Config(namespace=namespace, elasticsearch=Elasticsearch(url=elasticsearch_url))


@pytest.fixture
async def client(config: Config) -> AsyncIterator[AsyncElasticsearch]:
    async with new_client(config.elasticsearch) as client:
        yield client
