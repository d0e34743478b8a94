"""Our documents in a real Elasticsearch, under the mappings made of fields.yml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from pipeline.document import Document
from pipeline.events import Script
from pipeline.process import Image
from pipeline.sinks.mappings import installables, runtime_mapping
from tests.enrich.examples import (
    CONFINED,
    CURL,
    GONE,
    IN_CONTAINER,
    KERNEL_THREAD,
    ORPHAN,
    SCRIPT,
    WEB_FACTS,
    ancestor,
    contained,
    describer,
    ended,
    executed,
    forked,
    process,
)

pytestmark = pytest.mark.elasticsearch

JSON = {"accept": "application/json", "content-type": "application/json"}
LONG = "é" * 20_000
FORGED = process(50, Image("nginx->bash", "/x", ("x",)), ancestors=(ancestor(40, Image("sh", "/sh", ("sh",))),))


def documents() -> list[Document]:
    by = describer()
    of = process(900, Image("x" * 50_000, "/" + LONG, (LONG, "\x00")), working_directory="/" + LONG)
    by.learn(contained({"container": {"name": "é" * 5000, "image": {"tag": ["x" * 5000]}}}))
    odd = process(
        902, SCRIPT._replace(environment=("BASH_ENV=" + LONG,), script=Script("/" + LONG, LONG)), credentials=CONFINED
    )
    inside = IN_CONTAINER._replace(image=CURL)
    made = [by.describe_running(process(901)), by.describe_gone(GONE), by.describe_running(inside)]
    by.learn(contained(WEB_FACTS))
    for one in (process(), of, ORPHAN, KERNEL_THREAD, FORGED, inside, odd):
        made += [
            document for event in (forked(one), executed(one), ended(one, 9)) if (document := by.describe(event, one))
        ]
    return made


@pytest.fixture(scope="module")
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url, request_timeout=60) as connected:
        for one in installables("90d", with_pipeline=False):
            connected.perform_request("PUT", one.path, headers=JSON, body=one.body)
        yield connected


@pytest.fixture
def index(client: Elasticsearch, namespace: str) -> str:
    """A data stream with every document in it."""
    name = f"logs-lineage.process-{namespace}"
    operations: list[Any] = []
    for document in documents():
        operations += ({"create": {"_id": document.id}}, document.body)
    done = client.bulk(index=name, operations=operations, refresh=True)
    assert not done["errors"], done
    return name


def search(client: Elasticsearch, index: str, query: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = client.search(index=index, query=query, size=100, **more)["hits"]["hits"]
    return hits


def test_every_value_of_every_document_is_indexed(client: Elasticsearch, index: str) -> None:
    assert client.count(index=index)["count"] == len(documents())
    assert search(client, index, {"exists": {"field": "_ignored"}}) == []
    assert len(search(client, index, {"prefix": {"process.name": "x" * 900}})) == 3


def test_an_instant_is_found_by_its_date(client: Elasticsearch, index: str) -> None:
    hits = search(client, index, {"term": {"process.start": "2026-01-01T02:46:40.123Z"}}, fields=["process.start"])
    assert hits
    assert {hit["fields"]["process.start"][0] for hit in hits} == {"2026-01-01T02:46:40.123Z"}
    assert {hit["_source"]["process"]["start"] for hit in hits} == {"2026-01-01T02:46:40.123456789Z"}


def test_the_runtime_field_computes_what_is_indexed(client: Elasticsearch, index: str) -> None:
    script = runtime_mapping()["process.lineage"]
    query = {"bool": {"must_not": [{"prefix": {"process.name": "xxx"}}, {"prefix": {"process.name": "nginx-"}}]}}
    hits = search(client, index, query, runtime_mappings={"computed": script}, fields=["computed"])
    assert len(hits) == len(documents()) - 6
    assert [hit["fields"]["computed"] for hit in hits] == [[hit["_source"]["process"]["lineage"]] for hit in hits]


def test_an_arrow_is_typed_as_one_likes_and_a_name_forges_none(client: Elasticsearch, index: str) -> None:
    expected = {hit["_id"] for hit in search(client, index, {"term": {"process.lineage": "bash → curl"}})}
    assert len(expected) == 4
    for typed in ("bash -> curl", "bash->curl", "bash => curl"):
        assert {hit["_id"] for hit in search(client, index, {"term": {"process.lineage": typed}})} == expected
    for field in ("process.lineage", "lineage.chain"):
        assert search(client, index, {"wildcard": {field: "*nginx → bash"}}) == []


def test_an_executable_and_a_container_are_found_by_what_they_are(client: Elasticsearch, index: str) -> None:
    for query, pids in (
        ({"term": {"lineage.executable.traits": "upper_layer"}}, {902}),
        ({"term": {"lineage.executable.traits": "memfd"}}, set()),  # of GONE there is the end alone
        ({"range": {"lineage.executable.modified": {"gte": "2023-11-14T22:13:20.123Z"}}}, {9012, 901, 9100}),
        ({"prefix": {"process.env_vars": "BASH_ENV="}}, {902}),
        ({"term": {"lineage.securebits": "SECBIT_NOROOT"}}, {902}),
        ({"range": {"lineage.exit.memory_peak_bytes": {"gte": 3 << 20}}}, {9012, 900, 300, 77, 50, 9100, 902}),
        ({"term": {"container.image.name": "registry.example.org:5000/team/web"}}, {9100}),
        ({"term": {"orchestrator.resource.name": "web-7d4b9"}}, {9100}),
    ):
        assert {hit["_source"]["process"]["pid"] for hit in search(client, index, query)} == pids, query


def test_anything_below_a_name_is_found_by_its_ancestors(client: Elasticsearch, index: str) -> None:
    hits = search(client, index, {"term": {"lineage.ancestors.name": "nginx"}})
    assert {hit["_source"]["process"]["name"] for hit in hits} >= {"curl"}
    assert all("nginx" in hit["_source"]["lineage"]["ancestors"]["name"] for hit in hits)
