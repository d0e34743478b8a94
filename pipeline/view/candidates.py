"""Whom an ambiguous question may mean: two lines each on a terminal, which fit a narrow one; a line in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from pipeline.view.table import row
from pipeline.view.text import ARROW, printable
from pipeline.view.words import when

HEADINGS = ("id", "started", "ended", "command", "parent")


class Candidate(NamedTuple):
    """A process; or a thread, with its name for a command, and its process for a parent."""

    id: str
    started: str
    ended: str
    command: str
    parent: str


def show(console: Console, versions: Sequence[dict[str, Any]]) -> None:
    """Each as it was then; the youngest first, as the API has them."""
    found = [_candidate(version, terminal=console.is_terminal) for version in versions]
    if not console.is_terminal:
        for cells in (HEADINGS, *found):
            console.file.write("\t".join(cells) + "\n")
        return
    for one in found:
        what = Text(no_wrap=True, overflow="ellipsis").append(one.id, style="cyan").append(f"  {one.parent}{ARROW}")
        console.print(what.append(one.command, style="bold"), no_wrap=True, overflow="ellipsis", crop=True)
        ended = f", ended {_less_the_day(one.ended, one.started)}" if one.ended else ""
        console.print(Text(f"  started {one.started}{ended}", style="dim"))


def identity(version: dict[str, Any]) -> str:
    """Its entity id: of the process, or of the thread where it is one."""
    process = version["process"]
    return str((process["thread"] if _is_thread(version) else process)["entity_id"])


def _is_thread(version: dict[str, Any]) -> bool:
    """What is told of a thread says little of its process: not when that started."""
    return "start" not in version["process"]


def _candidate(version: dict[str, Any], *, terminal: bool) -> Candidate:
    process = version["process"]
    is_thread = _is_thread(version)
    about = process["thread"] if is_thread else process
    # A version of then does not say that it has ended since: until is its end, or that of what it was then.
    end = about.get("end") or version.get("until")
    parent = process if is_thread else process.get("parent") or {}
    return Candidate(
        printable(identity(version)),
        when(str(about["start"]), terminal=terminal),
        when(str(end), terminal=terminal) if end else "",
        ("" if is_thread else row(version).command) or printable(str(about.get("name") or "unknown")),
        printable(f"{parent.get('name') or ('process' if is_thread else 'unknown')} {parent.get('pid') or ''}".strip()),
    )


def _less_the_day(time: str, of: str) -> str:
    """The time of day alone, where it is the same day."""
    day, blank, clock = time.partition(" ")
    return clock if blank and of.startswith(f"{day} ") else time
