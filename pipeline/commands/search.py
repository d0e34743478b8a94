"""`lineage search`: find processes by lineage. Exit code 0 found, 1 nothing found (or an error, which says so)."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.query import open_archive
from pipeline.query.lineage_query import moment, parse
from pipeline.view import table


async def search(config: Config, query: str, *, since: str, limit: int, json: bool) -> int:
    """Print the newest matching document of each process, newest first."""
    wanted = parse(query)
    begin = moment(since, datetime.now(UTC))
    async with aclosing(open_archive(config)) as archive:
        found = await archive.find(wanted, begin, limit)
    if not found.documents:
        print(f"nothing found for {wanted} since {since} in {archive.name}", file=sys.stderr)  # noqa: T201
        return 1
    if json:
        for document in found.documents:
            sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        table.show(Console(highlight=False), [table.row(document) for document in found.documents])
    if found.more:
        print(f"the newest {limit}; there are more: --limit, --since", file=sys.stderr)  # noqa: T201
    return 0
