"""Verbs that ask: search, tree, show, ancestors."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.base import configuration
from pipeline.errors import UsageError
from pipeline.options import AtOption, JsonOption, ProcessArgument, SinceOption, TaskArgument

DEPTH_MAX = 1024


def _depth(text: str | int) -> int:
    """``text``: a number where it is the default. Raises UsageError."""
    written = str(text)
    if not (written.isascii() and written.isdecimal() and len(written) < 9 and 1 <= int(written) <= DEPTH_MAX):
        raise UsageError(f"--depth: {written!r} is no depth", f"give a number from 1 to {DEPTH_MAX:,}")
    return int(written)


def search(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY", help="'nginx → bash' (or 'nginx -> bash'), one name, or a longer run of names."
        ),
    ],
    since: SinceOption = "24h",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Rows at most, newest first.")
    ] = 100,
    json: JsonOption = False,
) -> int:
    """Find processes by lineage.

    In Elasticsearch where configured, else in the local store. Exits 1 on none.
    """
    import anyio

    from pipeline.commands import search as command

    config = configuration()
    return anyio.run(lambda: command.search(config, query, since=since, limit=limit, json=json))


def tree(
    process: Annotated[
        str | None, typer.Argument(metavar="PID|ID", help="Only this process and what is below it.")
    ] = None,
    at: AtOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="What was kept since then, 24h where nobody says. Asks no agent."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="agent, elasticsearch or store. Default: the agent if one answers, else what was kept.",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", parser=_depth, help="So many levels below the first.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Kernel threads and ended processes too, and a line for each.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Draw the process tree.

    That of the running agent, else the stored one.
    """
    import anyio

    from pipeline.commands import tree as command

    config = configuration()
    return anyio.run(
        lambda: command.tree(
            config, process, at=at, since=since, origin=origin, depth=depth, everything=everything, json=json
        )
    )


def show(
    process: TaskArgument,
    at: AtOption = None,
    history: Annotated[
        bool, typer.Option("--history", help="All that it has been, as a timeline; with --at, until then.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With --history: a line too for what told nothing new.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Say what a process is, or was; of a thread, whose it is.

    Asks the running agent.
    """
    import anyio

    from pipeline.commands import ask as command

    config = configuration()
    return anyio.run(lambda: command.show(config, process, at=at, history=history, json=json, verbose=verbose))


def ancestors(
    process: ProcessArgument,
    at: AtOption = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", parser=_depth, help="So many ancestors at most.")] = 32,
    json: JsonOption = False,
) -> int:
    """Say what a process descends from.

    Each ancestor as it was when its child was born. Asks the running agent.
    """
    import anyio

    from pipeline.commands import ask as command

    config = configuration()
    return anyio.run(lambda: command.ancestors(config, process, at=at, depth=depth, json=json))
