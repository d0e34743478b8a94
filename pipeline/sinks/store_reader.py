"""Questions to the local store, also while an agent writes to it: a connection that can only read.

Bodies come back as the documents they are (parsed JSON). A read is one short transaction, so that the writer's log
can be emptied.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import orjson

from pipeline.config import STATE_OF_ROOT
from pipeline.errors import SinkError, UsageError
from pipeline.sinks.store import check_schema, time_ms

ARROW = " → "
_ARROWS = re.compile(r"\s*(?:->|→|=>)\s*")
_LAST_MS = 2**63 - 1

# `+` keeps SQLite from the index of actions, where a store has a hundred thousand execs, and one process has a few.
_FIND = """
WITH fits AS (
    SELECT number, time_ms, row_number() OVER (PARTITION BY coalesce(entity_id, id) ORDER BY time_ms DESC, number DESC)
        AS place
    FROM documents AS told
    WHERE lineage IN (SELECT id FROM lineages WHERE {condition}) AND time_ms >= :since AND NOT (
        action = 'fork' AND EXISTS (
            SELECT 1 FROM documents AS later WHERE later.entity_id = told.entity_id AND +later.action = 'exec'
        )
    )
)
SELECT body FROM fits JOIN documents USING (number) WHERE place = 1
ORDER BY coalesce(json_extract(CAST(body AS TEXT), '$.process.start'), json_extract(CAST(body AS TEXT), '$.@timestamp'))
    DESC, fits.time_ms DESC, number DESC
LIMIT :limit
"""
_PROCESSES = """
SELECT number FROM (
    SELECT number, time_ms, min(number) OVER (PARTITION BY entity_id) AS heard_of,
        row_number() OVER (PARTITION BY entity_id ORDER BY time_ms DESC, number DESC) AS place
    FROM documents WHERE entity_id IS NOT NULL AND stream = 'process' AND time_ms <= :until
)
WHERE place = 1 AND time_ms >= :since ORDER BY heard_of
"""


class StoreReader:
    """Raises SinkError when there is no store, or none that can be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not os.path.exists(path):  # Path.exists() raises where the folder is closed
            mend = "run `lineage run` first, or name it in LINEAGE_STORE"
            if os.geteuid() != 0:
                mend += f"; root's store is {STATE_OF_ROOT}/events.db: use sudo"
            raise SinkError(f"there is no store at {path}", mend)
        try:
            self._connection = self._open(path)
        except sqlite3.Error as error:
            raise SinkError(
                f"the store {path} cannot be read ({error})", "run as the user the agent was started by"
            ) from error

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        name = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(name, uri=True, timeout=5.0)
        try:
            check_schema(connection, path, may_be_empty=False)
        except sqlite3.OperationalError:
            # Nobody writes and we may not make the log's index in that folder: the file alone is the whole store.
            connection.close()
            if path.with_name(path.name + "-wal").exists():
                raise
            connection = sqlite3.connect(f"{name}&immutable=1", uri=True)
            check_schema(connection, path, may_be_empty=False)
        return connection

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def find_lineage(self, lineage: str, since: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The newest fitting document of each process, what began last first. Names are whole names, as in a lineage.

        ``bash``: processes of that name. ``nginx → bash``: exactly that ``process.lineage``. Three and more: that run
        of names anywhere in the chain. ``->`` and ``=>`` are arrows too. ``since`` is an ISO 8601 time. The fork of a
        process that has executed something does not count: between the two it only looked like its parent.
        """
        names = _ARROWS.split(lineage.strip())
        if not all(names):
            raise UsageError(f"{lineage!r} is no lineage", "write for example 'nginx → bash'")
        wanted = ARROW.join(names)
        if len(names) == 1:
            condition, fit = "substr(:arrow || chain, -length(:fit)) = :fit", f"{ARROW}{wanted}"
        elif len(names) == 2:
            condition, fit = "lineage = :fit", wanted
        else:
            condition, fit = "instr(:arrow || chain || :arrow, :fit) > 0", f"{ARROW}{wanted}{ARROW}"
        query = _FIND.format(condition=condition)
        found = self._rows(query, {"arrow": ARROW, "fit": fit, "since": _since(since), "limit": limit})
        return [orjson.loads(body) for (body,) in found]

    def newest(self, entity_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The latest document of each of these processes, whatever it says."""
        for identity in entity_ids:
            query = (
                "SELECT body FROM documents WHERE entity_id = ? AND stream = 'process'"
                " ORDER BY time_ms DESC, number DESC LIMIT 1"
            )
            for (body,) in self._rows(query, [identity]):
                yield orjson.loads(body)

    def processes(self, since: str | None = None, until: str | None = None) -> Iterator[dict[str, Any]]:
        """The latest document, until then, of each process that has one since then, in the order they were heard of."""
        newest = self._rows(_PROCESSES, {"until": _until(until), "since": _since(since)})
        for (number,) in newest:
            for (body,) in self._rows("SELECT body FROM documents WHERE number = ?", [number]):
                yield orjson.loads(body)

    def found_running(self, since: str | None = None, until: str | None = None) -> Iterator[dict[str, Any]]:
        """What snapshots told in that time, newest first."""
        query = (
            "SELECT number FROM documents WHERE action = 'snapshot' AND stream = 'process' AND time_ms BETWEEN ? AND ?"
            " ORDER BY time_ms DESC"
        )
        for (number,) in self._rows(query, [_since(since), _until(until)]):
            for (body,) in self._rows("SELECT body FROM documents WHERE number = ?", [number]):
                yield orjson.loads(body)

    def last(self, until: str | None = None) -> dict[str, Any] | None:
        """The last document until then, of any process."""
        query = "SELECT body FROM documents WHERE time_ms <= ? ORDER BY time_ms DESC, number DESC LIMIT 1"
        found = self._rows(query, [_until(until)])
        return orjson.loads(found[0][0]) if found else None

    def __len__(self) -> int:
        count: int = self._rows("SELECT count(*) FROM documents", [])[0][0]
        return count

    def _rows(self, query: str, parameters: list[Any] | dict[str, Any]) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise SinkError(f"the store {self.path} cannot be read ({error})", "try again") from error


def _until(until: str | None) -> int:
    return _LAST_MS if until is None else _since(until)


def _since(since: str | None) -> int:
    if since is None:
        return -1
    try:
        return time_ms(since)
    except ValueError as error:
        raise UsageError(f"{since!r} is no time", "write for example 2026-01-31T12:00:00Z") from error
