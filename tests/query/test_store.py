from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.config import MIB
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.query.base import is_missed
from pipeline.query.lineage_query import parse
from pipeline.query.store import StoreArchive
from pipeline.sinks.store import StoreSink
from tests.elasticsearch.samples import process

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


async def stored(path: Path, documents: Sequence[dict[str, Any]]) -> StoreArchive:
    sink = StoreSink(path, 16 * MIB, Counters())
    sink.open()
    await sink.send([Document(str(each["event"]["id"]), "process", orjson.dumps(each)) for each in documents])
    await sink.aclose()
    return StoreArchive(path)


async def names(archive: StoreArchive, text: str, limit: int = 10) -> list[int]:
    return [each["process"]["pid"] for each in (await archive.find(parse(text), LONG_AGO, limit)).documents]


async def test_a_process_is_found_once_in_its_newest_state(tmp_path: Path) -> None:
    documents = [
        process("systemd", "nginx", "bash", seconds_ago=9.0),
        process("systemd", "nginx", "bash", seconds_ago=5.0, action="end", exit_code=4),
    ]
    archive = await stored(tmp_path / "events.db", documents)
    found = await archive.find(parse("nginx -> bash"), LONG_AGO, 10)
    assert [each["process"]["exit_code"] for each in found.documents] == [4]
    assert not found.more


async def test_names_pairs_and_runs_are_found(tmp_path: Path) -> None:
    documents = [
        process("systemd", "nginx", "bash", pid=10, seconds_ago=9.0),
        process("systemd", "nginx", "bash", "curl", pid=11, seconds_ago=8.0),
        process("systemd", "nginx", "bash", "curl", "id", pid=12, seconds_ago=7.0),
        process("systemd", "sshd", "bash", pid=13, seconds_ago=6.0),
    ]
    archive = await stored(tmp_path / "events.db", documents)
    assert await names(archive, "bash") == [13, 10]
    assert await names(archive, "nginx=>bash") == [10]
    assert await names(archive, "nginx -> bash -> curl") == [12, 11]
    assert await names(archive, "bash -> nginx") == []


async def test_more_than_the_limit_is_said_even_with_many_documents_a_process(tmp_path: Path) -> None:
    documents = [
        process("systemd", "nginx", "bash", pid=pid, ids=["s", "n", str(pid)], seconds_ago=60.0 - pid - number / 100)
        for pid in range(3)
        for number in range(20)
    ]
    archive = await stored(tmp_path / "events.db", documents)
    found = await archive.find(parse("nginx → bash"), LONG_AGO, 2)
    assert [each["process"]["pid"] for each in found.documents] == [2, 1]
    assert found.more
    assert not (await archive.find(parse("nginx → bash"), LONG_AGO, 3)).more


async def test_processes_are_told_as_they_were_at_that_time(tmp_path: Path) -> None:
    documents = [
        process("systemd", "nginx", "bash", seconds_ago=90.0),
        process("systemd", "nginx", "bash", seconds_ago=10.0, action="end", exit_code=0),
        process("systemd", "sshd", seconds_ago=5.0),
    ]
    archive = await stored(tmp_path / "events.db", documents)
    then = datetime.now(UTC) - timedelta(seconds=30)
    assert [each["event"]["action"] for each in (await archive.processes(LONG_AGO, then, None)).documents] == ["exec"]
    now = (await archive.processes(LONG_AGO, datetime.now(UTC), None)).documents
    assert [each["event"]["action"] for each in now] == ["end", "exec"]


async def test_a_fork_that_became_something_else_is_no_hit_for_its_parents_name(tmp_path: Path) -> None:
    documents = [
        process("systemd", "nginx", "bash", pid=9, seconds_ago=9.0),
        process("systemd", "bash", "bash", pid=10, ids=["s", "b", "passing"], action="fork", seconds_ago=8.0),
        process("systemd", "bash", "curl", pid=10, ids=["s", "b", "passing"], seconds_ago=7.0),
        process("systemd", "bash", "bash", pid=11, ids=["s", "b", "stays"], action="fork", seconds_ago=6.0),
        process("systemd", "bash", "bash", pid=12, ids=["s", "b", "again"], action="fork", seconds_ago=5.0),
        process("systemd", "bash", "bash", pid=12, ids=["s", "b", "again"], seconds_ago=4.0),
    ]
    archive = await stored(tmp_path / "events.db", documents)
    assert await names(archive, "bash") == [12, 11, 9]
    assert await names(archive, "bash -> bash") == [12, 11]
    assert await names(archive, "bash -> curl") == [10]
    assert (await archive.newest(["passing"]))["passing"]["process"]["name"] == "curl"


async def test_what_began_last_comes_first_though_it_was_heard_of_earlier(tmp_path: Path) -> None:
    young, old = process("systemd", "bash", pid=1, seconds_ago=50.0), process("sshd", "bash", pid=2, seconds_ago=10.0)
    old["process"]["start"] = "2020-01-01T00:00:00.000Z"
    archive = await stored(tmp_path / "events.db", [young, old])
    assert await names(archive, "bash") == [1, 2]
    assert await names(archive, "bash", limit=1) == [1]


def seen(name: str, run: str, seconds_ago: float) -> dict[str, Any]:
    """Found by a snapshot."""
    document = process("systemd", name, seconds_ago=seconds_ago)
    document["event"] |= {"action": "snapshot", "kind": "state"}
    document["agent"] = {"ephemeral_id": run}
    return on_host(document)


def on_host(document: dict[str, Any]) -> dict[str, Any]:
    document["host"] |= {"id": "h", "boot": {"id": "b"}, "pid_ns_ino": "1"}
    return document


async def test_who_is_missing_from_a_later_snapshot_has_ended(tmp_path: Path) -> None:
    documents = [
        seen("a", "one", 90.0),
        seen("b", "one", 89.0),
        seen("a", "two", 50.0),
        on_host(process("systemd", "c", seconds_ago=49.5)),
        seen("d", "two", 49.0),
        seen("e", "two", 20.0),  # the same run looked again: this tells only what was new to it
    ]
    archive = await stored(tmp_path / "events.db", documents)
    until = datetime.now(UTC)
    coverage = await archive.coverage(LONG_AGO, until)
    assert coverage.snapshots == {("h", "b", "1"): datetime.fromisoformat(documents[2]["@timestamp"])}
    assert coverage.last == {"web1": datetime.fromisoformat(documents[5]["@timestamp"])}
    newest = (await archive.processes(LONG_AGO, until, None)).documents
    missed = [each["process"]["name"] for each in newest if is_missed(each, coverage.snapshots)]
    assert missed == ["b"]
    earlier = await archive.coverage(LONG_AGO, until - timedelta(seconds=70))
    assert not any(is_missed(each, earlier.snapshots) for each in newest)


def test_no_store_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="there is no store at"):
        StoreArchive(tmp_path / "none.db")
