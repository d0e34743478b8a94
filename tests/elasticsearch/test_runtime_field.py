from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config
from pipeline.errors import SinkError
from pipeline.sinks.install import Step
from tests.elasticsearch.samples import index, install, installed_stream, process

pytestmark = pytest.mark.elasticsearch

KEYWORD: dict[str, Any] = {"type": "keyword"}


def mapping(name: dict[str, Any] | None, parent: dict[str, Any] | None) -> dict[str, Any]:
    own: dict[str, Any] = {"pid": {"type": "long"}}
    if name is not None:
        own["name"] = name
    if parent is not None:
        own["parent"] = {"properties": {"name": parent}}
    return {"properties": {"process": {"properties": own}}}


@pytest.fixture
async def foreign(client: AsyncElasticsearch, namespace: str) -> AsyncIterator[str]:
    """Beginning of the names of other people's indices, deleted afterwards."""
    beginning = f"foreign-{namespace}"
    indices = {
        "ecs": mapping(KEYWORD, KEYWORD),
        "text": mapping({"type": "text"}, {"type": "text"}),
        "parent-text": mapping(KEYWORD, {"type": "text"}),
        "no-values": mapping({"type": "keyword", "doc_values": False}, KEYWORD),
        "no-parent": mapping(KEYWORD, None),
        "other": mapping(None, None),
    }
    for name, mappings in indices.items():
        await client.indices.create(index=f"{beginning}-{name}", mappings=mappings)
    yield beginning
    for name in indices:
        await client.indices.delete(index=f"{beginning}-{name}")


def of_runtime(steps: list[Step], beginning: str) -> dict[str, tuple[str, str]]:
    start = f"process.lineage on {beginning}-"
    return {step.thing.removeprefix(start): (step.outcome, step.note) for step in steps if step.thing.startswith(start)}


async def test_ecs_indices_get_the_field_and_others_are_named(
    client: AsyncElasticsearch, config: Config, foreign: str
) -> None:
    done = of_runtime(await install(client, config, runtime_for=[f"{foreign}-*"]), foreign)
    assert done == {
        "ecs": ("created", ""),
        "text": ("refused", "process.name is mapped as text, not keyword: every search would fail"),
        "parent-text": ("refused", "process.parent.name is mapped as text, not keyword: every search would fail"),
        "no-values": ("refused", "process.name has no doc_values: every search would fail"),
        "no-parent": ("omitted", "it has no process.parent.name"),
        "other": ("omitted", "it has no process.name"),
    }
    touched = await client.indices.get_mapping(index=f"{foreign}-*", filter_path="*.mappings.runtime")
    assert list(touched.body) == [f"{foreign}-ecs"]


async def test_it_finds_lineages_and_a_second_time_changes_nothing(
    client: AsyncElasticsearch, config: Config, foreign: str
) -> None:
    await install(client, config, runtime_for=[f"{foreign}-ecs"])
    again = await install(client, config, runtime_for=[f"{foreign}-ecs"])
    assert of_runtime(again, foreign) == {"ecs": ("unchanged", "")}
    documents = [{"process": {"name": "bash", "parent": {"name": parent}}} for parent in ("nginx", "sshd")]
    await index(client, f"{foreign}-ecs", documents)
    query = {"query_string": {"query": 'process.lineage: "nginx → bash"'}}
    assert (await client.count(index=f"{foreign}-ecs", query=query))["count"] == 1


async def test_another_script_of_that_name_is_replaced(
    client: AsyncElasticsearch, config: Config, foreign: str
) -> None:
    other = {"process.lineage": {"type": "keyword", "script": {"source": "emit('?')"}}}
    await client.indices.put_mapping(index=f"{foreign}-ecs", runtime=other)
    steps = await install(client, config, runtime_for=[f"{foreign}-ecs"])
    assert of_runtime(steps, foreign) == {"ecs": ("updated", "")}


async def test_our_own_data_streams_keep_the_indexed_field(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    await index(client, stream, [process("systemd", "nginx", "bash")])
    steps = await install(client, config, runtime_for=[stream])
    assert [(step.outcome, step.note) for step in steps if step.thing.startswith("process.lineage on")] == [
        ("unchanged", "it has the field indexed")
    ]


async def test_a_pattern_without_indices_is_an_error_before_anything_is_done(
    client: AsyncElasticsearch, config: Config, foreign: str
) -> None:
    with pytest.raises(SinkError, match=rf"no index is called nowhere-{foreign}-\*"):
        await install(client, config, runtime_for=[f"{foreign}-ecs", f"nowhere-{foreign}-*"])
    mappings = await client.indices.get_mapping(index=f"{foreign}-ecs")
    assert "runtime" not in mappings[f"{foreign}-ecs"]["mappings"]
