"""The queries that analysts have in their notebooks, run as they are written there."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config
from pipeline.enrich.text import TERM_MAX_BYTES
from pipeline.sinks import mappings
from tests.elasticsearch.samples import index, installed_stream, process

pytestmark = pytest.mark.elasticsearch

AGGREGATION = """
{
  "query": {
    "bool": {
      "filter": [
        { "term":  { "event.category": "process" } },
        { "term":  { "event.type":     "start"   } },
        { "term":  { "process.parent.name": "nginx" } },
        { "range": { "@timestamp": { "gte": "now-1h" } } }
      ]
    }
  },
  "aggs": {
    "child_processes": {
      "terms": {
        "field": "process.name",
        "size":  50
      },
      "aggs": {
        "grandchildren": {
          "terms": {
            "field": "process.args",
            "size":  20
          }
        },
        "by_host": {
          "terms": {
            "field": "host.name",
            "size":  20
          }
        }
      }
    }
  },
  "size": 0
}
"""

RUNTIME_MAPPINGS = '''
{
  "runtime_mappings": {
    "process.lineage": {
      "type": "keyword",
      "script": {
        "source": """
          String parent = doc.containsKey('process.parent.name')
            && doc['process.parent.name'].size() > 0
            ? doc['process.parent.name'].value
            : 'unknown';
          String child = doc.containsKey('process.name')
            && doc['process.name'].size() > 0
            ? doc['process.name'].value
            : 'unknown';
          emit(parent + ' → ' + child);
        """
      }
    }
  }
}
'''


def console_json(text: str) -> dict[str, Any]:
    """A request as Kibana's console takes it: with strings in triple quotes."""
    plain = re.sub(r'"""(.*?)"""', lambda found: json.dumps(found[1]), text, flags=re.DOTALL)
    request: dict[str, Any] = json.loads(plain)
    return request


@pytest.fixture
async def stream(client: AsyncElasticsearch, config: Config) -> str:
    """A data stream of ours with a web shell in it, and what is no web shell."""
    stream = await installed_stream(client, config)
    host = f"host-{config.namespace}"
    documents = [
        process("systemd", "nginx", "bash", host=host, pid=2000 + number, args=["bash", "-c", "id"])
        for number in range(30)
    ]
    documents += [
        process("systemd", "nginx", "bash", action="end", host=host, exit_code=1),
        process("systemd", "nginx", "bash", "curl", host=host),
        process("systemd", "sshd", "bash", host=host),
        process("systemd", "nginx", "bash-completion", host=host),
        process("systemd", "nginx", "bash", host=host, seconds_ago=7200.0),
        process("systemd", "nginx → bash", "x", host=host),
        process("systemd", host=host),
    ]
    await index(client, stream, documents)
    return stream


async def lineages(client: AsyncElasticsearch, target: str, query: dict[str, Any], **more: Any) -> dict[str, int]:
    """How many hits of each indexed lineage."""
    answer = await client.search(index=target, query=query, size=1000, **more)
    found: dict[str, int] = {}
    for hit in answer["hits"]["hits"]:
        own = hit["_source"]["process"]
        lineage = own.get("lineage", f"{own['parent']['name']} → {own['name']}" if "parent" in own else "")
        found[lineage] = found.get(lineage, 0) + 1
    return found


@pytest.mark.parametrize(
    "kql", ['"nginx → bash"', '"nginx -> bash"', '"nginx->bash"', '"nginx=>bash"', '"nginx→bash"', '"nginx  →  bash"']
)
async def test_the_lineage_is_found_however_the_arrow_is_typed(
    client: AsyncElasticsearch, stream: str, kql: str
) -> None:
    query = {"query_string": {"query": f"process.lineage: {kql}"}}
    assert await lineages(client, stream, query) == {"nginx → bash": 32}
    term = {"term": {"process.lineage": kql.strip('"')}}
    assert await lineages(client, stream, term) == {"nginx → bash": 32}


async def test_a_wildcard_finds_every_child_of_nginx(client: AsyncElasticsearch, stream: str) -> None:
    query = {"wildcard": {"process.lineage": "nginx -> *"}}
    assert await lineages(client, stream, query) == {"nginx → bash": 32, "nginx → bash-completion": 1}


async def test_a_name_with_an_arrow_forges_nothing(client: AsyncElasticsearch, stream: str) -> None:
    found = await lineages(client, stream, {"term": {"process.name": "x"}})
    assert found == {"nginx \\u2192 bash → x": 1}


