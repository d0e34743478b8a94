"""Process trees as a person reads them: drawn on a terminal, indented lines in a pipe.

Rules: everything that came from a process goes through ``printable``; alive, ended and merely recorded processes can be
told apart without colours, by the words behind the pid. Ended siblings without children, of one name and one outcome,
are one line, where the first of them would be. So are kernel threads, behind kthreadd: their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pipeline.view.table import ALIVE, UNKNOWN, row
from pipeline.view.text import printable
from pipeline.view.words import counted, ended, not_sure, outcome

INDENT = "  "


class Node(Protocol):
    """One process of a tree; neither alive nor ended: known from its descendants only."""

    document: dict[str, Any]
    kernel_threads: int  # so many more below it, of which nothing else is told

    @property
    def children(self) -> Sequence[Node]: ...
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
    @property
    def missed(self) -> bool:
        """Ended, and nobody knows when or how."""
        ...

    def walk(self) -> Iterator[tuple[int, Node]]:
        """This node and all below it with their depth, parents first."""
        ...


class Line(NamedTuple):
    depth: int
    node: Node
    alike: int  # more than 1: so many like this one, in one line


def show(console: Console, roots: Sequence[Node], *, everything: bool = False) -> None:
    """Print every tree, with a heading for each host where there are several. ``everything``: a line a process."""
    hosts = list(dict.fromkeys(root.host for root in roots))
    for host in hosts:
        own = [root for root in roots if root.host == host]
        if not console.is_terminal:
            for line in lines(own, heading=host if len(hosts) > 1 else "", everything=everything):
                console.file.write(line + "\n")
            continue
        if len(hosts) > 1:
            console.print(Text(printable(host) or "unknown host", style="bold underline"))
        for tree in _drawn(folded(own, everything=everything)):
            console.print(tree, no_wrap=True, overflow="ellipsis", crop=True)


def lines(roots: Sequence[Node], heading: str = "", *, everything: bool = False) -> Iterator[str]:
    """Name, pid, user, what became of it, command line; two blanks a generation."""
    if heading:
        yield f"{printable(heading)}:"
    for depth, node, alike in folded(roots, everything=everything):
        if alike > 1:
            yield f"{INDENT * depth}{printable(node.name)} ×{alike}{INDENT}{_state(node)}"
            continue
        about = row(node.document)
        name = f"{INDENT * depth}{printable(node.name)} {node.pid}"
        words = [name, about.user, _state(node), _kernel_threads(node), not_sure(node.document), about.command]
        yield INDENT.join(word for word in words if word)


def folded(roots: Sequence[Node], *, everything: bool = False) -> Iterator[Line]:
    """All nodes, parents first, less those that are told together with one like them."""
    waiting = _together(roots, 0, everything)[::-1]
    while waiting:
        line = waiting.pop()
        yield line
        waiting += _together(line.node.children, line.depth + 1, everything)[::-1]


def _together(siblings: Sequence[Node], depth: int, everything: bool) -> list[Line]:
    told: dict[tuple[str, str] | int, Line] = {}
    for number, node in enumerate(siblings):
        kind = (node.name, _state(node)) if node.ended and not node.children and not everything else number
        first = told.get(kind)
        told[kind] = first._replace(alike=first.alike + 1) if first else Line(depth, node, 1)
    return list(told.values())


def _drawn(lines: Iterator[Line]) -> list[Tree]:
    trees: list[Tree] = []
    branches: list[Tree] = []
    for line in lines:
        label = _label(line.node, line.alike)
        del branches[line.depth :]
        branches.append(branches[-1].add(label) if branches else Tree(label, guide_style="dim"))
        if line.depth == 0:
            trees.append(branches[0])
    return trees


def _label(node: Node, alike: int) -> Text:
    about = row(node.document)
    text = Text(no_wrap=True, overflow="ellipsis")
    if alike > 1:
        text.append(printable(node.name), style="dim italic")
        text.append(f" ×{alike}", style="dim cyan")
        text.append(f" {_state(node)}", style=_style(about.exit))
        return text
    text.append(printable(node.name), style="bold" if node.alive else "dim italic")
    text.append(f" {node.pid}", style="cyan" if node.alive else "dim cyan")
    if about.user:
        text.append(f" {about.user}", style="yellow" if about.user == "root" else "green")
    if state := _state(node):
        text.append(f" {state}", style=_style(about.exit))
    if more := _kernel_threads(node):
        text.append(f" {more}", style="dim")
    if unsure := not_sure(node.document):
        text.append(f" {unsure}", style="magenta")
    if about.command:
        text.append(f"  {about.command}", style="dim")
    return text


def _kernel_threads(node: Node) -> str:
    return f"(and {counted(node.kernel_threads, 'kernel thread')}: --all)" if node.kernel_threads > 0 else ""


def _state(node: Node) -> str:
    """Nothing for a living process: that is what a tree is expected to show."""
    if node.alive:
        return ""
    if node.missed:
        return "(ended while no agent ran)"
    if node.ended:
        return f"({ended(node.document)})" if outcome(node.document) else "(ended)"
    return "(known from its descendants alone)"


def _style(exit_code: str) -> str:
    return "dim" if exit_code in ("0", ALIVE, UNKNOWN) else "red"
