"""`lineage tree`: draw processes as a tree. Exits 1 when there is nothing to draw.

A running agent is asked, else what was kept: where none answers, where it does not know that far back, and where the
question is how far back to look.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.query import open_archive
from pipeline.query.agent import Agent, NoAgentError, Refused
from pipeline.query.agent import moment as agent_moment
from pipeline.query.forest import Node, grow, with_pid, without_kernel_threads
from pipeline.query.lineage_query import moment
from pipeline.view import forest
from pipeline.view.table import local, row
from pipeline.view.text import printable

ORIGINS = ("agent", "elasticsearch", "store")
SINCE = "24h"


async def tree(
    config: Config,
    pid: int | None,
    *,
    at: str | None = None,
    since: str | None = None,
    origin: str | None = None,
    everything: bool = False,
    json: bool = False,
) -> int:
    """Print all trees, or the one below ``pid``, as of ``at`` (now). ``origin``: one of ORIGINS; None: who can tell.

    With ``everything`` kernel threads too, and each ended process on a line of its own.
    """
    if pid is not None and pid < 1:
        raise UsageError(f"{pid} is no process id", "give a positive number")
    if origin not in (None, *ORIGINS):
        raise UsageError(f"--from: {origin!r} is nobody to ask", f"use {', '.join(ORIGINS)}")
    if origin == "agent":
        if since is not None:
            raise UsageError("--since is no question for an agent, which knows what runs", "leave one of the two out")
        return await _of_agent(config, pid, at, everything, json)
    if origin is None and since is None and _may_have_agent(config):
        try:
            return await _of_agent(config, pid, at, everything, json)
        except NoAgentError:
            pass
        except Refused as refused:
            if refused.reason != "before_memory":
                raise
    return await _of_archive(config, pid, at, since or SINCE, origin, everything, json)


def _may_have_agent(config: Config) -> bool:
    """Looked at first: the client alone takes longer to import than most answers to make."""
    return config.api_socket != "" and Path(config.api_socket).exists()


async def _of_agent(config: Config, pid: int | None, at: str | None, everything: bool, json: bool) -> int:
    below = {"pid": pid, "ended": "true" if everything else None} if pid is not None else {}
    answer = await Agent(config).ask("/tree", {"at": agent_moment(at), **below})
    documents = [{"host": answer["host"], **version} for version in answer["processes"]]
    roots = grow(documents)
    if pid is not None:
        asked = documents[0]["process"]["entity_id"]
        roots = [node for root in roots for _, node in root.walk() if node.entity_id == asked]
    elif not everything:
        roots = without_kernel_threads(roots)
    _print(roots, everything, json)
    if answer["truncated"]:
        print(f"{answer['count']} processes; there are more: a PID, or api_rows_max", file=sys.stderr)  # noqa: T201
    return 0


async def _of_archive(
    config: Config, pid: int | None, at: str | None, since: str, origin: str | None, everything: bool, json: bool
) -> int:
    now = datetime.now(UTC)
    until = now if at is None else moment(at, now, "--at", whole=True)
    begin = moment(since, until, "--since")
    async with aclosing(open_archive(config, origin)) as archive:
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
    _print(roots, everything, json)
    if found.more:
        print(f"the newest {len(found.documents)} processes; there are more: --since, or a PID", file=sys.stderr)  # noqa: T201
    _tell_age(roots, coverage.last, until)
    return 0


def _print(roots: list[Node], everything: bool, json: bool) -> None:
    if json:
        for root in roots:
            for _, node in root.walk():
                sys.stdout.write(orjson.dumps(node.document).decode() + "\n")
    else:
        forest.show(Console(highlight=False), roots, everything=everything)


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
