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
from pipeline.config import Config
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client, shown, why

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


async def _remove(config: Config, namespace: str) -> None:
    """As far as it goes: not every server has that API, and not everybody that right."""
    name = data_stream(STREAM, namespace)
    async with new_client(config.elasticsearch) as client:
        try:
            await client.indices.delete_data_stream(name=name)
        except (ApiError, TransportError) as error:
            log.warning("a data stream of the benchmark stays", name=name, reason=str(error)[:80])
