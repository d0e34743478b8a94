"""Install mappings, templates, pipeline and alias in Elasticsearch; again and again without harm.

Rules: only what differs is sent, and each step says what was done; what a newer release installed is left alone; what
the user made (``logs-lineage@custom``) is never written; nothing waits for a server. A data stream that exists is
brought up to date in place where its mapping only grows, and rolled over where that is not enough.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from elasticsearch import AsyncElasticsearch

from pipeline.config import Config
from pipeline.errors import SinkError
from pipeline.sinks import mappings, runtime_field, streams
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client
from pipeline.sinks.mappings import Installable
from pipeline.sinks.settings import canonical
from pipeline.sinks.translate import ForbiddenError, check_version, translated

JSON = {"accept": "application/json", "content-type": "application/json"}


class Step(NamedTuple):
    """One thing and what became of it: created, updated, unchanged, rolled over, omitted, newer, stale, refused."""

    thing: str
    outcome: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.thing}: {self.outcome}" + (f" ({self.note})" if self.note else "")


async def install(
    client: AsyncElasticsearch,
    config: Config,
    retention_days: int | None = None,
    force: bool = False,
    runtime_for: Sequence[str] = (),
    roll_over: bool = True,
    streams_of: str = mappings.DATA_STREAMS,
) -> list[Step]:
    """Install everything that is not there yet, or not like this; what was done, in order.

    ``retention_days`` None keeps what is installed, 90 where nothing is. ``roll_over`` False leaves a data stream whose
    mapping would have to be rolled over as it is, and says so; ``streams_of``: which of the existing ones. Raises
    UsageError for a retention under 30 days without ``force``, SinkError (ForbiddenError for a missing right) and
    SinkUnavailable.
    """
    if retention_days is not None:
        mappings.check_retention(retention_days, force)
    await check_version(client, config.elasticsearch)
    with translated(config.elasticsearch, "install the mappings"):
        wanted_runtime = [await runtime_field.plan(client, pattern) for pattern in runtime_for]
        with_pipeline = await _processors(client) >= mappings.PROCESSORS
        retention = f"{retention_days}d" if retention_days is not None else await _installed_retention(client)
        steps = []
        if not with_pipeline:
            steps.append(Step(f"ingest pipeline {mappings.NAME}", "omitted", "this server has no processors for it"))
        installables = mappings.installables(retention, with_pipeline=with_pipeline)
        steps += [await _install(client, installable) for installable in installables]
        await streams.check_place(client, config.namespace)
        steps += [Step(*done) for done in await streams.refresh(client, streams_of, installables, retention, roll_over)]
        for plan in wanted_runtime:
            steps += [Step(*done) for done in await runtime_field.apply(client, plan)]
    return steps


def preparation(config: Config, tell: Callable[[Step], None]) -> Callable[[], Awaitable[None]]:
    """What `run` does once the server answers. Files and certificates are read now, while that is still allowed."""
    client = new_client(config.elasticsearch)

    async def prepare() -> None:
        try:
            for step in await ensure(config, client):
                tell(step)
        finally:
            await client.close()  # opens again by itself, should this be tried again

    return prepare


async def ensure(config: Config, client: AsyncElasticsearch | None = None) -> list[Step]:
    """Install, but with less than an administrator's rights and hands.

    An account that may only create documents is enough where the templates exist, or where that cannot be seen; the
    retention stays as it is; no data stream is rolled over, since all agents of a fleet may start at once.
    """
    if client is None:
        async with new_client(config.elasticsearch) as own:
            return await ensure(config, own)
    try:
        return await install(client, config, roll_over=False, streams_of=data_stream("*", config.namespace))
    except ForbiddenError as error:
        if await _known_missing(client):
            raise SinkError(
                "the templates are not installed and this account may not install them",
                "run `lineage setup` once with an account that may",
            ) from error
        return [Step("mappings", "kept", "this account may not install them: `lineage setup` with one that may")]


def printed(retention_days: int | None, runtime_for: Sequence[str] = (), *, kibana: bool = False) -> dict[str, Any]:
    """All requests as they would be sent to a server that has nothing yet: ``"PUT /path": body``."""
    retention = f"{retention_days or mappings.RETENTION_DAYS}d"
    requests = {f"PUT {each.path}": each.body for each in mappings.installables(retention)}
    for pattern in runtime_for:
        requests[f"PUT /{pattern}/_mapping"] = {"runtime": mappings.runtime_mapping()}
    if kibana:
        requests["POST kbn:/api/data_views/data_view"] = mappings.data_view()
    return requests


async def _processors(client: AsyncElasticsearch) -> frozenset[str]:
    """Types of ingest processors that every node has."""
    answer = await client.nodes.info(metric="ingest", filter_path="nodes.*.ingest.processors.type")
    nodes = [node.get("ingest", {}).get("processors", []) for node in answer.get("nodes", {}).values()]
    kinds = [frozenset(str(processor["type"]) for processor in processors) for processors in nodes]
    return frozenset.intersection(*kinds) if kinds else frozenset()


async def _installed_retention(client: AsyncElasticsearch) -> str:
    installed = await _get(client, Installable("", f"/_component_template/{mappings.SETTINGS}", {}))
    lifecycle = (installed or {}).get("template", {}).get("lifecycle", {})
    return str(lifecycle.get("data_retention", f"{mappings.RETENTION_DAYS}d"))


async def _install(client: AsyncElasticsearch, wanted: Installable) -> Step:
    thing = f"{wanted.kind} {wanted.name}"
    installed = await _get(client, wanted)
    if installed is not None:
        if int(installed.get("version") or 0) > wanted.body["version"]:
            return Step(thing, "newer", "left as a later release installed it")
        if canonical(installed) == canonical(wanted.body):
            return Step(thing, "unchanged")
    await client.perform_request("PUT", wanted.path, headers=JSON, body=wanted.body)
    return Step(thing, "created" if installed is None else "updated")


async def _get(client: AsyncElasticsearch, wanted: Installable) -> dict[str, Any] | None:
    """The installed body, or None. The three kinds wrap it in different ways."""
    answer = await client.options(ignore_status=404).perform_request("GET", wanted.path, headers=JSON)
    if answer.meta.status == 404:
        return None
    body: dict[str, Any] = answer.body
    try:
        return _unwrapped(body, wanted)
    except (KeyError, IndexError, TypeError) as error:
        raise SinkError(
            f"the server's answer to GET {wanted.path} is not Elasticsearch's",
            "is ELASTICSEARCH_URL the right address?",
        ) from error


def _unwrapped(body: dict[str, Any], wanted: Installable) -> dict[str, Any]:
    for plural, singular in (("component_templates", "component_template"), ("index_templates", "index_template")):
        if plural in body:
            found: dict[str, Any] = body[plural][0][singular]
            return found
    pipeline: dict[str, Any] = body[wanted.name]
    return pipeline


async def _known_missing(client: AsyncElasticsearch) -> bool:
    """Whether the server says that the index template does not exist; False when it will not say."""
    quiet = client.options(ignore_status=(403, 404))
    answer = await quiet.perform_request("GET", f"/_index_template/{mappings.NAME}", headers=JSON)
    return answer.meta.status == 404
