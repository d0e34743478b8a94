"""The local store: documents in one SQLite file, for hosts without an Elasticsearch.

- One connection, opened and tried out before privileges are dropped, used from one worker thread at a time. Later the
  process may not write to the folder, and need not: the write-ahead log is open by then, temporary data in memory.
- ``max_bytes`` holds for the file, its log included: before a batch goes in, the oldest documents go out, a slab at a
  time; their pages are used again. SQLite's own ``max_page_count`` makes sure.
- A lineage is kept once, in a table of its own: lineages are few, documents many. A search looks among the few.

A document of 4 kB costs about 35 us of CPU, a third of it reading it for its columns. ``store_reader.py`` asks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson

from pipeline.config import MIB, Config
from pipeline.counters import Counters
from pipeline.document import Document
from pipeline.errors import SinkError
from pipeline.sinks.base import Dead, Delivery

APPLICATION_ID = 0x4C494E45  # "LINE" in the file's header
SCHEMA_VERSION = 1
PAGE_BYTES = 16384
"""Three or four documents of 4 kB each: a quarter less CPU than SQLite's own 4 kB, for a fifth more space."""

_SCHEMA = """
CREATE TABLE lineages (id INTEGER PRIMARY KEY, lineage TEXT NOT NULL, chain TEXT NOT NULL, UNIQUE (chain, lineage));
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,  -- in the order they came
    id TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    time_ms INTEGER NOT NULL,    -- Unix time
    action TEXT,
    pid INTEGER,
    entity_id TEXT,
    lineage INTEGER NOT NULL,    -- lineages.id
    body BLOB NOT NULL
);
CREATE INDEX documents_by_time ON documents (time_ms);
CREATE INDEX documents_by_lineage ON documents (lineage, time_ms);
CREATE INDEX documents_by_entity ON documents (entity_id);
CREATE INDEX documents_by_pid ON documents (pid);
CREATE INDEX documents_by_action ON documents (action, time_ms);
"""
_COLUMNS = "id, stream, time_ms, action, pid, entity_id, lineage, body"
_INSERT = f"INSERT INTO documents ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING"  # noqa: S608
_LINEAGES_CACHED = 20_000
_INDEX_BYTES = 400
"""What a document costs in the file besides its body."""


def store_path(config: Config) -> Path:
    """Where the local store lies: ``store``, else events.db in the state directory."""
    return config.store or config.state_directory / "events.db"


