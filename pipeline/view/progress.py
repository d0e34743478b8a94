"""Long work shows how far it is: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def of_bytes(console: Console) -> Progress:
    """A bar over bytes read."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        auto_refresh=False,  # its thread would keep the privileges that are dropped under it: call refresh()
    )


def of_steps(console: Console) -> Progress:
    """A bar over things done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
