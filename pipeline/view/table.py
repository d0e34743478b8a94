"""Found processes as rows: a table on a terminal, or three lines each where that is narrow; tab-separated in a pipe.

Rules: everything that came from a process goes through ``printable``; a line in a pipe has always the same seven
columns, nothing cut and times as documents have them, so that ``cut`` and ``awk`` can rely on it. On a terminal a line
is never folded: a long command line ends in an ellipsis, a long chain has one in its middle. A process without an end
has a word in place of its exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view.text import fit_chain, printable, styled_chain
from pipeline.view.words import when

ALIVE, UNKNOWN = "alive", "-"
PID, CHAIN, COMMAND = "pid", "lineage", "command line"
HEADINGS = ("time", "host", PID, "user", "exit")
"""Of what has a bounded width; the chain and the command line come before the last."""

GAP = "  "
HOST_COLUMNS, USER_COLUMNS = 16, 12
COMMAND_COLUMNS = 30  # of a command line that a table has room for

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
    """Print in the form that fits where it goes.

    On a terminal a table where every chain has its room in it, else three lines a row, of which the chain has one.
    """
    if not console.is_terminal:
        console.file.write(lines(rows))
        return
    width = console.width
    heads = [_head(each) for each in rows]
    columns = [max(map(cell_len, column)) for column in zip(HEADINGS, *(map(str, head) for head in heads), strict=True)]
    chain = max(map(cell_len, (CHAIN, *(each.chain for each in rows))))
    command = max(map(cell_len, (COMMAND, *(each.command for each in rows))))
    gaps = len(GAP) * (len(columns) + 1)
    if sum(columns) + chain + min(command, COMMAND_COLUMNS) + gaps <= width:
        console.print(_table(rows, heads))
        return
    for each, head in zip(rows, heads, strict=True):
        console.print(_line(head, columns), no_wrap=True, overflow="ellipsis", crop=True)
        ancestry = styled_chain(fit_chain(each.chain, width - len(GAP)))
        console.print(Text(GAP).append_text(ancestry), no_wrap=True, crop=True)
        command_line = Text(GAP * 2 + each.command, style="dim")
        console.print(command_line, no_wrap=True, overflow="ellipsis", crop=True)


def _head(each: Row) -> list[Text]:
    """What has a bounded width, and the exit code last."""
    host, user = Text(each.host), Text(each.user, style="yellow" if each.user == "root" else "green")
    host.truncate(HOST_COLUMNS, overflow="ellipsis")
    user.truncate(USER_COLUMNS, overflow="ellipsis")
    return [
        Text(when(each.time, terminal=True), style="dim"),
        host,
        Text(each.pid, style="cyan"),
        user,
        Text(each.exit, style=_EXIT_STYLES.get(each.exit, "red")),
    ]


def _table(rows: Sequence[Row], heads: Sequence[Sequence[Text]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    *before, end = HEADINGS
    for heading in (*before, CHAIN):
        table.add_column(heading, justify="right" if heading == PID else "left", no_wrap=True)
    table.add_column(COMMAND)  # the only one that is made narrower
    table.add_column(end, justify="right", no_wrap=True)
    for each, (*first, code) in zip(rows, heads, strict=True):
        command = Text(each.command, style="dim", no_wrap=True, overflow="ellipsis")
        table.add_row(*first, styled_chain(each.chain), command, code)
    return table


def _line(head: Sequence[Text], columns: Sequence[int]) -> Text:
    line = Text()
    for heading, text, width in zip(HEADINGS[:-1], head, columns, strict=False):
        text.align("right" if heading == PID else "left", width)
        line.append_text(text).append(GAP)
    code = head[-1]
    return line.append("" if code.plain == ALIVE else f"{HEADINGS[-1]} ", style="dim").append_text(code)
