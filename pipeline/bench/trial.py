"""A data stream of our own for a trial, and taken away afterwards where the server can."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import structlog
from elastic_transport import TransportError
from elasticsearch import ApiError

from pipeline.bench.base import CannotRun
from pipeline.config import Config, shown
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client, why

STREAM = "process"

log = structlog.get_logger()


@contextmanager
def namespace_of_our_own(config: Config) -> Iterator[str]:
    """A namespace nobody has used. Raises CannotRun when the server does not answer."""
    anyio.run(_answers, config)
    namespace = f"bench.{uuid.uuid4().hex[:12]}"
    try:
        yield namespace
    finally:
        anyio.run(_remove, config, namespace)


async def _answers(config: Config) -> None:
    async with new_client(config.elasticsearch) as client:
        try:
            await client.info()
        except (ApiError, TransportError) as error:
            reason = why(error) if isinstance(error, TransportError) else f"it answers {error.meta.status}"
            raise CannotRun(f"Elasticsearch at {shown(config.elasticsearch.url)}: {reason}") from error


def documents(config: Config, namespace: str) -> int:
    """How many documents can be found in it now; 0 while it is not there yet."""
    return anyio.run(_count, config, data_stream(STREAM, namespace))


async def _count(config: Config, name: str) -> int:
    async with new_client(config.elasticsearch) as client:
        try:
            return int((await client.count(index=name, ignore_unavailable=True))["count"])
        except (ApiError, TransportError):
            return 0  # its shard is being made; whoever waits has a deadline


async def _remove(config: Config, namespace: str) -> None:
    """As far as it goes: not every server has that API, and not everybody that right."""
    name = data_stream(STREAM, namespace)
    async with new_client(config.elasticsearch) as client:
        try:
            await client.indices.delete_data_stream(name=name)
        except (ApiError, TransportError) as error:
            log.warning("a data stream of the benchmark stays", name=name, reason=str(error)[:80])
