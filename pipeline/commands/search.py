"""`lineage search`: find processes by lineage. Exit code 0 found, 1 nothing found (or an error, which says so)."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.query import open_archive
from pipeline.query.base import Archive, Fields, is_missed
from pipeline.query.lineage_query import moment, parse
from pipeline.view import table, words


async def search(config: Config, query: str, *, since: str, limit: int, json: bool) -> int:
    """Print the newest matching document of each process, what began last first."""
    wanted = parse(query)
    now = datetime.now(UTC)
    begin = moment(since, now, "--since")
    async with aclosing(open_archive(config)) as archive:
        found = await archive.find(wanted, begin, limit)
        rows = [] if json else await _rows(archive, found.documents, begin, now)
    if not found.documents:
        print(f"nothing found for {wanted} since {since} in {archive.name}", file=sys.stderr)  # noqa: T201
        return 1
    if json:
        for document in found.documents:
            sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        table.show(Console(highlight=False), rows)
        if doubt := words.doubts(found.documents):  # a table has no room for it, and a pipe's columns stay the same
            print(doubt, file=sys.stderr)  # noqa: T201
    if found.more:
        print(f"the newest {len(found.documents)}; there are more: --limit, --since", file=sys.stderr)  # noqa: T201
    return 0


async def _rows(archive: Archive, documents: list[Fields], since: datetime, until: datetime) -> list[table.Row]:
    """What fits may be an exec of long ago: how the process ended is in the newest document of it."""
    newest = await archive.newest([document["process"]["entity_id"] for document in documents if _identified(document)])
    coverage = await archive.coverage(since, until)
    rows = []
    for document in documents:
        last = newest.get(document["process"]["entity_id"], document) if _identified(document) else document
        rows.append(table.row(document)._replace(exit=table.outcome(last, missed=is_missed(last, coverage.snapshots))))
    return rows


def _identified(document: Fields) -> bool:
    return bool((document.get("process") or {}).get("entity_id"))
