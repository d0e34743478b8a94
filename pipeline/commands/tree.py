"""`lineage tree`: draw the processes that were kept, as a tree. Exits 1 when there is nothing to draw."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import UTC, datetime

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.query import open_archive
from pipeline.query.forest import Node, grow, with_pid, without_kernel_threads
from pipeline.query.lineage_query import moment
from pipeline.view import forest
from pipeline.view.table import local, row


async def tree(
    config: Config,
    pid: int | None,
    *,
    at: str | None = None,
    since: str = "24h",
    everything: bool = False,
    json: bool = False,
) -> int:
    """Print all trees, or the one below ``pid``, as of ``at`` (now). Kernel threads only with ``everything``."""
    if pid is not None and pid < 1:
        raise UsageError(f"{pid} is no process id", "give a positive number")
    until = datetime.now(UTC) if at is None else moment(at, datetime.now(UTC))
    begin = moment(since, until)
    async with aclosing(open_archive(config)) as archive:
        found = await archive.processes(begin, until, pid)
    roots = grow(found.documents)
    if pid is not None:
        roots = _newest(roots, pid)
    elif not everything:
        roots = without_kernel_threads(roots)
    if not roots:
        what = "no process" if pid is None else f"no process with pid {pid}"
        print(f"{what} since {since} in {archive.name}", file=sys.stderr)  # noqa: T201
        return 1
    if json:
        for root in roots:
            for _, node in root.walk():
                sys.stdout.write(orjson.dumps(node.document).decode() + "\n")
    else:
        forest.show(Console(highlight=False), roots)
    if found.more:
        print(f"the newest {len(found.documents)} processes; there are more: --since, or a PID", file=sys.stderr)  # noqa: T201
    return 0


def _newest(roots: list[Node], pid: int) -> list[Node]:
    """A pid is used again: the last one that had it, and a word about the others."""
    named = with_pid(roots, pid)
    if len(named) > 1:
        newest = named[0]
        began = local(row(newest.document).time)
        where = f" on {newest.host}" if newest.host else ""
        print(f"{len(named)} processes had pid {pid}; this is the newest, begun {began}{where}", file=sys.stderr)  # noqa: T201
    return named[:1]
