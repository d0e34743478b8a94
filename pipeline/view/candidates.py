"""Whom an ambiguous question may mean: a table on a terminal, lines between tabs in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.view.table import row
from pipeline.view.text import printable
from pipeline.view.words import when

HEADINGS = ("id", "started", "ended", "command", "parent")


def show(console: Console, versions: Sequence[dict[str, Any]]) -> None:
    """Each as it was then; the youngest first, as the API has them."""
    rows = [_row(version, terminal=console.is_terminal) for version in versions]
    if not console.is_terminal:
        for cells in (HEADINGS, *rows):
            console.file.write("\t".join(cells) + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for cells in rows:
        table.add_row(*map(Text, cells))
    console.print(table)


def _row(version: dict[str, Any], *, terminal: bool) -> tuple[str, ...]:
    process = version["process"]
    parent = process.get("parent") or {}
    # A version of then does not say that its process has ended since: until is its end, or that of what it was then.
    end = process.get("end") or version.get("until")
    command = row(version).command or str(process.get("name") or "unknown")
    return (
        printable(str(process["entity_id"])),
        when(str(process["start"]), terminal=terminal),
        when(str(end), terminal=terminal) if end else "",
        command,
        printable(f"{parent.get('name') or 'unknown'} {parent.get('pid') or ''}".strip()),
    )