async def test_an_aggregation_prints_the_arrow(client: AsyncElasticsearch, stream: str) -> None:
    aggregation = {"lineages": {"terms": {"field": "process.lineage"}}}
    answer = await client.search(index=stream, aggs=aggregation, size=0)
    keys = [bucket["key"] for bucket in answer["aggregations"]["lineages"]["buckets"]]
    assert "nginx → bash" in keys
    assert "unknown → systemd" in keys


async def test_the_lineage_aggregation_runs_as_written(client: AsyncElasticsearch, config: Config, stream: str) -> None:
    answer = await client.search(index="security-events-*", **json.loads(AGGREGATION))
    children = {bucket["key"]: bucket for bucket in answer["aggregations"]["child_processes"]["buckets"]}
    hosts = {bucket["key"]: bucket["doc_count"] for bucket in children["bash"]["by_host"]["buckets"]}
    assert hosts[f"host-{config.namespace}"] == 30
    assert {"bash", "-c", "id"} <= {bucket["key"] for bucket in children["bash"]["grandchildren"]["buckets"]}
    assert "bash-completion" in children


async def test_the_runtime_field_finds_the_same_on_our_data(client: AsyncElasticsearch, stream: str) -> None:
    query = {"query_string": {"query": 'process.lineage: "nginx → bash"'}}
    assert await lineages(client, stream, query, **console_json(RUNTIME_MAPPINGS)) == {"nginx → bash": 32}


async def test_the_runtime_field_equals_the_indexed_one(client: AsyncElasticsearch, stream: str) -> None:
    computed = await client.search(
        index=stream,
        query={"bool": {"must_not": {"term": {"process.name": "x"}}}},
        fields=[{"field": "process.lineage"}],
        size=1000,
        **console_json(RUNTIME_MAPPINGS),
    )
    for hit in computed["hits"]["hits"]:
        assert hit["fields"]["process.lineage"] == [hit["_source"]["process"]["lineage"]]
    assert len(computed["hits"]["hits"]) == 36


async def test_the_runtime_field_works_on_a_foreign_ecs_index(client: AsyncElasticsearch, namespace: str) -> None:
    foreign = f"foreign-{namespace}"
    await client.indices.create(
        index=foreign,
        mappings={
            "properties": {
                "process": {
                    "properties": {
                        "name": {"type": "keyword"},
                        "parent": {"properties": {"name": {"type": "keyword"}}},
                    }
                }
            }
        },
    )
    try:
        await index(
            client,
            foreign,
            [
                {"process": {"name": "bash", "parent": {"name": "nginx"}}},
                {"process": {"name": "bash", "parent": {"name": "sshd"}}},
                {"process": {"name": "bash"}},
            ],
        )
        query = {"term": {"process.lineage": "nginx → bash"}}
        assert await lineages(client, foreign, query, **console_json(RUNTIME_MAPPINGS)) == {"nginx → bash": 1}
        unknown = {"term": {"process.lineage": "unknown → bash"}}
        assert await lineages(client, foreign, unknown, **console_json(RUNTIME_MAPPINGS)) == {"": 1}
    finally:
        await client.indices.delete(index=foreign)


def test_the_script_we_install_is_the_script_as_written() -> None:
    def tokens(script: str) -> list[str]:
        return script.split()

    written = console_json(RUNTIME_MAPPINGS)["runtime_mappings"]["process.lineage"]
    ours = mappings.runtime_mapping()["process.lineage"]
    assert ours["type"] == written["type"]
    assert tokens(ours["script"]["source"]) == tokens(written["script"]["source"])


async def test_strings_at_the_limit_are_indexed_whole(client: AsyncElasticsearch, config: Config) -> None:
    stream = await installed_stream(client, config)
    longest = "é" * (TERM_MAX_BYTES // 2)
    document = process("systemd", "nginx", "bash", args=["bash", longest])
    document["process"] |= {
        "name": longest,
        "executable": longest,
        "command_line": longest,
        "working_directory": longest,
    }
    document["process"]["lineage"] = document["lineage"]["chain"] = longest
    document["process"]["parent"] |= {"name": longest, "executable": longest}
    document["lineage"]["ancestors"] |= {"name": [longest, "systemd"], "executable": [longest, longest]}
    await index(client, stream, [document])
    assert (await client.count(index=stream, query={"exists": {"field": "_ignored"}}))["count"] == 0
    for field in ("process.name", "process.args", "process.command_line", "process.lineage", "lineage.chain"):
        assert (await client.count(index=stream, query={"term": {field: longest}}))["count"] == 1, field
