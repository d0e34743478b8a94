"""A stream of the real source, fed into a tree, and /proc to compare it with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.counters import Counters
from pipeline.events import Event
from pipeline.process import ProcessVersion
from pipeline.tree.tree import ProcessTree
from tests.kernel.tracer import TICK_NS

OF_THE_TREE_ALONE = ("Account", "Clock", "Container")


def grown_of(events: Iterable[Event]) -> tuple[ProcessTree, Counters]:
    counters = Counters()
    tree = ProcessTree(processes_max=1 << 16, threads_max=1 << 16, counters=counters)
    for event in events:
        if type(event).__name__ not in OF_THE_TREE_ALONE:
            tree.apply(event)  # type: ignore[arg-type]
    return tree, counters


def shown() -> dict[int, tuple[int, int, int, int]]:
    """pid: start in ticks, parent, group, session, of every process that has not ended."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            found[int(path.parent.name)] = (int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]))
    return found


def known(version: ProcessVersion) -> tuple[int, int, int, int]:
    """The same as the tree has it; the parent that it has now."""
    present = version.reaper or version.parent
    return (version.start_ns // TICK_NS, present.pid if present else 0, version.group_id, version.session_id)
