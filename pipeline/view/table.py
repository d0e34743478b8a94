"""Found processes as rows: a table on a terminal, tab-separated lines in a pipe.

Rules: everything that came from a process goes through ``printable``; a line in a pipe has always the same seven
columns, times as documents have them, so that ``cut`` and ``awk`` can rely on it. A process without an end has a word
in place of its exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipeline.view.text import ARROW, fit_chain, printable
from pipeline.view.words import when

ALIVE, UNKNOWN = "alive", "-"


_EXIT_STYLES = {"0": "", ALIVE: "green", UNKNOWN: "dim"}


class Row(NamedTuple):
    time: str
    host: str
    pid: str
    user: str
    chain: str
    command: str
    exit: str  # the code, ALIVE or UNKNOWN


def row(document: dict[str, Any]) -> Row:
    """One document, safe to print. ``time`` is when the process began, as far as is known."""
    process = document.get("process") or {}
    host = document.get("host") or {}
    user = process.get("user") or document.get("user") or {}
    command = process.get("command_line") or " ".join(process.get("args") or []) or process.get("executable")
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
                outcome(document),
            )
        )
    )


def outcome(newest: dict[str, Any], *, missed: bool = False) -> str:
    """How a process ended, by its newest document. ``missed``: while nobody looked."""
    process = newest.get("process") or {}
    if process.get("exit_code") is not None:
        return printable(str(process["exit_code"]))
    ended = missed or process.get("end") or (newest.get("event") or {}).get("action") == "end"
    return UNKNOWN if ended or not process else ALIVE


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
    table.add_column("lineage")
    table.add_column("command line", overflow="fold")
    table.add_column("exit", justify="right", no_wrap=True)
    for each in rows:
        table.add_row(
            Text(when(each.time, terminal=True), style="dim"),
            Text(each.host),
            Text(each.pid, style="cyan"),
            Text(each.user, style="yellow" if each.user == "root" else "green"),
            _Chain(each.chain),
            Text(each.command, style="dim"),
            Text(each.exit, style=_EXIT_STYLES.get(each.exit, "red")),
        )
    console.print(table)


class _Chain:
    """A chain that is shortened in its middle to the width that there is."""

    def __init__(self, chain: str) -> None:
        self._chain = chain

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, cell_len(self._chain))).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _chain(fit_chain(self._chain, options.max_width))


def _chain(chain: str) -> Text:
    """Ancestors dim, the last step plain, the process itself bold."""
    names = chain.split(ARROW)
    text = Text("".join(name + ARROW for name in names[:-2]), style="dim")
    text.append("".join(name + ARROW for name in names[-2:-1]), style="not dim")
    text.append(names[-1], style="not dim bold")
    return text
