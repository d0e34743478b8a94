"""What a process has been, one line for each change: when, how it was learnt, what became what.

Rules of this file: text of processes goes through ``printable``; in a pipe a line has three columns between tabs, the
time as documents have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view.table import local, row
from pipeline.view.text import ARROW, printable

Fields = dict[str, Any]
NOTHING = "nothing"


class Moment(NamedTuple):
    time: str
    how: str
    what: str


def _at(path: str) -> Callable[[Fields], str]:
    steps = path.split(".")

    def read(version: Fields) -> str:
        value: Any = version
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, list):
            return " ".join(map(str, value))
        return "" if value is None else str(value)

    return read


def _terminal(version: Fields) -> str:
    device = (version["process"].get("tty") or {}).get("char_device")
    return f"{device['major']}:{device['minor']}" if device else ""


PROPERTIES: tuple[tuple[str, Callable[[Fields], str]], ...] = (
    ("name", _at("process.name")),
    ("executable", _at("process.executable")),
    ("command", lambda version: row(version).command),
    ("directory", _at("process.working_directory")),
    ("user", lambda version: row(version).user),
    ("real user", _at("process.real_user.id")),
    ("saved user", _at("process.saved_user.id")),
    ("group", _at("process.group.id")),
    ("real group", _at("process.real_group.id")),
    ("groups", lambda version: " ".join(str(one.get("id")) for one in _groups(version))),
    ("capabilities", _at("process.thread.capabilities.effective")),
    ("thread name", _at("process.thread.name")),
    ("terminal", _terminal),
    ("process group", _at("process.group_leader.pid")),
    ("session", _at("process.session_leader.pid")),
    ("pid namespace", _at("lineage.pid_ns_ino")),
    ("container", _at("container.id")),
    ("reaper", _at("lineage.reaper.pid")),
    ("environment", _at("process.env_vars")),
)
"""What is compared from one version to the next, and what a person calls it."""


def moments(versions: Sequence[Fields]) -> Iterator[Moment]:
    """``versions``: oldest first, as the API has them."""
    before: Fields | None = None
    for version in versions:
        if version["versions_dropped"]:
            missing = f"… {version['versions_dropped']} versions that are not known any more"
            yield Moment(version["since"], "", missing)
        yield Moment(version["since"], version["how"], _began(version) if before is None else _changed(before, version))
        before = version
    if before is not None and before["process"].get("end"):
        code = before["process"].get("exit_code")
        outcome = "ended, nobody saw how" if code is None else f"ended, exit code {code}"
        yield Moment(before["process"]["end"], "", outcome)


def show(console: Console, versions: Sequence[Fields]) -> None:
    """Print in the form that fits where it goes."""
    if not console.is_terminal:
        for moment in moments(versions):
            console.file.write("\t".join(moment) + "\n")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for moment in moments(versions):
        table.add_row(Text(local(moment.time), style="dim"), Text(moment.how, style="cyan"), Text(moment.what))
    console.print(table)


def _began(version: Fields) -> str:
    process = version["process"]
    about = row(version)
    name = printable(str(process.get("name") or "unknown"))
    return f"{name} {about.pid}, user {about.user}: {about.command}"


def _changed(before: Fields, version: Fields) -> str:
    changes = []
    for name, read in PROPERTIES:
        old, new = printable(read(before)), printable(read(version))
        if old != new:
            changes.append(f"{name} {old or NOTHING}{ARROW}{new or NOTHING}")
    if changes:
        return "; ".join(changes)
    return f"told again: {', '.join(version['told'])}" if version["told"] else "told again"


def _groups(version: Fields) -> list[Fields]:
    found = version["process"].get("supplemental_groups") or []
    return found if isinstance(found, list) else [found]
