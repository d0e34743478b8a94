"""One process and those it descends from, as a person reads them. Text of processes goes through ``printable``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.view.table import local, row
from pipeline.view.text import printable

INDENT = "  "
Fields = dict[str, Any]


def show_ancestors(console: Console, answer: Fields) -> None:
    """The farthest first, each below who gave birth to it."""
    for depth, label in enumerate(ancestors(answer)):
        if console.is_terminal:
            name, _, rest = label.partition(INDENT)
            text = Text(INDENT * depth, no_wrap=True, overflow="ellipsis")
            text.append(name, style="bold" if depth == len(answer["ancestors"]) else "")
            text.append(INDENT + rest if rest else "", style="dim")
            console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            console.file.write(INDENT * depth + label + "\n")


def ancestors(answer: Fields) -> list[str]:
    """Name, pid, user, command line; the process itself last."""
    described = [_label(one) for one in reversed([answer, *answer["ancestors"]])]
    missing = int(answer["lineage"]["depth"]) - len(answer["ancestors"])
    if missing > 0:
        return [f"… {missing} more", *described]
    return described if answer["lineage"]["complete"] else ["unknown", *described]


def show_process(console: Console, version: Fields) -> None:
    """One version: a name and a value a line."""
    for name, value in described(version):
        if console.is_terminal:
            text = Text(f"{name:<12}", style="cyan")
            text.append(value, style="bold" if name == "name" else "not dim default")
            console.print(text)
        else:
            console.file.write(f"{name}\t{value}\n")


def described(version: Fields) -> Iterator[tuple[str, str]]:
    """What there is to tell, in the order in which one asks."""
    process, lineage = version["process"], version.get("lineage") or {}
    about = row(version)
    parent = process.get("parent")
    until = version["until"]
    values: tuple[tuple[str, Any], ...] = (
        ("name", process.get("name")),
        ("pid", process.get("pid")),
        ("id", process.get("entity_id")),
        ("lineage", lineage.get("chain")),
        ("parent", f"{parent.get('name')} {parent.get('pid')}" if parent else None),
        ("command", about.command),
        ("executable", process.get("executable")),
        ("directory", process.get("working_directory")),
        ("user", about.user),
        ("container", (version.get("container") or {}).get("id")),
        ("started", local(str(process.get("start")))),
        ("ended", ending(process)),
        ("since", f"{local(version['since'])} ({version['how']})"),
        ("until", local(until) if until else None),
        ("doubt", ", ".join(lineage.get("doubt") or ())),
        ("missing", f"{version['versions_dropped']} versions before" if version["versions_dropped"] else None),
    )
    for name, value in values:
        if value not in (None, ""):
            yield name, printable(str(value))


def ending(process: Fields) -> str | None:
    """When and how it ended; None while it has not."""
    if not process.get("end"):
        return None
    code = process.get("exit_code")
    return local(str(process["end"])) + (", nobody saw how" if code is None else f", exit code {code}")


def _label(one: Fields) -> str:
    about = row(one)
    words = (f"{printable(str(one['process'].get('name') or 'unknown'))} {about.pid}", about.user, about.command)
    return INDENT.join(word for word in words if word)
