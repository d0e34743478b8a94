from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.config import MIB, Config
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError, UsageError
from pipeline.sinks.store import StoreSink, store_path
from pipeline.sinks.store_reader import StoreReader
from tests.sinks.support import document, documents


def opened(path: Path, max_bytes: int = 64 * MIB, counters: Counters | None = None) -> StoreSink:
    sink = StoreSink(path, max_bytes, counters or Counters())
    sink.open()
    return sink


async def filled(path: Path, *batch: Document) -> None:
    sink = opened(path)
    await sink.send(batch)
    await sink.aclose()


def size_of(path: Path) -> int:
    """Bytes of the file and of its log."""
    return sum(part.stat().st_size for part in path.parent.iterdir() if part.name in (path.name, f"{path.name}-wal"))


async def test_a_document_sent_twice_is_stored_once(tmp_path: Path) -> None:
    sink = opened(tmp_path / "events.db")
    first = await sink.send(documents(3))
    second = await sink.send(documents(4))
    await sink.aclose()
    assert (first.done, first.duplicates) == (3, 0)
    assert (second.done, second.duplicates) == (1, 3)
    with StoreReader(tmp_path / "events.db") as reader:
        assert len(reader) == 4


async def test_a_store_is_opened_again_with_what_it_holds(tmp_path: Path) -> None:
    await filled(tmp_path / "events.db", document(1))
    await filled(tmp_path / "events.db", document(2))
    with StoreReader(tmp_path / "events.db") as reader:
        assert len(reader) == 2


async def test_something_that_is_no_document_is_dead_and_the_others_are_stored(tmp_path: Path) -> None:
    sink = opened(tmp_path / "events.db")
    broken = [Document("a", "process", b"{"), Document("b", "process", b"[]"), Document("c", "process", b"{}")]
    delivery = await sink.send([document(1), *broken])
    await sink.aclose()
    assert delivery.done == 1
    assert [dead.document.id for dead in delivery.dead] == ["a", "b", "c"]


def test_folder_and_file_that_we_make_are_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "events.db"
    opened(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(part.stat().st_mode) for part in path.parent.iterdir()} == {0o600}


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "events.db"
    path.touch(0o644)
    opened(path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("max_bytes", [MIB, 3 * MIB])
async def test_the_oldest_go_so_that_the_store_stays_below_its_bound(tmp_path: Path, max_bytes: int) -> None:
    path, counters = tmp_path / "events.db", Counters()
    sink = opened(path, max_bytes, counters)
    sent = 0
    while sent < 6000:
        batch = documents(40, first=sent, padding=1200, names=("systemd", f"n{sent}"))
        assert (await sink.send(batch)).done == 40
        sent += 40
        assert size_of(path) <= max_bytes
    with StoreReader(path) as reader:
        kept = len(reader)
        newest = reader.find_lineage(f"systemd → n{sent - 40}", limit=100)
        oldest = reader.find_lineage("systemd → n0")
    await sink.aclose()
    assert kept + counters.store_evicted == sent
    assert len(newest) == 40
    assert oldest == []
    assert kept * 1500 > max_bytes // 4
    lineages = sqlite3.connect(path).execute("SELECT count(*) FROM lineages").fetchone()[0]
    assert lineages <= kept


async def test_a_lower_bound_shrinks_the_file(tmp_path: Path) -> None:
    path, counters = tmp_path / "events.db", Counters()
    sink = opened(path)
    for number in range(20):
        await sink.send(documents(100, first=number * 100, padding=4000))
    await sink.aclose()
    assert size_of(path) > 8 * MIB
    sink = opened(path, 2 * MIB, counters)
    await sink.send(documents(100, first=9000))
    await sink.aclose()
    assert size_of(path) <= 2 * MIB
    assert counters.store_evicted > 1000


async def test_a_reader_sees_what_was_sent_while_the_writer_is_open(tmp_path: Path) -> None:
    sink = opened(tmp_path / "events.db")
    with StoreReader(tmp_path / "events.db") as reader:
        assert len(reader) == 0
        await sink.send(documents(3))
        assert len(reader) == 3
        await sink.send(documents(3, first=3))
        assert len(reader) == 6
    await sink.aclose()


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="drops privileges, so it needs some")
def test_it_goes_on_after_the_process_became_nobody_special(tmp_path: Path) -> None:
    """The folder is root's alone by then: nothing may be opened again, not even the log when it starts anew."""
    script = dedent("""
        import os, sys
        from pathlib import Path
        import anyio
        from pipeline.counters import Counters
        from pipeline.sinks.store import StoreSink
        from tests.sinks.support import documents

        async def main():
            counters = Counters()
            sink = StoreSink(Path(sys.argv[1]), 4 * 1024 * 1024, counters)
            sink.open()
            os.setgroups([]); os.setgid(61234); os.setuid(61234)
            try:
                os.listdir(Path(sys.argv[1]).parent)
            except PermissionError:
                pass
            else:
                sys.exit("the folder can still be read")
            for number in range(200):
                delivery = await sink.send(documents(50, first=number * 50, padding=1500))
                assert delivery.done == 50, delivery
            assert (await sink.send(documents(50, first=9950, padding=1500))).duplicates == 50
            assert counters.store_evicted > 5000, counters
            await sink.aclose()

        anyio.run(main)
    """)
    path = tmp_path / "state" / "events.db"
    result = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    with StoreReader(path) as reader:
        assert len(reader.find_lineage("nginx → bash", limit=10_000)) == len(reader) > 1000
    assert (path.stat().st_uid, path.parent.stat().st_uid) == (0, 0)
    assert size_of(path) <= 4 * MIB
    opened(path)


