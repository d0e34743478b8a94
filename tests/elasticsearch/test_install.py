from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, Elasticsearch
from pipeline.errors import SinkError, SinkUnavailable, UsageError
from pipeline.sinks import mappings
from pipeline.sinks.bulk import data_stream
from pipeline.sinks.client import new_client
from pipeline.sinks.install import Step, ensure
from pipeline.sinks.install import install as install_all
from pipeline.sinks.translate import ForbiddenError
from tests.elasticsearch.samples import index, install, installed_stream, process
from tests.elasticsearch.scripted import Answer, elasticsearch, error, scripted

real = pytest.mark.elasticsearch

TEMPLATES = [
    "component template logs-lineage@settings",
    "component template logs-lineage@fields",
    "index template logs-lineage",
]


def outcomes(steps: list[Step], of: list[str]) -> dict[str, str]:
    return {step.thing: step.outcome for step in steps if step.thing in of}


@asynccontextmanager
async def custom_mappings(client: AsyncElasticsearch, properties: dict[str, Any]) -> AsyncIterator[None]:
    """What a user put into logs-lineage@custom, gone again afterwards: the templates are the whole server's."""
    await client.cluster.put_component_template(name=mappings.CUSTOM, template={"mappings": {"properties": properties}})
    try:
        yield
    finally:
        await client.cluster.put_component_template(name=mappings.CUSTOM, template={})


@real
async def test_setup_twice_changes_nothing(client: AsyncElasticsearch, config: Config) -> None:
    await install(client, config)
    again = await install(client, config)
    assert {step.outcome for step in again} <= {"unchanged", "omitted"}
    assert outcomes(again, TEMPLATES) == dict.fromkeys(TEMPLATES, "unchanged")


@real
async def test_setup_mends_what_somebody_changed(client: AsyncElasticsearch, config: Config) -> None:
    await install(client, config)
    await client.cluster.put_component_template(
        name=mappings.SETTINGS, template={"settings": {"index.codec": "default"}}
    )
    assert outcomes(await install(client, config), TEMPLATES)[TEMPLATES[0]] == "updated"


@real
async def test_what_a_later_release_installed_is_left_alone(client: AsyncElasticsearch, config: Config) -> None:
    await install(client, config)
    try:
        await client.cluster.put_component_template(
            name=mappings.SETTINGS, template={"settings": {"index.codec": "default"}}, version=mappings.version() + 1
        )
        assert outcomes(await install(client, config), TEMPLATES)[TEMPLATES[0]] == "newer"
    finally:
        await client.cluster.put_component_template(name=mappings.SETTINGS, template={}, version=0)
        await install(client, config)


@real
async def test_retention_is_90_days_then_what_was_asked_then_kept(client: AsyncElasticsearch, config: Config) -> None:
    async def retention() -> Any:
        simulated = await client.indices.simulate_index_template(name=data_stream("process", config.namespace))
        return simulated["template"]["lifecycle"]["data_retention"]

    try:
        await install(client, config, retention_days=90)
        assert await retention() == "90d"
        await install(client, config, retention_days=365)
        await install(client, config)
        assert await retention() == "365d"
        await install(client, config, retention_days=7, force=True)
        assert await retention() == "7d"
    finally:
        await install(client, config, retention_days=90)


async def test_a_retention_under_30_days_needs_force(config_of_nobody: Config) -> None:
    async with new_client(config_of_nobody.elasticsearch) as client:
        with pytest.raises(UsageError, match=r"29 days is too short.*--force"):
            await install(client, config_of_nobody, retention_days=29)
        with pytest.raises(UsageError, match="0 days keeps nothing"):
            await install(client, config_of_nobody, retention_days=0, force=True)


