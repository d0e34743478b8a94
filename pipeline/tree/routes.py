"""What the tree is built from: the live stream, the walks over all that runs, both, or nothing.

| source    | the tree knows                                | documents of births, execs and ends                    |
|-----------|-----------------------------------------------|--------------------------------------------------------|
| `both`    | what the kernel tells, and what walks find    | whole                                                  |
| `events`  | what the kernel tells: nobody older than that | lineages begin with ``unknown`` at what ran before     |
| `signals` | what walks find, the first and those after it | of the record, with the lineage of the parent it names |
| `none`    | nobody                                        | of the record alone                                    |
"""

from __future__ import annotations

from typing import Any, Literal

from pipeline.events import (
    CommandLine,
    Exec,
    Exit,
    Fork,
    HostFacts,
    Loss,
    Running,
    SnapshotBegin,
    SnapshotEnd,
    ThreadRunning,
)
from pipeline.process import ANCESTORS_MAX, ProcessVersion
from pipeline.tree import doubts, transitions
from pipeline.tree.state import State
from pipeline.tree.versions import complete_chain, moment, version

Source = Literal["none", "events", "signals", "both"]

_SIGNALS = frozenset({Running, CommandLine, ThreadRunning, SnapshotBegin, SnapshotEnd})
_HAVE_DOCUMENTS = (Fork, Exec, Exit)


class Route:
    """Stands between the stream and a tree that is not built from all of it."""

    def __init__(self, source: Source, state: State) -> None:
        self.source = source
        self._state = state
        self._alone = State(1, 1, 1, 1, state.counters)  # forgotten after each event

    def takes(self, event: Any) -> bool:
        """Whether the tree is built from such events."""
        if isinstance(event, HostFacts):
            transitions.apply(self._alone, event)
            return True
        if type(event) in _SIGNALS:
            return self.source == "signals"
        return self.source == "events" or (self.source == "signals" and isinstance(event, Loss))

    def by_itself(self, event: Any) -> ProcessVersion | None:
        """What the record says, and nothing that was known before; the parent's lineage, where walks have found one."""
        if not isinstance(event, _HAVE_DOCUMENTS):
            return None
        alone = self._alone
        alone.forget()
        process = transitions.apply(alone, event)
        if process is None:
            return None
        told = version(alone, process)
        parent = self._state.processes.find(process.parent_key)
        if parent is None:
            return told
        complete_chain(self._state, parent)
        return told._replace(
            ancestors=(moment(parent), *parent.ancestors[: ANCESTORS_MAX - 1]),
            depth=parent.depth + 1,
            complete=parent.complete,
            doubt=doubts.WORDS[parent.chain_doubt],
        )