class StoreSink:
    in_flight_max = 1
    may_refuse = True  # none by itself, but a full disk refuses all that is still held

    def __init__(self, path: Path, max_bytes: int, counters: Counters, *, makes_folder: bool = True) -> None:
        """With ``makes_folder`` the folder of ``path`` is made too; a name that was typed may be mistyped."""
        self.path = path
        self._makes_folder = makes_folder
        self.batch_max_documents = 1000
        self.batch_max_bytes = max(64 * 1024, min(2 * MIB, max_bytes // 16))
        self._counters = counters
        # Three quarters for the file, the rest for its log: two transactions and a checkpoint that is due.
        self._max_pages = max_bytes * 3 // 4 // PAGE_BYTES
        self._log_pages = max(4, min(256, self._max_pages // 16))
        self._connection: sqlite3.Connection | None = None
        self._lineages: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<StoreSink {self.path}>"

    def open(self) -> None:
        """Make the file, and its folder if it may, where they are not there yet (0600, 0700). Raises SinkError."""
        try:
            if self._makes_folder:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, FileNotFoundError) and not self._makes_folder:
                message = f"{self.path} cannot be opened ({error.strerror})"
                raise SinkError(message, "name another with --sink store:FILE") from error
            raise _failed(self.path, error) from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise _failed(self.path, error) from error
        except SinkError:
            connection.close()
            raise
        self._connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        check_schema(connection, self.path, may_be_empty=True)
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "auto_vacuum = INCREMENTAL",
            "temp_store = MEMORY",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"wal_autocheckpoint = {self._log_pages}",
            f"journal_size_limit = {self._log_pages * PAGE_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        # A write now opens the log and its index, while we still may.
        connection.execute("BEGIN IMMEDIATE")
        if not _value(connection, "PRAGMA user_version"):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        self._shrink(connection)
        connection.execute(f"PRAGMA max_page_count = {self._max_pages}")

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """A file from days with a higher bound."""
        while _value(connection, "PRAGMA page_count") > self._max_pages:
            self._make_room(connection, self._max_pages // 8)
            pages = _value(connection, "PRAGMA page_count")
            connection.execute("PRAGMA incremental_vacuum").fetchall()
            if _value(connection, "PRAGMA page_count") >= pages:
                return

    async def connect(self) -> None:
        """Nobody has to be there."""

    async def send(self, batch: Sequence[Document]) -> Delivery:
        return await anyio.to_thread.run_sync(self._write, batch)

    def _write(self, batch: Sequence[Document]) -> Delivery:
        connection = self._connection
        if connection is None:
            raise SinkError(f"the store {self.path} is closed")
        needed = sum([len(document.body) + _INDEX_BYTES for document in batch]) // PAGE_BYTES + 8
        try:
            for attempt in (1, 2, 3, 4):
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    self._make_room(connection, needed * attempt)
                    delivery = self._insert(connection, batch)
                    connection.execute("COMMIT")
                    return delivery
                except sqlite3.OperationalError as error:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    self._lineages.clear()  # some of them are rolled back
                    if error.sqlite_errorcode != sqlite3.SQLITE_FULL or attempt == 4:
                        raise
        except sqlite3.Error as error:
            raise _failed(self.path, error) from error
        raise AssertionError("every attempt returns or raises")

    def _insert(self, connection: sqlite3.Connection, batch: Sequence[Document]) -> Delivery:
        rows: list[tuple[Any, ...]] = []
        dead: list[Dead] = []
        for document in batch:
            try:
                rows.append(self._row(connection, document))
            except (ValueError, TypeError, AttributeError) as error:
                dead.append(Dead(document, f"not an ECS document: {error}"))
        before = connection.total_changes
        connection.executemany(_INSERT, rows)
        added = connection.total_changes - before
        return Delivery(added, duplicates=len(rows) - added, dead=tuple(dead))

    def _row(self, connection: sqlite3.Connection, document: Document) -> tuple[Any, ...]:
        fields = orjson.loads(document.body)
        process, event, lineage = fields.get("process") or {}, fields.get("event") or {}, fields.get("lineage") or {}
        return (
            document.id,
            document.stream,
            time_ms(fields.get("@timestamp")),
            event.get("action"),
            process.get("pid"),
            process.get("entity_id"),
            self._lineage(connection, process.get("lineage") or "", lineage.get("chain") or ""),
            document.body,
        )

    def _lineage(self, connection: sqlite3.Connection, lineage: str, chain: str) -> int:
        known = self._lineages.get((lineage, chain))
        if known is not None:
            return known
        if len(self._lineages) >= _LINEAGES_CACHED:
            self._lineages.clear()
        connection.execute("INSERT OR IGNORE INTO lineages (lineage, chain) VALUES (?, ?)", (lineage, chain))
        number: int = _value(connection, "SELECT id FROM lineages WHERE lineage = ? AND chain = ?", (lineage, chain))
        self._lineages[lineage, chain] = number
        return number

    def _make_room(self, connection: sqlite3.Connection, pages: int) -> None:
        """Delete oldest documents until that many pages are free. At least one in fifty, so that it is seldom."""
        while self._max_pages - _used(connection) < pages:
            oldest, count = connection.execute("SELECT min(number), count(*) FROM documents").fetchone()
            if not count:
                return
            slab = max(1, count // 50)
            gone = connection.execute("DELETE FROM documents WHERE number < ?", (oldest + slab,)).rowcount
            self._counters.store_evicted += gone
            connection.execute(
                "DELETE FROM lineages WHERE NOT EXISTS (SELECT 1 FROM documents WHERE documents.lineage = lineages.id)"
            )
            self._lineages.clear()

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await anyio.to_thread.run_sync(connection.close)


def time_ms(timestamp: str) -> int:
    """Unix time in milliseconds of an ISO 8601 time; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(timestamp)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def check_schema(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool) -> None:
    """Raises SinkError for a file that is a database of somebody else or of another version."""
    version = _value(connection, "PRAGMA user_version")
    ours = _value(connection, "PRAGMA application_id") == APPLICATION_ID
    if ours and version == SCHEMA_VERSION:
        return
    if ours:
        raise SinkError(f"the store {path} has format {version}, this is {SCHEMA_VERSION}", _ANOTHER)
    empty = not version and not _value(connection, "SELECT count(*) FROM sqlite_schema")
    if not (empty and may_be_empty):
        raise SinkError(f"{path} is {'an empty file' if empty else 'a database of something else'}, no store", _ANOTHER)


_ANOTHER = "name another file in LINEAGE_STORE, or move this one away"


def _value(connection: sqlite3.Connection, query: str, parameters: Sequence[Any] = ()) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _used(connection: sqlite3.Connection) -> int:
    used: int = _value(connection, "PRAGMA page_count") - _value(connection, "PRAGMA freelist_count")
    return used


def _failed(path: Path, error: OSError | sqlite3.Error) -> SinkError:
    if isinstance(error, OSError):
        return SinkError(f"the store {path} cannot be opened ({error.strerror})", _ANOTHER)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return SinkError(f"{path} is not a store, or a damaged one ({error})", _ANOTHER)
    if code == sqlite3.SQLITE_FULL:
        return SinkError(
            f"no room for the store {path} ({error})", "make room on that disk, or lower LINEAGE_STORE_MAX_BYTES"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return SinkError(
            f"the store {path} is in use by another agent", "stop that one, or name another file in LINEAGE_STORE"
        )
    return SinkError(f"the store {path} cannot be used ({error})", _ANOTHER)