@real
async def test_a_data_stream_is_made_by_the_first_document(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    await index(client, stream, [process("systemd", "nginx", "bash")])
    resolved = await client.indices.resolve_index(name=stream)
    assert [each["name"] for each in resolved["data_streams"]] == [stream]
    aliases = await client.indices.get_alias(index=stream)
    assert mappings.ALIAS in aliases[stream]["aliases"]


@real
async def test_the_pipeline_says_when_a_document_arrived(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    steps = await install(client, config)
    await index(client, stream, [process("systemd", "nginx", "bash")])
    source = (await client.search(index=stream))["hits"]["hits"][0]["_source"]
    omitted = any(step.outcome == "omitted" and "pipeline" in step.thing for step in steps)
    assert ("ingested" in source["event"]) is not omitted


@real
async def test_a_new_field_reaches_an_existing_data_stream_in_place(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    await index(client, stream, [process("systemd", "nginx")])
    async with custom_mappings(client, {"lineage_test_site": {"type": "keyword"}}):
        steps = await install(client, config)
        assert outcomes(steps, [f"data stream {stream}"]) == {f"data stream {stream}": "updated"}
        assert "lineage_test_site" in str(await client.indices.get_mapping(index=stream))
        assert len((await client.indices.get_mapping(index=stream)).body) == 1


@real
async def test_a_changed_field_rolls_the_data_stream_over(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    await index(client, stream, [process("systemd", "nginx")])
    thing = f"data stream {stream}"
    async with custom_mappings(client, {"lineage": {"properties": {"depth": {"type": "keyword"}}}}):
        with_hands_tied = await ensure(config, client)
        assert outcomes(with_hands_tied, [thing]) == {thing: "stale"}
        assert outcomes(await install(client, config), [thing]) == {thing: "rolled over"}
        assert outcomes(await install(client, config), [thing]) == {thing: "unchanged"}
    await install(client, config)
    await index(client, stream, [process("systemd", "nginx", "bash")])
    assert (await client.count(index=stream))["count"] == 2


@real
async def test_a_template_that_takes_our_data_streams_is_an_error(client: AsyncElasticsearch, config: Config) -> None:
    await client.indices.put_index_template(
        name=f"greedy-{config.namespace}",
        index_patterns=[f"logs-lineage.*-{config.namespace}"],
        data_stream={},
        priority=900,
    )
    try:
        with pytest.raises(SinkError, match=r"another index template takes .* priority under 300"):
            await install(client, config)
    finally:
        await client.indices.delete_index_template(name=f"greedy-{config.namespace}")


@real
async def test_a_mapping_conflict_with_the_users_own_is_one_line(client: AsyncElasticsearch, config: Config) -> None:
    await install(client, config)
    async with custom_mappings(client, {"process": {"type": "keyword"}}):
        with pytest.raises(SinkError, match=r"no longer map process.lineage as keyword: mend .*logs-lineage@custom"):
            await install(client, config)
    await install(client, config)


async def test_what_the_server_refuses_is_said_in_its_words() -> None:
    answers = stream_answers() | {"PUT /_index_template": error(400, "mapper [process] cannot be\nchanged")}
    with scripted(elasticsearch(answers=answers)) as (url, _):
        assert "refuses to install the mappings (mapper [process] cannot be changed)" in await failing(url)


async def test_an_index_in_the_place_of_a_data_stream_is_named() -> None:
    squatter = {"name": "logs-lineage.process-default", "attributes": ["open"]}
    answers = stream_answers(resolved={"indices": [squatter], "aliases": [], "data_streams": []})
    with scripted(elasticsearch(answers=answers)) as (url, _):
        assert "logs-lineage.process-default is an index, not a data stream" in await failing(url)


@pytest.fixture
def config_of_nobody() -> Config:
    return Config(elasticsearch=Elasticsearch(url="http://127.0.0.1:9"))


async def failing(url: str) -> str:
    """The message of an install that cannot work."""
    config = Config(elasticsearch=Elasticsearch(url=url))
    async with new_client(config.elasticsearch) as client:
        with pytest.raises((SinkError, SinkUnavailable)) as caught:
            await install_all(client, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_nobody_there_is_said_at_once() -> None:
    assert "does not answer (connection refused): start it, or mend ELASTICSEARCH_URL" in await failing(
        "http://127.0.0.1:9"
    )


async def test_wrong_credentials_say_which_variables() -> None:
    with scripted(elasticsearch(answers={"GET /": error(401, "unable to authenticate")})) as (url, _):
        assert "refuses the credentials: set ELASTICSEARCH_API_KEY" in await failing(url)


async def test_an_old_version_is_named() -> None:
    with scripted(elasticsearch("7.17.9")) as (url, asked):
        assert "is version 7.17.9, too old: 8.16 is the oldest that works" in await failing(url)
    assert [request.method for request in asked] == ["GET"]


async def test_what_is_not_elasticsearch_is_told_so() -> None:
    with scripted(elasticsearch("2.11.0"), headers={}) as (url, _):
        assert "is not Elasticsearch: mend ELASTICSEARCH_URL" in await failing(url)


async def test_a_missing_right_is_an_error_of_its_own() -> None:
    answers = {"GET /_nodes": error(403, "action [cluster:monitor/nodes/info] is unauthorized")}
    with scripted(elasticsearch(answers=answers)) as (url, _):
        config = Config(elasticsearch=Elasticsearch(url=url))
        async with new_client(config.elasticsearch) as client:
            with pytest.raises(ForbiddenError, match="does not let this account install the mappings"):
                await install(client, config)


@pytest.mark.parametrize(("status", "words"), [(404, "run `lineage setup` once"), (200, None), (403, None)])
async def test_run_needs_no_right_to_install_unless_templates_are_missing(status: int, words: str | None) -> None:
    answers = {
        "GET /_nodes": error(403, "unauthorized"),
        "GET /_index_template/logs-lineage": (status, {}) if status == 200 else error(status, "no"),
    }
    with scripted(elasticsearch(answers=answers)) as (url, _):
        config = Config(elasticsearch=Elasticsearch(url=url))
        if words is not None:
            with pytest.raises(SinkError, match=words):
                await ensure(config)
        else:
            assert [step.outcome for step in await ensure(config)] == ["kept"]


async def test_a_server_without_the_processors_gets_no_pipeline() -> None:
    whole = mappings.installables("90d", with_pipeline=True)
    less = mappings.installables("90d", with_pipeline=False)
    assert {each.kind for each in whole} - {each.kind for each in less} == {"ingest pipeline"}
    assert "default_pipeline" not in str(less)
    assert "default_pipeline" in str(whole)


STREAM = "logs-lineage.process-default"


def stream_answers(resolved: dict[str, Any] | None = None) -> dict[str, Answer]:
    """Of a server with one data stream, up to date but for its retention."""
    ours: dict[str, Any] = {}
    for each in mappings.installables("90d", with_pipeline=False):
        ours |= each.body.get("template", {}).get("settings", {}).get("index", {})
    fields = {"properties": {"process": {"properties": {"lineage": {"type": "keyword"}}}}}
    stream = {"name": STREAM, "backing_indices": [".ds-x-000001"]}
    done = (200, {"acknowledged": True})
    return {
        "GET /_nodes": (200, {"nodes": {"a": {"ingest": {"processors": [{"type": "redact"}]}}}}),
        "GET /_component_template": error(404, "none"),
        "GET /_index_template": error(404, "none"),
        "PUT /_component_template": done,
        "PUT /_index_template": done,
        "GET /_resolve/index": (200, resolved or {"indices": [], "aliases": [], "data_streams": [stream]}),
        "POST /_index_template/_simulate_index": (200, {"template": {"settings": {"index": ours}, "mappings": fields}}),
        "GET /.ds-x-000001": (200, {".ds-x-000001": {"settings": {"index": ours}, "mappings": fields}}),
        "GET /logs-lineage.*-*/_alias": (200, {STREAM: {"aliases": {mappings.ALIAS: {}}}}),
        "GET /_data_stream/logs-lineage.*-*/_lifecycle": (
            200,
            {"data_streams": [{"name": STREAM, "lifecycle": {"data_retention": "90d"}}]},
        ),
        f"PUT /_data_stream/{STREAM}/_lifecycle": done,
    }


@pytest.mark.parametrize(("days", "sent"), [(60, [{"data_retention": "60d"}]), (90, [])])
async def test_the_retention_of_an_existing_data_stream_follows(days: int, sent: list[Any]) -> None:
    with scripted(elasticsearch(answers=stream_answers())) as (url, asked):
        config = Config(elasticsearch=Elasticsearch(url=url))
        async with new_client(config.elasticsearch) as client:
            await install_all(client, config, retention_days=days)
    lifecycles = [request for request in asked if request.method == "PUT" and "_lifecycle" in request.path]
    assert [request.body for request in lifecycles] == sent
