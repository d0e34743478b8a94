"""`lineage tree`: draw the processes that were kept, as a tree. Exits 1 when there is nothing to draw."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
from pipeline.view.text import printable


async def tree(
    config: Config,
    pid: int | None,
    *,
    at: str | None = None,
    since: str = "24h",
    everything: bool = False,
    json: bool = False,
) -> int:
    """Print all trees, or the one below ``pid``, as of ``at`` (now).

    With ``everything`` kernel threads too, and each ended process on a line of its own.
    """
    if pid is not None and pid < 1:
        raise UsageError(f"{pid} is no process id", "give a positive number")
    until = datetime.now(UTC) if at is None else moment(at, datetime.now(UTC), "--at")
    begin = moment(since, until, "--since")
    async with aclosing(open_archive(config)) as archive:
        found = await archive.processes(begin, until, pid)
        coverage = await archive.coverage(begin, until)
    roots = grow(found.documents, coverage.snapshots)
    if pid is not None:
        roots = _newest(roots, pid)
    elif not everything:
        roots = without_kernel_threads(roots)
    if not roots:
        what = "no process" if pid is None else f"no process with pid {pid}"
        when = f"since {since}" if at is None else f"as of --at {at} (--since {since})"
        print(f"{what} {when} in {archive.name}", file=sys.stderr)  # noqa: T201
        return 1
    if json:
        for root in roots:
            for _, node in root.walk():
                sys.stdout.write(orjson.dumps(node.document).decode() + "\n")
    else:
        forest.show(Console(highlight=False), roots, everything=everything)
    if found.more:
        print(f"the newest {len(found.documents)} processes; there are more: --since, or a PID", file=sys.stderr)  # noqa: T201
    _tell_age(roots, coverage.last, until)
    return 0


def _tell_age(roots: list[Node], last: Mapping[str, datetime], until: datetime) -> None:
    """How old the picture is: whoever is drawn alive was so at the last event, and nobody has looked since."""
    hosts = dict.fromkeys(root.host for root in roots if any(node.alive for _, node in root.walk()))
    for host in hosts:
        if host in last:
            where = f" of {printable(host)}" if len(hosts) > 1 else ""
            print(f"last event{where} {forest.clock(last[host], until)}", file=sys.stderr)  # noqa: T201


def _newest(roots: list[Node], pid: int) -> list[Node]:
    """A pid is used again: the last one that had it, and a word about the others."""
    named = with_pid(roots, pid)
    if len(named) > 1:
        newest = named[0]
        began = local(row(newest.document).time)
        where = f" on {newest.host}" if newest.host else ""
        print(f"{len(named)} processes had pid {pid}; this is the newest, begun {began}{where}", file=sys.stderr)  # noqa: T201
    return named[:1]
