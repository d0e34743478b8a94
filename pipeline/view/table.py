"""Found processes as rows: a table on a terminal, tab-separated lines in a pipe.

Rules: everything that came from a process goes through ``printable``; a line in a pipe has always the same seven
columns, times as documents have them, so that ``cut`` and ``awk`` can rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view.text import printable

ARROW = " → "


class Row(NamedTuple):
    time: str
    host: str
    pid: str
    user: str
    chain: str
    command: str
    exit: str  # the code; "" while it runs


def row(document: dict[str, Any]) -> Row:
    """One document, safe to print. ``time`` is when the process began, as far as is known."""
    process = document.get("process") or {}
    host = document.get("host") or {}
    user = process.get("user") or document.get("user") or {}
    command = process.get("command_line") or " ".join(process.get("args") or []) or process.get("executable")
    exit_code = process.get("exit_code")
    return Row(
        *(
            printable(str(value if value is not None else ""))
            for value in (
                process.get("start") or document.get("@timestamp"),
                host.get("name") or host.get("hostname"),
                process.get("pid"),
                user.get("name") or user.get("id"),
                (document.get("lineage") or {}).get("chain") or process.get("lineage"),
                command,
                exit_code,
            )
        )
    )


def lines(rows: Sequence[Row]) -> str:
    return "".join("\t".join(each) + "\n" for each in rows)


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print in the form that fits where it goes."""
    if not console.is_terminal:
        console.file.write(lines(rows))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("time", no_wrap=True)
    table.add_column("host", overflow="ellipsis", no_wrap=True, max_width=16)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("user", overflow="ellipsis", no_wrap=True, max_width=12)
    table.add_column("lineage", overflow="fold", ratio=1)
    table.add_column("command line", overflow="fold", ratio=1)
    table.add_column("exit", justify="right", no_wrap=True)
    for each in rows:
        table.add_row(
            Text(local(each.time), style="dim"),
            Text(each.host),
            Text(each.pid, style="cyan"),
            Text(each.user, style="yellow" if each.user == "root" else "green"),
            _chain(each.chain),
            Text(each.command, style="dim"),
            Text(each.exit, style="" if each.exit in ("", "0") else "red"),
        )
    console.print(table)


def local(time: str) -> str:
    """A document's time on this machine's clock, to the second; as it is where it is no time."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return time


def _chain(chain: str) -> Text:
    """Ancestors dim, the last step plain, the process itself bold."""
    names = chain.split(ARROW)
    text = Text("".join(name + ARROW for name in names[:-2]), style="dim")
    text.append("".join(name + ARROW for name in names[-2:-1]), style="not dim")
    text.append(names[-1], style="not dim bold")
    return text
