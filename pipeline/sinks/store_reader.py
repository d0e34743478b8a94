"""Questions to the local store, also while an agent writes to it: a connection that can only read.

Bodies come back as the documents they are (parsed JSON). A read is one short transaction, so that the writer's log
can be emptied.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
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
_PAGE = 500
_LAST_MS = 2**63 - 1


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
        """Documents of that lineage, newest first. Names are whole names, as they stand in a lineage.

        ``bash``: processes of that name. ``nginx → bash``: exactly that ``process.lineage``. Three and more: that run
        of names anywhere in the chain. ``->`` and ``=>`` are arrows too. ``since`` is an ISO 8601 time.
        """
        names = _ARROWS.split(lineage.strip())
        if not all(names):
            raise UsageError(f"{lineage!r} is no lineage", "write for example 'nginx → bash'")
        wanted = ARROW.join(names)
        if len(names) == 1:
            condition, value = "substr(?1 || chain, -length(?2)) = ?2", f"{ARROW}{wanted}"
            parameters: list[Any] = [ARROW, value]
        elif len(names) == 2:
            condition, parameters = "lineage = ?", [wanted]
        else:
            condition = "instr(?1 || chain || ?1, ?2) > 0"
            parameters = [ARROW, f"{ARROW}{wanted}{ARROW}"]
        matching = [row[0] for row in self._rows(f"SELECT id FROM lineages WHERE {condition}", parameters)]  # noqa: S608
        return self._newest(matching, _since(since), limit)

    def _newest(self, lineages: list[int], since_ms: int, limit: int) -> list[dict[str, Any]]:
        found: list[tuple[int, int, bytes]] = []
        for start in range(0, len(lineages), _PAGE):
            some = lineages[start : start + _PAGE]
            query = (
                f"SELECT time_ms, number, body FROM documents WHERE lineage IN ({','.join('?' * len(some))})"  # noqa: S608
                " AND time_ms >= ? ORDER BY time_ms DESC, number DESC LIMIT ?"
            )
            found += self._rows(query, [*some, since_ms, limit])
        found.sort(key=lambda row: row[:2], reverse=True)
        return [orjson.loads(body) for _, _, body in found[:limit]]

    def processes(self, since: str | None = None, until: str | None = None) -> Iterator[dict[str, Any]]:
        """The latest document, until then, of each process that has one since then, in the order they were heard of."""
        newest = self._rows(
            "SELECT max(number) FROM documents WHERE entity_id IS NOT NULL AND stream = 'process' AND time_ms <= ?"
            " GROUP BY entity_id HAVING max(time_ms) >= ? ORDER BY min(number)",
            [_LAST_MS if until is None else _since(until), _since(since)],
        )
        for (number,) in newest:
            for (body,) in self._rows("SELECT body FROM documents WHERE number = ?", [number]):
                yield orjson.loads(body)

    def __len__(self) -> int:
        count: int = self._rows("SELECT count(*) FROM documents", [])[0][0]
        return count

    def _rows(self, query: str, parameters: list[Any]) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise SinkError(f"the store {self.path} cannot be read ({error})", "try again") from error


def _since(since: str | None) -> int:
    if since is None:
        return -1
    try:
        return time_ms(since)
    except ValueError as error:
        raise UsageError(f"{since!r} is no time", "write for example 2026-01-31T12:00:00Z") from error
