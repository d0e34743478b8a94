"""Process trees as a person reads them: drawn on a terminal, indented lines in a pipe.

Rules: everything that came from a process goes through ``printable``; alive, ended and merely recorded processes can be
told apart without colours, by the words behind the pid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pipeline.view.table import row
from pipeline.view.text import printable

INDENT = "  "


class Node(Protocol):
    """One process of a tree; neither alive nor ended: known from its descendants only."""

    document: dict[str, Any]

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def host(self) -> str: ...
    @property
    def alive(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def walk(self) -> Iterator[tuple[int, Node]]:
        """This node and all below it with their depth, parents first."""
        ...


def show(console: Console, roots: Sequence[Node]) -> None:
    """Print every tree, with a heading for each host where there are several."""
    hosts = list(dict.fromkeys(root.host for root in roots))
    for host in hosts:
        own = [root for root in roots if root.host == host]
        if not console.is_terminal:
            for line in lines(own, heading=host if len(hosts) > 1 else ""):
                console.file.write(line + "\n")
            continue
        if len(hosts) > 1:
            console.print(Text(printable(host) or "unknown host", style="bold underline"))
        for root in own:
            console.print(_drawn(root), no_wrap=True, overflow="ellipsis", crop=True)


def lines(roots: Sequence[Node], heading: str = "") -> Iterator[str]:
    """Name, pid, user, what became of it, command line; two blanks a generation."""
    if heading:
        yield f"{printable(heading)}:"
    for root in roots:
        for depth, node in root.walk():
            about = row(node.document)
            words = [f"{INDENT * depth}{printable(node.name)} {node.pid}", about.user, _state(node), about.command]
            yield INDENT.join(word for word in words if word)


def _drawn(root: Node) -> Tree:
    drawn = Tree(_label(root), guide_style="dim")
    branches = [drawn]
    for depth, node in root.walk():
        if depth == 0:
            continue
        del branches[depth:]
        branches.append(branches[-1].add(_label(node)))
    return drawn


def _label(node: Node) -> Text:
    about = row(node.document)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(printable(node.name), style="bold" if node.alive else "dim italic")
    text.append(f" {node.pid}", style="cyan" if node.alive else "dim cyan")
    if about.user:
        text.append(f" {about.user}", style="yellow" if about.user == "root" else "green")
    if state := _state(node):
        text.append(f" {state}", style="red" if about.exit not in ("", "0") else "dim")
    if about.command:
        text.append(f"  {about.command}", style="dim")
    return text


def _state(node: Node) -> str:
    """Nothing for a living process: that is what a tree is expected to show."""
    if node.alive:
        return ""
    if node.ended:
        code = row(node.document).exit
        return f"(ended, exit code {code})" if code else "(ended)"
    return "(recorded by its descendants)"
