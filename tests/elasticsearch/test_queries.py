from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from pipeline.config import Config, Elasticsearch
from pipeline.errors import SinkError, SinkUnavailable
from pipeline.query.base import is_missed
from pipeline.query.elasticsearch import ElasticsearchArchive
from pipeline.query.lineage_query import parse
from tests.elasticsearch.samples import index, installed_stream, process
from tests.elasticsearch.scripted import elasticsearch, error, scripted

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
async def archive(config: Config) -> AsyncIterator[ElasticsearchArchive]:
    archive = ElasticsearchArchive(config)
    yield archive
    await archive.aclose()


async def pids(archive: ElasticsearchArchive, text: str, limit: int = 100) -> list[int]:
    return [each["process"]["pid"] for each in (await archive.find(parse(text), LONG_AGO, limit)).documents]


@pytest.mark.elasticsearch
async def test_names_pairs_and_runs_are_found_once_a_process(
    client: AsyncElasticsearch, config: Config, archive: ElasticsearchArchive, namespace: str
) -> None:
    # The server is shared, so the names are the test's own.
    web, shell, get = f"web-{namespace}", f"shell-{namespace}", f"get*{namespace}"
    documents = [
        process("systemd", web, shell, pid=10, seconds_ago=9.0),
        process("systemd", web, shell, pid=10, seconds_ago=5.0, action="end", exit_code=4),
        process("systemd", web, shell, get, pid=11, seconds_ago=8.0),
        process("systemd", web, shell, get, "id", pid=12, seconds_ago=7.0),
        process("systemd", web, f"{shell}2", get, pid=13, seconds_ago=6.0),
        process("systemd", web, shell, f"{get}2", pid=14, seconds_ago=6.0),
    ]
    await index(client, await installed_stream(client, config), documents)
    assert await pids(archive, shell) == [10]
    assert await pids(archive, f"{web} -> {shell}") == [10]
    assert await pids(archive, f"{web}=>{shell}→{get}") == [12, 11]
    assert await pids(archive, f"systemd -> {web} -> {shell}") == [10, 14, 12, 11]
    assert await pids(archive, f"{shell} -> {web}") == []
    assert await pids(archive, f"systemd -> {web} -> {shell}", limit=2) == [10, 14]
    newest = (await archive.find(parse(shell), LONG_AGO, 1)).documents[0]
    assert newest["process"]["exit_code"] == 4
    assert (await archive.find(parse(shell), datetime.now(UTC), 1)).documents == []


@pytest.mark.elasticsearch
async def test_the_family_of_a_pid_is_what_is_above_and_below_it(
    client: AsyncElasticsearch, config: Config, archive: ElasticsearchArchive, namespace: str
) -> None:
    pid = int(namespace[1:8], 16)
    host = f"host-{namespace}"
    documents = [
        process("systemd", host=host, seconds_ago=50.0),
        process("systemd", "nginx", host=host, seconds_ago=40.0),
        process("systemd", "sshd", host=host, seconds_ago=40.0),
        process("systemd", "nginx", "bash", pid=pid, host=host, seconds_ago=30.0),
        process("systemd", "nginx", "bash", "curl", host=host, seconds_ago=20.0),
        process("systemd", "nginx", "bash", pid=pid, host=host, seconds_ago=10.0, action="end", exit_code=0),
    ]
    await index(client, await installed_stream(client, config), documents)
    now = datetime.now(UTC)

    async def family(until: datetime) -> dict[str, str]:
        found = await archive.processes(LONG_AGO, until, pid)
        return {each["process"]["name"]: each["event"]["action"] for each in found.documents}

    assert await family(now) == {"systemd": "exec", "nginx": "exec", "bash": "end", "curl": "exec"}
    assert await family(now - timedelta(seconds=25)) == {"systemd": "exec", "nginx": "exec", "bash": "exec"}
    assert await family(now - timedelta(seconds=35)) == {}


@pytest.mark.elasticsearch
async def test_a_passing_fork_is_no_hit_and_the_newest_document_tells_the_end(
    client: AsyncElasticsearch, config: Config, archive: ElasticsearchArchive, namespace: str
) -> None:
    shell, get = f"shell-{namespace}", f"get-{namespace}"
    passing, stays, again = (["s", "p", f"{each}-{namespace}"] for each in ("passing", "stays", "again"))
    documents = [
        process("systemd", shell, shell, pid=10, ids=passing, action="fork", seconds_ago=9.0),
        process("systemd", shell, get, pid=10, ids=passing, seconds_ago=8.0),
        process("systemd", shell, get, pid=10, ids=passing, action="end", exit_code=7, seconds_ago=7.5),
        process("systemd", shell, shell, pid=11, ids=stays, action="fork", seconds_ago=7.0),
        process("systemd", shell, shell, pid=12, ids=again, action="fork", seconds_ago=6.0),
        process("systemd", shell, shell, pid=12, ids=again, seconds_ago=5.0),
    ]
    await index(client, await installed_stream(client, config), documents)
    assert await pids(archive, shell) == [12, 11]
    assert await pids(archive, shell, limit=1) == [12]
    assert await pids(archive, f"{shell} -> {get}") == [10]
    newest = await archive.newest([passing[2], again[2]])
    assert newest[passing[2]]["process"]["exit_code"] == 7
    assert "exit_code" not in newest[again[2]]["process"]


@pytest.mark.elasticsearch
async def test_the_newest_snapshot_of_a_boot_is_told_by_runs_of_the_agent(
    client: AsyncElasticsearch, config: Config, archive: ElasticsearchArchive, namespace: str
) -> None:
    documents = []
    for name, run, seconds_ago in (("a", "1", 90.0), ("b", "1", 89.0), ("a", "2", 50.0), ("c", "2", 20.0)):
        document = process("systemd", name, host=namespace, seconds_ago=seconds_ago)
        document["event"] |= {"action": "snapshot", "kind": "state"}
        document["host"] |= {"id": namespace, "boot": {"id": "b"}, "pid_ns_ino": "1"}
        documents.append({**document, "agent": {"ephemeral_id": f"{namespace}-{run}"}})
    await index(client, await installed_stream(client, config), documents)
    coverage = await archive.coverage(LONG_AGO, datetime.now(UTC))
    began = coverage.snapshots[namespace, "b", "1"]
    assert timedelta(0) < datetime.fromisoformat(documents[2]["@timestamp"]) - began < timedelta(milliseconds=3)
    assert coverage.last[namespace] == datetime.fromisoformat(documents[3]["@timestamp"])
    assert [is_missed(each, coverage.snapshots) for each in documents] == [True, True, False, False]


async def asked(url: str) -> str:
    archive = ElasticsearchArchive(Config(elasticsearch=Elasticsearch(url=url)))
    try:
        with pytest.raises((SinkError, SinkUnavailable)) as caught:
            await archive.find(parse("a -> b"), LONG_AGO, 10)
    finally:
        await archive.aclose()
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(401, "no"), "refuses the credentials: set ELASTICSEARCH_API_KEY"),
        (error(403, "not yours"), "does not let this account search (not yours)"),
        (error(503, "no master"), "cannot search now (HTTP 503: no master): try again later"),
    ],
)
async def test_a_refused_search_is_one_line(answer: Any, words: str) -> None:
    with scripted(elasticsearch(answers={"POST /logs-lineage": answer})) as (url, _):
        assert words in await asked(url)


async def test_search_does_not_wait_for_a_server() -> None:
    assert "does not answer (connection refused)" in await asked("http://127.0.0.1:9")