# Questions.

CHAIN = ("systemd", "nginx", "bash", "curl")


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    await filled(
        path,
        document(1, names=CHAIN[:1], at="2026-01-31T12:00:01.000Z"),
        document(2, names=CHAIN[:2], at="2026-01-31T12:00:02.000Z"),
        document(3, names=CHAIN[:3], at="2026-01-31T12:00:03.000Z"),
        document(4, names=CHAIN, at="2026-01-31T12:00:04.000Z"),
        document(5, names=("systemd", "xnginx", "bash"), at="2026-01-31T12:00:05.000Z"),
        document(6, names=("nginx", "bash", "curling"), at="2026-01-31T12:00:06.000Z"),
    )
    return path


@pytest.mark.parametrize(
    ("lineage", "found"),
    [
        ("nginx → bash", [3]),
        ("nginx->bash", [3]),
        (" nginx  => bash ", [3]),
        ("unknown → systemd", [1]),
        ("systemd → nginx → bash", [4, 3]),
        ("nginx → bash → curl", [4]),
        ("systemd → nginx → bash → curl", [4]),
        ("ginx → bash → curl", []),
        ("bash", [5, 3]),
        ("curl", [4]),
        ("nginx", [2]),
        ("systemd", [1]),
        ("ash", []),
    ],
)
def test_a_lineage_is_found_by_whole_names(store: Path, lineage: str, found: list[int]) -> None:
    with StoreReader(store) as reader:
        assert [hit["process"]["pid"] for hit in reader.find_lineage(lineage)] == found


def test_since_and_limit_cut_the_older_ones_away(store: Path) -> None:
    with StoreReader(store) as reader:
        late = reader.find_lineage("bash", since="2026-01-31T12:00:04Z")
        zoned = reader.find_lineage("bash", since="2026-01-31T13:00:04+01:00")
        newest = reader.find_lineage("bash", limit=1)
    assert [hit["process"]["pid"] for hit in late] == [5]
    assert [hit["process"]["pid"] for hit in zoned] == [5]
    assert [hit["process"]["pid"] for hit in newest] == [5]


@pytest.mark.parametrize("lineage", ["", "→", "nginx →", "a → → b"])
def test_half_a_lineage_is_wrong_usage(store: Path, lineage: str) -> None:
    with StoreReader(store) as reader, pytest.raises(UsageError, match="is no lineage"):
        reader.find_lineage(lineage)


def test_a_time_that_is_none_is_wrong_usage(store: Path) -> None:
    with StoreReader(store) as reader, pytest.raises(UsageError, match="is no time"):
        reader.find_lineage("bash", since="yesterday")


async def test_each_process_is_told_once_with_its_latest_document(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await filled(
        path,
        document(1, action="fork", entity="a", at="2026-01-31T12:00:01Z"),
        document(2, action="fork", entity="b", at="2026-01-31T12:00:02Z"),
        document(3, action="end", entity="a", at="2026-01-31T12:00:03Z"),
        document(4, entity="b", stream="alert", at="2026-01-31T12:00:04Z"),
    )
    with StoreReader(path) as reader:
        told = [(found["process"]["entity_id"], found["event"]["action"]) for found in reader.processes()]
        late = [found["process"]["entity_id"] for found in reader.processes(since="2026-01-31T12:00:03Z")]
    assert told == [("a", "end"), ("b", "fork")]
    assert late == ["a"]


# What bad input gets.


def test_a_missing_store_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no store at .*: run `lineage run` first"):
        StoreReader(tmp_path / "none.db")


@pytest.mark.parametrize("content", [b"no database at all, " * 500, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(content)
    with pytest.raises(SinkError, match="is not a store"):
        opened(path)
    with pytest.raises(SinkError, match="cannot be read"):
        StoreReader(path)
    assert path.read_bytes() == content


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(SinkError, match="a database of something else, no store"):
        opened(path)
    with pytest.raises(SinkError, match="a database of something else"):
        StoreReader(path)
    assert path.read_bytes() == before


async def test_a_store_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    await filled(path, document(1))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SinkError, match="has format 99, this is 1: name another file in LINEAGE_STORE"):
        opened(path)
    with pytest.raises(SinkError, match="has format 99"):
        StoreReader(path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be opened"):
        opened(tmp_path / "file" / "events.db")


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot be opened \(Is a directory\)"):
        opened(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="mounts a small disk")
async def test_a_full_disk_is_an_error_and_what_was_stored_stays(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)  # noqa: ASYNC221
    try:
        path = small / "events.db"
        sink = opened(path)
        stored = 0
        with pytest.raises(SinkError, match=r"no room for the store .*: make room on that disk"):  # noqa: PT012
            while True:
                stored += (await sink.send(documents(100, first=stored, padding=1000))).done
        await sink.aclose()
        with StoreReader(path) as reader:
            assert len(reader) == stored > 0
    finally:
        subprocess.run(["umount", str(small)], check=True)  # noqa: ASYNC221


async def test_two_agents_in_one_store_do_not_lose_a_document(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "events.db"), opened(tmp_path / "events.db")
    for number in range(10):
        await one.send(documents(5, first=number * 10))
        await two.send(documents(5, first=number * 10 + 5))
    await one.aclose()
    await two.aclose()
    with StoreReader(tmp_path / "events.db") as reader:
        assert len(reader) == 100


def test_the_store_lies_in_the_state_directory_unless_named(tmp_path: Path) -> None:
    assert store_path(Config(state_directory=tmp_path)) == tmp_path / "events.db"
    assert store_path(Config(store=tmp_path / "x.db")) == tmp_path / "x.db"
