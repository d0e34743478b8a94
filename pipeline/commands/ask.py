"""`lineage show` and `lineage ancestors`: ask a running agent what a process is, was, and descends from."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import orjson
from rich.console import Console

from pipeline.config import Config
from pipeline.query.agent import Agent, Refused, moment, who
from pipeline.query.base import Fields
from pipeline.view import chain, timeline
from pipeline.view.chain import described


async def show(config: Config, process: str, *, at: str | None, history: bool, json: bool) -> int:
    """Print one version, or all of them as a timeline. Raises NoAgentError, Refused, UsageError."""
    path, named = who(process)
    wanted = "true" if history else None
    answer = await _ask(config, f"/processes{path}", {**named, "at": moment(at), "history": wanted})
    if json:
        _print_json(answer["versions"] if history else [answer])
    elif history:
        timeline.show(Console(highlight=False), answer["versions"])
    else:
        chain.show_process(Console(highlight=False), answer)
    if history and answer["truncated"]:
        print(f"the oldest {answer['count']} versions; there are more", file=sys.stderr)  # noqa: T201
    return 0


async def ancestors(config: Config, process: str, *, at: str | None, depth: int, json: bool) -> int:
    """Print the process below its ancestors. Raises NoAgentError, Refused, UsageError."""
    path, named = who(process)
    answer = await _ask(config, f"/lineage{path}", {**named, "at": moment(at), "depth": depth})
    if json:
        _print_json([answer])
    else:
        chain.show_ancestors(Console(highlight=False), answer)
    return 0


async def _ask(config: Config, path: str, parameters: Mapping[str, str | int | None]) -> Fields:
    try:
        return await Agent(config).ask(path, parameters)
    except Refused as refused:
        for candidate in refused.candidates:
            about = dict(described(candidate))
            words = [about["id"], about["name"], about["pid"], f"started {about['started']}"]
            print("  ".join(words), file=sys.stderr)  # noqa: T201 - whom the question may mean
        raise


def _print_json(answers: list[Fields]) -> None:
    for answer in answers:
        sys.stdout.write(orjson.dumps(answer).decode() + "\n")
