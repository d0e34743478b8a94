"""`lineage tree`: draw processes as a tree. Exits 1 when there is nothing to draw.

A running agent is asked, else what was kept: where none answers, where it does not know that far back, has forgotten
the process or keeps no tree, and where the question is how far back to look. Whom the tree is from, if not from an
agent, is said first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console

from pipeline.commands.ask import ask_about, tell_bounds
from pipeline.config import Config
from pipeline.errors import LineageError, UsageError
from pipeline.query import open_archive
from pipeline.query.agent import Agent, NoAgentError, Refused, who
from pipeline.query.agent import moment as agent_moment
from pipeline.query.base import Archive, Fields
from pipeline.query.forest import Node, cut_below, fold_kernel_threads, grow, recorded, with_id, with_pid
from pipeline.query.lineage_query import iso, moment
from pipeline.view import forest, words
from pipeline.view.table import row
from pipeline.view.text import printable

ORIGINS = ("agent", "elasticsearch", "store")
SINCE = "24h"
KEPT_MAY_TELL = ("before_memory", "forgotten", "no_tree")
"""Reasons of an agent for no answer: documents that were kept may have one all the same."""

ANCESTORS_ASKED_MAX = 256  # ended ones, each a question of a millisecond or two; others stay as descendants told them


async def tree(
    config: Config,
    process: str | None,
    *,
    at: str | None = None,
    since: str | None = None,
    origin: str | None = None,
    depth: int | None = None,
    everything: bool = False,
    json: bool = False,
) -> int:
    """Print all trees, or the one below ``process``, a pid or an entity id, as of ``at`` (now).

    ``origin``: one of ORIGINS; None: who can tell. ``depth``: so many levels below the first. With ``everything``
    kernel threads too, and each ended process on a line of its own.
    """
    wanted = _Wanted(process, at, depth, everything=everything, json=json)
    if origin not in (None, *ORIGINS):
        raise UsageError(f"--from: {origin!r} is nobody to ask", f"use {', '.join(ORIGINS)}")
    if origin == "agent":
        if since is not None:
            raise UsageError("--since is no question for an agent, which knows what runs", "leave one of the two out")
        return await _of_agent(config, wanted)
    why = ""
    if origin is None and since is None:
        try:
            if _may_have_agent(config):
                return await _of_agent(config, wanted)
            why = _no_agent(config)
        except NoAgentError as error:
            why = f"{error.message}; {error.mend}"
        except Refused as refused:
            if refused.reason not in KEPT_MAY_TELL:
                raise
            why = refused.message
    return await _of_archive(config, wanted, since, origin, why)


class _Wanted:
    """The question."""

    def __init__(self, process: str | None, at: str | None, depth: int | None, *, everything: bool, json: bool) -> None:
        self.entity_id: str | None = None
        self.pid: int | None = None
        self.at, self.depth, self.everything, self.json = at, depth, everything, json
        if process is not None:
            path, named = who(process)
            self.entity_id = path.removeprefix("/") or None
            self.pid = int(named["pid"]) if named else None
        if self.pid == 0:
            raise UsageError("0 is no process id", "give a positive number")

    def __str__(self) -> str:
        if self.entity_id is not None:
            return f"no process {self.entity_id}"
        return "no process" if self.pid is None else f"no process with pid {self.pid}"

    @property
    def is_of_one(self) -> bool:
        return self.pid is not None or self.entity_id is not None

    @property
    def folds(self) -> bool:
        """Of kernel threads the number will do."""
        return not self.is_of_one and not self.everything

    @property
    def all_of_it(self) -> str:
        """What the answer of an agent would have, were nothing forgotten."""
        if not self.is_of_one:
            return "what lived then"
        return "what was born below it" if self.everything else "what lived below it then"


def _may_have_agent(config: Config) -> bool:
    """Looked at first: the client alone takes longer to import than most answers to make."""
    return config.api_socket != "" and Path(config.api_socket).exists()


def _no_agent(config: Config) -> str:
    if not config.api_socket:
        return "no agent can be asked, api_socket is empty"
    return f"no agent answers on {config.api_socket} (there is no such socket)"


async def _of_agent(config: Config, wanted: _Wanted) -> int:
    agent = Agent(config)
    answer, documents = await _asked(agent, wanted)
    roots = _grown(documents, wanted)
    # The answer has what lives: who ended, and has descendants that live, is asked for one by one.
    missing = [node.entity_id for root in roots for _, node in root.walk() if recorded(node)]
    if missing:
        found = await agent.find_all(missing[:ANCESTORS_ASKED_MAX], answer["at"])
        roots = _grown([*documents, *found], wanted)
    if wanted.folds:
        roots = fold_kernel_threads(roots, int(answer["kernel_threads"]))
    roots = cut_below(roots, wanted.depth)
    _print(roots, wanted)
    if answer["missing"]:
        _tell_missing(answer, wanted)
    if forgotten := answer["forgotten"]:
        _say(f"not known any more of {wanted.all_of_it}: {words.counted(forgotten, 'process', 'processes')}")
    await tell_bounds(agent)
    return 0


def _grown(documents: list[Fields], wanted: _Wanted) -> list[Node]:
    """``documents``: the one asked for first."""
    roots = grow(documents)
    return with_id(roots, documents[0]["process"]["entity_id"]) if wanted.is_of_one else roots


async def _asked(agent: Agent, wanted: _Wanted) -> tuple[Fields, list[Fields]]:
    """The answer, and its processes as documents; the one asked for first."""
    asked: dict[str, str | int | None] = {"at": agent_moment(wanted.at), "depth": wanted.depth}
    if wanted.is_of_one:
        asked |= {"pid": wanted.pid, "entity_id": wanted.entity_id, "ended": "true" if wanted.everything else None}
    if wanted.folds:
        asked |= {"kernel_threads": "false"}
    question = ["tree", *([] if wanted.at is None else ["--at", wanted.at])]
    answer = await ask_about(agent, "/tree", asked, question, json=wanted.json)
    return answer, [{"host": answer["host"], "at": answer["at"], **version} for version in answer["processes"]]


async def _of_archive(config: Config, wanted: _Wanted, since: str | None, origin: str | None, why: str) -> int:
    now = datetime.now(UTC)
    until = now if wanted.at is None else moment(wanted.at, now, "--at", whole=True)
    begin = moment(since or SINCE, until, "--since")
    try:
        async with aclosing(open_archive(config, origin)) as archive:
            pid = wanted.pid if wanted.entity_id is None else await _pid_of(archive, wanted.entity_id)
            found = await archive.processes(begin, until, pid)
            coverage = await archive.coverage(begin, until)
    except LineageError as error:
        if why:
            raise LineageError(f"{why}; {error.message}", error.mend) from error
        raise
    roots = grow(found.documents, coverage.snapshots)
    if wanted.entity_id is not None:
        roots = with_id(roots, wanted.entity_id)
    elif wanted.pid is not None:
        roots = _newest(roots, wanted.pid)
    elif wanted.folds:
        roots = fold_kernel_threads(roots)
    if not roots:
        when = "" if wanted.at is None else f" as of --at {wanted.at}"
        back = f" since {since}" if since is not None else f" (looked back {SINCE}: --since looks farther)"
        _say(f"{wanted}{when}{back} in {archive.name}" + (f"; {why}" if why else ""))
        return 1
    roots = cut_below(roots, wanted.depth)
    _tell_source(archive.name, why, roots, coverage.last, until, "now" if wanted.at is None else "--at")
    _print(roots, wanted)
    if found.more:
        newest = words.counted(len(found.documents), "process", "processes")
        _say(f"the newest {newest}; there are more: --since, or a PID")
    return 0


async def _pid_of(archive: Archive, entity_id: str) -> int | None:
    newest = (await archive.newest([entity_id])).get(entity_id)
    return None if newest is None else int((newest.get("process") or {}).get("pid") or 0) or None


def _print(roots: list[Node], wanted: _Wanted) -> None:
    if wanted.json:
        for root in roots:
            for _, node in root.walk():
                sys.stdout.write(orjson.dumps(node.document).decode() + "\n")
        for root in roots:
            if root.kernel_threads > 0:
                _say(f"{words.counted(root.kernel_threads, 'kernel thread')} left out: --all")
        return
    forest.show(Console(highlight=False), roots, everything=wanted.everything)
    if doubt := words.doubts(node.document for root in roots for _, node in root.walk()):
        _say(doubt)


def _tell_source(
    name: str, why: str, roots: list[Node], last: Mapping[str, datetime], until: datetime, moment: str
) -> None:
    """Before the picture: that it is not of an agent, and how old it is.

    Whoever is drawn alive was so at the last event, and nobody has looked since. ``moment``: what ``until`` is called.
    """
    _say(f"this is from {name}: {why}" if why else f"from {name}")
    hosts = dict.fromkeys(root.host for root in roots if any(node.alive for _, node in root.walk()))
    for host in hosts:
        if host in last:
            where = f" of {printable(host)}" if len(hosts) > 1 else ""
            when = words.when(iso(last[host]), terminal=sys.stderr.isatty())
            age = f"{words.before(until - last[host])} {moment}"
            _say(f"last event{where} {when}, {age}: who is drawn alive was alive then")


def _tell_missing(answer: Fields, wanted: _Wanted) -> None:
    """An answer has so many processes at most, those that are not drawn among them."""
    more, has = words.counted(answer["missing"], "more process", "more processes"), answer["count"]
    ways = ["below a PID", "at a lower --depth", *(["without --all"] if wanted.everything else [])]
    _say(f"{more} had no room in an answer of {has:,}: ask {', '.join(ways)}, or raise the agent's api_rows_max")


def _newest(roots: list[Node], pid: int) -> list[Node]:
    """A pid is used again: the last one that had it, and a word about the others."""
    named = with_pid(roots, pid)
    if len(named) > 1:
        newest = named[0]
        began = words.when(row(newest.document).time, terminal=sys.stderr.isatty())
        where = f" on {newest.host}" if newest.host else ""
        _say(f"{len(named)} processes had pid {pid}; this is the newest, begun {began}{where}")
    return named[:1]


def _say(text: str) -> None:
    """Beside the answer, not in it; where both go to one terminal, in this order."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)  # noqa: T201
