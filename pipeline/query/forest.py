"""Trees from documents: who descended from whom, as far as what was kept tells.

Rules: one node a process, by ``process.entity_id``, in the state of its newest document; parents are birth parents
(``process.parent.entity_id``). A process whose parent's document is not there hangs under the ancestors it has itself
recorded (``lineage.ancestors``), so it is no orphan; such a node is *recorded*: known by name only, alive or not.
*Missed* is a process without an end that a later snapshot of its host did not find: it ended while no agent ran.
Whatever documents say, the result is a forest: a circle is cut at the process that began first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.query.base import View, has_ended, host_name, is_missed

ALIVE, ENDED, MISSED, RECORDED = "alive", "ended", "missed", "recorded"


@dataclass(slots=True, eq=False)
class Node:
    """``document`` is the newest one, or for a recorded node the little that a descendant told."""

    entity_id: str
    document: dict[str, Any]
    state: str
    children: list[Node] = field(default_factory=list)
    kernel_threads: int = 0  # of kthreadd: so many more are below it

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.pid} {self.state}, {len(self.children)} children>"

    @property
    def process(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["process"]
        return found

    @property
    def pid(self) -> int:
        return int(self.process.get("pid") or 0)

    @property
    def name(self) -> str:
        return str(self.process.get("name") or "unknown")

    @property
    def alive(self) -> bool:
        return self.state == ALIVE

    @property
    def ended(self) -> bool:
        return self.state in (ENDED, MISSED)

    @property
    def missed(self) -> bool:
        return self.state == MISSED

    @property
    def host(self) -> str:
        return host_name(self.document)

    def walk(self) -> Iterator[tuple[int, Node]]:
        """This node and all below it with their depth, parents first."""
        waiting = [(0, self)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting += [(depth + 1, child) for child in reversed(node.children)]


def grow(documents: Iterable[dict[str, Any]], snapshots: Mapping[View, datetime] | None = None) -> list[Node]:
    """Roots, each with its tree, in the order in which they began.

    ``documents``: the newest of each process. ``snapshots``: when the newest of each host began.
    """
    nodes: dict[str, Node] = {}
    for document in documents:
        process = document.get("process") or {}
        if identity := process.get("entity_id"):
            nodes[identity] = Node(identity, document, _state(document, snapshots or {}))
    parents: dict[str, str] = {}
    for node in list(nodes.values()):
        _hang(node, nodes, parents)
    edges = _without_circles(parents, nodes)
    for child, parent in edges.items():
        nodes[parent].children.append(nodes[child])
    for node in nodes.values():
        node.children.sort(key=_beginning)
    return sorted((node for identity, node in nodes.items() if identity not in edges), key=_beginning)


def _state(document: dict[str, Any], snapshots: Mapping[View, datetime]) -> str:
    if has_ended(document):
        return ENDED
    return MISSED if is_missed(document, snapshots) else ALIVE


def _hang(node: Node, nodes: dict[str, Node], parents: dict[str, str]) -> None:
    """Note the node's parent; where that one has no document, make recorded nodes up to an ancestor that has."""
    child = node.entity_id
    for ancestor in _ancestors(node):
        identity = ancestor["entity_id"]
        parents.setdefault(child, identity)
        if identity in nodes:
            return
        nodes[identity] = Node(identity, {"process": ancestor, "host": node.document.get("host") or {}}, RECORDED)
        child = identity


def _ancestors(node: Node) -> Iterator[dict[str, Any]]:
    """Known ancestors, nearest first, as far as there is no gap; the parent with all that its own block tells."""
    parent = node.process.get("parent") or {}
    recorded = (node.document.get("lineage") or {}).get("ancestors") or {}
    identities = _listed(recorded.get("entity_id"))
    for number, identity in enumerate(identities or _listed(parent.get("entity_id"))):
        if not identity or identity == "unknown":
            return
        if number == 0 and parent.get("entity_id") == identity:
            yield parent
            continue
        yield {key: value[number] for key in recorded if number < len(value := _listed(recorded[key]))} | {
            "entity_id": identity
        }


def _listed(value: Any) -> list[Any]:
    """A field with one value may come without its brackets."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _without_circles(parents: dict[str, str], nodes: dict[str, Node]) -> dict[str, str]:
    """The same edges, less one of each circle: the one that leads to the process that began first."""
    kept = dict(parents)
    sound: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in sound and at not in path:
            path[at] = None
            at = kept.get(at)
        if at is not None and at in path:
            circle = list(path)[list(path).index(at) :]
            del kept[min(circle, key=lambda identity: _beginning(nodes[identity]))]
        sound |= path.keys()
    return kept


def _beginning(node: Node) -> tuple[str, int, str]:
    return (str(node.process.get("start") or ""), node.pid, node.entity_id)


def fold_kernel_threads(roots: list[Node], more: int = 0) -> list[Node]:
    """Leave out all but kthreadd, which tells their number, and those with programs that the kernel itself started (a
    program has a file). ``more``: so many that are no nodes, or were none before their children were looked for."""
    for root in roots:
        if _is_kthreadd(root):
            before = sum(1 for _ in _kernel_threads(root))
            _prune(root)
            after = sum(1 for _ in _kernel_threads(root))
            root.kernel_threads = more - after if more else before - after
    return roots


def _is_kthreadd(node: Node) -> bool:
    return node.pid == 2 and node.name == "kthreadd"


def _kernel_threads(kthreadd: Node) -> Iterator[Node]:
    """Beside itself."""
    return (node for depth, node in kthreadd.walk() if depth and not node.process.get("executable"))


def _prune(kthreadd: Node) -> None:
    below = [node for _, node in kthreadd.walk()]
    for node in reversed(below):  # children first
        node.children = [child for child in node.children if child.children or child.process.get("executable")]


def with_pid(roots: list[Node], pid: int) -> list[Node]:
    """Every process that had this pid, the one that began last first."""
    found = [node for root in roots for _, node in root.walk() if node.pid == pid]
    return sorted(found, key=_beginning, reverse=True)


def with_id(roots: list[Node], entity_id: str) -> list[Node]:
    """That process, as the one root."""
    return [node for root in roots for _, node in root.walk() if node.entity_id == entity_id]


def recorded(node: Node) -> bool:
    """Whether no more is known of it than what a descendant told."""
    return node.state == RECORDED


def cut_below(roots: list[Node], depth: int | None) -> list[Node]:
    """At most so many levels below the roots."""
    if depth is not None:
        for node in [node for root in roots for level, node in root.walk() if level == depth]:
            node.children = []
    return roots
